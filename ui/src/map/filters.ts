// The filter that finds a pair's connections in Search.
import type { Service, ServiceLink } from "../api/types";
import { quoted } from "../query/tokens";

function local(service: Service): string {
  const host = service.host === null || service.host === "" ? "" : `host:${quoted(service.host)} `;
  if (service.kind === "container") return `${host}(container.name:${quoted(service.name)} or container:${quoted(`${service.name}*`).replace(/^"(.*)"$/, "$1")})`;
  return service.name === "an unknown process" ? `${host}-exe:*` : `${host}exe:${quoted(service.name)}`;
}

const portOf = (link: ServiceLink) => {
  const [port, proto] = link.port.split("/");
  return `dst.port:${port}${proto ? ` proto:${proto}` : ""}`;
};

// The client's records where the book has them, else the server's.
export function linkFilter(link: ServiceLink): string {
  const { from, to } = link;
  if (from.kind !== "address") return `${local(from)} direction:out${to.kind === "address" ? ` dst.ip:${quoted(to.name)}` : ""} ${portOf(link)}`;
  if (to.kind !== "address") return `${local(to)} direction:in src.ip:${quoted(from.name)} ${portOf(link)}`;
  return `src.ip:${quoted(from.name)} dst.ip:${quoted(to.name)} ${portOf(link)}`;
}

export function linksFilter(links: ServiceLink[]): string {
  const all = [...new Set(links.map(linkFilter))];
  return all.length === 1 ? all[0]! : all.slice(0, 20).map((one) => `(${one})`).join(" or ");
}

export function serviceFilter(service: Service): string {
  return service.kind === "address" ? `ip:${quoted(service.name)}` : local(service);
}
