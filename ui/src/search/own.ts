// A page that asks a local book makes connections too. On a first start those are not yet what the reader waits for.
import type { RowList } from "./row_list";

const kLooked = 60;

// Whether the list holds nothing but connections to this page's own server.
export function onlyThisPage(list: RowList, server: { hostname: string; port: string }): boolean {
  const shown = list.slice(0, kLooked + 1);
  const host = server.hostname.replace(/^\[|\]$/g, "");
  const local = host === "localhost" || host.startsWith("127.") || host === "::1";
  return (
    list.waiting === 0 &&
    shown.length <= kLooked &&
    shown.every(({ record }) => String(record["dst.port"]) === server.port && (record["dst.ip"] === host || (local && isLoopback(record["dst.ip"]))))
  );
}

const isLoopback = (ip: unknown) => typeof ip === "string" && (ip.startsWith("127.") || ip === "::1");
