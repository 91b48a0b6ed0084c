// The map as boxes and lines, from the pairs of services that the book counted. Many alike are one box: addresses of one network, one
// program on many hosts. What is beyond a band's limit is counted in one box of the rest. The same pairs always give the same map.
import type { Service, ServiceLink } from "../api/types";

export type Band = "clients" | "edge" | "services" | "backends" | "outside";
export const kBands: Band[] = ["clients", "edge", "services", "backends", "outside"];
export const bandText: Record<Band, { label: string; title: string }> = {
  clients: { label: "Clients", title: "They open connections and accept none" },
  edge: { label: "Edge", title: "Clients come here first" },
  services: { label: "Services", title: "They accept from services and open to others" },
  backends: { label: "Backends", title: "They accept from services and open none to others" },
  outside: { label: "Outside", title: "Addresses that the book knows no process of" },
};

export const kBandMax = 12; // boxes of one band
const kNetworkMin = 4; // addresses that become one network
const kHostsMin = 6; // hosts that become one box

export interface MapNode {
  key: string;
  name: string;
  place: string; // host, "41 hosts", "outside"; of a loopback address, which is never that, "own host"
  band: Band;
  outside: boolean;
  rest: number; // services beyond the limit that this box stands for; 0 for a plain one
  services: Service[];
  count: number;
  failed: number;
}
export interface MapEdge {
  key: string;
  from: string;
  to: string;
  count: number;
  failed: number;
  open: number;
  bytesOut: number;
  bytesIn: number;
  first: string;
  last: string;
  links: ServiceLink[];
}
export interface MapModel {
  nodes: MapNode[]; // in their order within the bands
  edges: MapEdge[];
}

export const serviceKey = (service: Service): string => `${service.kind} ${service.name} ${service.host ?? ""}`;
export const serviceText = (service: Service): string => (service.host === null ? service.name : `${service.name} on ${service.host}`);
const isLoopback = (address: string): boolean => address.startsWith("127.") || address === "::1";
export const nodeText = (node: MapNode): string => (node.outside || node.rest > 0 ? node.name : `${node.name} on ${node.place}`);
const networkOf = (name: string) => (/^\d+\.\d+\.\d+\.\d+$/.test(name) ? `${name.slice(0, name.lastIndexOf("."))}.0/24` : null);

export function modelOf(links: ServiceLink[]): MapModel {
  const nodes = new Map<string, MapNode>();
  const box = boxesFor(links);
  let edges = new Map<string, MapEdge>();
  for (const link of links) {
    for (const service of [link.from, link.to]) {
      const made = box(service);
      const node = nodes.get(made.key) ?? { ...made, band: "services" as Band, rest: 0, services: [], count: 0, failed: 0 };
      if (!node.services.some((one) => serviceKey(one) === serviceKey(service))) node.services.push(service);
      nodes.set(made.key, node);
    }
    addLink(edges, box(link.from).key, box(link.to).key, link);
  }
  for (const edge of edges.values()) {
    for (const end of edge.from === edge.to ? [edge.from] : [edge.from, edge.to]) {
      nodes.get(end)!.count += edge.count;
      nodes.get(end)!.failed += edge.failed;
    }
  }
  for (const node of nodes.values()) if (node.services.length > 1) node.place = node.outside ? `${node.services.length} addresses` : `${new Set(node.services.map((one) => one.host)).size} hosts`;
  setBands([...nodes.values()], [...edges.values()]);
  const kept = new Map<string, string>(); // node → itself, or the rest of its band
  for (const band of kBands) fold([...nodes.values()].filter((node) => node.band === band), nodes, kept);
  if ([...kept].some(([from, to]) => from !== to)) edges = remapped(edges, kept);
  return { nodes: ordered([...nodes.values()], [...edges.values()]), edges: [...edges.values()].sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1)) };
}

// Which box a service belongs to.
function boxesFor(links: ServiceLink[]) {
  const services = new Map<string, Service>();
  for (const { from, to } of links) for (const one of [from, to]) services.set(serviceKey(one), one);
  const networks = new Map<string, number>();
  const hosts = new Map<string, number>();
  for (const { kind, name } of services.values()) {
    const network = kind === "address" ? networkOf(name) : null;
    if (network !== null) networks.set(network, (networks.get(network) ?? 0) + 1);
    if (kind === "program") hosts.set(name, (hosts.get(name) ?? 0) + 1);
  }
  return (service: Service) => {
    const { kind, name, host } = service;
    if (kind === "address") {
      const network = networkOf(name);
      if (network !== null && networks.get(network)! >= kNetworkMin) return { key: `network ${network}`, name: network, place: "", outside: true };
      return { key: serviceKey(service), name, place: isLoopback(name) ? "own host" : "outside", outside: true };
    }
    if (kind === "program" && hosts.get(name)! >= kHostsMin) return { key: `program ${name} on many`, name, place: "", outside: false };
    return { key: serviceKey(service), name, place: host ?? "", outside: false };
  };
}

function addLink(edges: Map<string, MapEdge>, from: string, to: string, link: ServiceLink): void {
  const key = `${from} → ${to}`;
  const edge = edges.get(key) ?? { key, from, to, count: 0, failed: 0, open: 0, bytesOut: 0, bytesIn: 0, first: link.first, last: link.last, links: [] };
  edge.count += link.count;
  edge.failed += link.failed;
  edge.open += link.open;
  edge.bytesOut += link.bytes_out;
  edge.bytesIn += link.bytes_in;
  if (link.first < edge.first) edge.first = link.first;
  if (link.last > edge.last) edge.last = link.last;
  edge.links.push(link);
  edges.set(key, edge);
}

function setBands(nodes: MapNode[], edges: MapEdge[]): void {
  const byKey = new Map(nodes.map((node) => [node.key, node]));
  const others = edges.filter(({ from, to }) => from !== to);
  const accepts = new Set(others.map(({ to }) => to));
  const opensToService = new Set(others.filter(({ to }) => !byKey.get(to)!.outside).map(({ from }) => from));
  for (const node of nodes) {
    if (node.outside) node.band = accepts.has(node.key) ? "outside" : "clients";
    else if (!accepts.has(node.key)) node.band = "clients";
  }
  for (const node of nodes) {
    if (node.band === "clients" || node.band === "outside") continue;
    const fromClients = others.some(({ from, to }) => to === node.key && ["clients", "outside"].includes(byKey.get(from)!.band));
    if (!opensToService.has(node.key) && !others.every(({ from, to }) => to !== node.key || byKey.get(from)!.outside)) node.band = "backends";
    else node.band = fromClients ? "edge" : "services";
  }
}

// The greatest of a band stay; the rest becomes one box.
function fold(band: MapNode[], nodes: Map<string, MapNode>, kept: Map<string, string>): void {
  const byCount = [...band].sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1));
  const limit = band.length > kBandMax ? kBandMax - 1 : kBandMax;
  for (const node of byCount.slice(0, limit)) kept.set(node.key, node.key);
  const over = byCount.slice(limit);
  if (over.length === 0) return;
  const key = `rest of ${over[0]!.band}`;
  const rest: MapNode = { key, name: `${over.length} more`, place: "as a list: l", band: over[0]!.band, outside: over.every((node) => node.outside), rest: over.length, services: [], count: 0, failed: 0 };
  for (const node of over) {
    kept.set(node.key, key);
    rest.services.push(...node.services);
    rest.count += node.count;
    rest.failed += node.failed;
    nodes.delete(node.key);
  }
  nodes.set(key, rest);
}

function remapped(edges: Map<string, MapEdge>, kept: Map<string, string>): Map<string, MapEdge> {
  const out = new Map<string, MapEdge>();
  for (const edge of edges.values()) for (const link of edge.links) addLink(out, kept.get(edge.from)!, kept.get(edge.to)!, link);
  return out;
}

// In each band beside what it talks to, so that few lines cross: three rounds of averages, ties by name.
function ordered(nodes: MapNode[], edges: MapEdge[]): MapNode[] {
  const bands = kBands.map((band) => nodes.filter((node) => node.band === band).sort((a, b) => (a.key < b.key ? -1 : 1)));
  const at = new Map<string, number>();
  const number = () => bands.forEach((band) => band.forEach((node, i) => at.set(node.key, (i + 0.5) / band.length)));
  number();
  for (let round = 0; round < 3; ++round) {
    for (const band of bands) {
      const wish = new Map(band.map((node) => {
        const near = edges.flatMap(({ from, to }) => (from === to ? [] : from === node.key ? [at.get(to)!] : to === node.key ? [at.get(from)!] : []));
        return [node.key, near.length === 0 ? at.get(node.key)! : near.reduce((sum, y) => sum + y, 0) / near.length];
      }));
      band.sort((a, b) => Number(a.rest > 0) - Number(b.rest > 0) || wish.get(a.key)! - wish.get(b.key)! || (a.key < b.key ? -1 : 1));
      number();
    }
  }
  return bands.flat();
}
