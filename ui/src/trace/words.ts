// What the trace says in words: processes, places, the path as one sentence, each step as one line.
import type { Process, TraceAnswer, TraceEdge, TraceNode } from "../api/types";
import { parseEndpoint } from "../format/endpoints";

export function nameOf(process: Process): string {
  return process.comm ?? process.exe?.split("/").pop() ?? "process";
}

export const processText = (process: Process | null): string => (process ? `${nameOf(process)} ${process.pid}` : "process not seen");

// "web-7, deploy (alice)": where it ran and for whom.
export function placeText(node: TraceNode): string {
  const { process } = node;
  const container = process?.["container.name"] ?? process?.container?.slice(0, 12);
  const login = process?.login_user && process.login_user !== process.user ? ` (${process.login_user})` : "";
  const user = process?.user ?? (process?.uid != null ? `uid ${process.uid}` : null);
  return [node.host ?? "host not told", container, user && `${user}${login}`].filter(Boolean).join(", ");
}

// The end that was this process's own, and the far one.
export const ownEnd = (node: TraceNode): string => (node.direction === "out" ? node.src : node.dst);
export const farEnd = (node: TraceNode): string => (node.direction === "out" ? node.dst : node.src);
export const portOf = (endpoint: string): string => `:${parseEndpoint(endpoint).port}`;

export function nodeText(node: TraceNode): string {
  const where = node.host === null ? "" : ` on ${node.host}`;
  return `${processText(node.process)}${where}, ${ownEnd(node)} ${node.direction === "out" ? "→" : "←"} ${farEnd(node)}`;
}

// Why the far end is not known, in two words.
export function beyondWord(node: TraceNode): string {
  if (node.state === "failed") return "failed";
  return /not covered/.test(node.beyond ?? "") ? "not covered" : "not recorded";
}

export function counted(edges: TraceEdge[]): Record<TraceEdge["class"], number> {
  const counts = { proven: 0, stated: 0, possible: 0 };
  for (const edge of edges) ++counts[edge.class];
  return counts;
}

// "From alice’s login on web-7 to postgres on db, through gw and lb": where the path begins and ends, and the hosts between.
export function pathSentence(answer: TraceAnswer): string {
  const { nodes, edges } = answer;
  if (nodes.length === 0) return answer.sentence;
  const caused = new Set(edges.map((edge) => edge.to));
  const causes = new Set(edges.map((edge) => edge.from));
  const firsts = nodes.filter((node) => !caused.has(node.id));
  const lasts = nodes.filter((node) => !causes.has(node.id));
  const begin = joined(firsts.map(beginning));
  const end = joined(lasts.map((node) => (node.direction === "out" ? farEnd(node) : seenAt(node))));
  const outer = new Set([...firsts.filter((node) => node.direction === "out"), ...lasts.filter((node) => node.direction === "in")].map((node) => node.host));
  const between = new Set<string>();
  for (const edge of edges) for (const lease of edge.leases) if (!outer.has(lease.host)) between.add(lease.host);
  for (const node of nodes) if (node.host !== null && !outer.has(node.host)) between.add(node.host);
  const through = between.size === 0 ? "" : `, through ${joined([...between], 4)}`;
  return `From ${begin || "an unseen cause"} to ${end || "an unseen end"}${through}`;
}

function beginning(node: TraceNode): string {
  const login = node.process?.login_user;
  const host = node.host ?? "a host not told";
  if (node.direction === "out" && login) return `${login}’s login on ${host}`;
  return node.direction === "out" ? seenAt(node) : parseEndpoint(node.src).ip;
}

const seenAt = (node: TraceNode): string => `${node.process ? (nameOf(node.process) === "process" ? processText(node.process) : nameOf(node.process)) : "a process not seen"} on ${node.host ?? "a host not told"}`;

// "a", "a and b", "a, b and 3 more"
function joined(all: string[], most = 2): string {
  const names = [...new Set(all)];
  if (names.length <= most) return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}
