// What a row says in words: values as people read them, and for what is missing the reason.
import type { Row } from "../api/types";
import { endpointText } from "../format/endpoints";
import { duration } from "../format/numbers";

const text = (value: unknown): string => (typeof value === "string" ? value : "");

export function destinationOf(row: Row): string | null {
  const ip = text(row.record["dst.ip"]);
  return ip === "" ? null : endpointText(ip, row.record["dst.port"] as number | undefined);
}

const reasons: Record<string, string> = {
  no_conntrack: "no conntrack",
  no_entry: "no entry",
  gap: "gap",
  not_covered: "not covered",
  not_permitted: "not allowed",
};

export function missingExternal(row: Row): string {
  return reasons[row.nat_reason ?? ""] ?? (row.state === "open" ? "not yet seen" : "not recorded");
}

export function lasted(row: Row): { text: string; missing: boolean } {
  if (row.state === "failed") return { text: text(row.record.outcome) || "failed", missing: false };
  if (row.state === "open") return { text: "open", missing: false };
  if (row.state === "record") return { text: "", missing: false };
  if (row.duration_ns !== null) return { text: duration(row.duration_ns), missing: false };
  return { text: "start?", missing: true }; // it was there before capture began
}

export function processOf(row: Row): { name: string; pid: string; title: string } {
  const exe = text(row.record.exe);
  const comm = text(row.record.comm);
  const pid = row.record.pid === undefined ? "" : String(row.record.pid);
  const base = exe.slice(exe.lastIndexOf("/") + 1);
  return { name: base || comm, pid, title: text(row.record.cmdline) || exe };
}

// What follows the program's name on its command line.
export function argumentsOf(row: Row): string {
  const line = text(row.record.cmdline);
  if (line === "") return row.state === "record" ? "" : "not seen";
  const space = line.indexOf(" ");
  return space < 0 ? "none" : line.slice(space + 1);
}

export function userOf(row: Row): { text: string; why: string; title: string } {
  const user = text(row.record.user);
  const uid = row.record.uid === undefined ? "" : `uid ${String(row.record.uid)}`;
  const login = text(row.record.login_user);
  const title = [user && uid ? `${user}, ${uid}` : user || uid, login && `login ${login}`].filter(Boolean).join(", ");
  return { text: user || uid, why: "not seen", title };
}

// Any field of the row, as a filter would have it; null where this row has none.
export function fieldText(row: Row, name: string): string | null {
  const value = row.record[name];
  if (value === undefined || value === null) return null;
  if (name === "rtt" && typeof value === "number") return duration(value);
  return Array.isArray(value) ? value.join(" ") : typeof value === "object" ? JSON.stringify(value) : String(value as string | number | boolean);
}

// The row read aloud: "outbound, internal port 51420 on 10.8.3.17, external port 41234 on 203.0.113.5, to 198.51.100.9:443, …".
export function rowLabel(row: Row): string {
  const spoken = (name: string, endpoint: string) => {
    const at = endpoint.lastIndexOf(":");
    return `${name} port ${endpoint.slice(at + 1)} on ${endpoint.slice(0, at)}`;
  };
  const external =
    row.nat === "translated" && row.external ? spoken("external", row.external) : row.nat === "none" ? "external the same" : `external ${missingExternal(row)}`;
  const { name, pid } = processOf(row);
  return [
    text(row.record.direction) === "in" ? "inbound" : "outbound",
    row.internal ? spoken("internal", row.internal) : "internal port not seen",
    external,
    `to ${destinationOf(row) ?? "an unseen destination"}`,
    name ? `${name} ${pid}` : "process not seen",
    lasted(row).text,
  ].join(", ");
}
