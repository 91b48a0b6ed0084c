// The lanes beneath the graph: each connection once, as its client saw it, and each lease, in the order in which they began.
import type { TraceAnswer } from "../api/types";
import { bytes, duration } from "../format/numbers";
import { ns } from "../format/times";
import { farEnd, nameOf, ownEnd, portOf } from "./words";

const ms = (time: string) => Number(ns(time)) / 1e6; // to a quarter of a microsecond

export interface Lane {
  key: string;
  kind: "internal" | "external" | "plain" | "possible"; // dot, ring, none; dashed where it is only possible
  name: string;
  port: string;
  to: string;
  start: number | null; // ms; null: before capture began
  end: number | null; // ms; null: open
  offset: string; // from the first of all
  lasted: string;
  select: { kind: "edge" | "node"; id: number };
}

export function lanesOf(answer: TraceAnswer): Lane[] {
  const { nodes, edges } = answer;
  const seenFromClient = new Set(edges.filter((edge) => edge.kind === "connection" && edge.class === "proven").map((edge) => edge.to));
  const onlyPossible = (id: number) => {
    const mine = edges.filter((edge) => edge.from === id || edge.to === id);
    return mine.length > 0 && mine.every((edge) => edge.class === "possible");
  };
  const lanes: (Lane & { begun: bigint | null })[] = [];
  for (const node of nodes) {
    if (seenFromClient.has(node.id)) continue;
    const { start, end } = node.interval;
    const inward = node.bytes_in !== null && node.bytes_out !== null ? `, ${bytes(Math.max(node.bytes_in, node.bytes_out))} ${node.bytes_in > node.bytes_out ? "in" : "out"}` : "";
    lanes.push({
      key: `n${node.id}`,
      kind: onlyPossible(node.id) ? "possible" : node.direction === "out" ? "internal" : "plain",
      name: node.process ? nameOf(node.process) : (node.host ?? "not seen"),
      port: portOf(ownEnd(node)),
      to: `${node.direction === "out" ? "→" : "←"} ${farEnd(node)}`,
      start: start === null ? null : ms(start),
      end: end === null ? null : ms(end),
      begun: start === null ? null : ns(start),
      offset: "",
      lasted: (end !== null && start !== null ? duration(Number(ns(end) - ns(start))) : end === null ? "open" : "since before capture") + inward,
      select: { kind: "node", id: node.id },
    });
  }
  edges.forEach((edge, i) =>
    edge.leases.forEach((lease, at) =>
      lanes.push({
        key: `e${i}.${at}`,
        kind: "external",
        name: lease.host,
        port: portOf(lease.external ?? lease.server ?? lease.internal),
        to: "lease",
        start: lease.start === null ? null : ms(lease.start),
        end: lease.end === null ? null : ms(lease.end),
        begun: lease.start === null ? null : ns(lease.start),
        offset: "",
        lasted: lease.start !== null && lease.end !== null ? duration(Number(ns(lease.end) - ns(lease.start))) : "open",
        select: { kind: "edge", id: i },
      }),
    ),
  );
  const order = (lane: { begun: bigint | null }) => lane.begun ?? -1n;
  lanes.sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : a.key < b.key ? -1 : 1));
  const first = lanes.find((lane) => lane.begun !== null)?.begun ?? null;
  for (const lane of lanes) {
    const since = lane.begun === null || first === null ? null : Number(lane.begun - first);
    lane.offset = since === null ? "before capture" : since === 0 ? "+0" : `+${duration(since)}`;
  }
  return lanes;
}
