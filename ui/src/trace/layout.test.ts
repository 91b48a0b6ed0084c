import { expect, test } from "vitest";
import type { EdgeClass, TraceAnswer, TraceEdge, TraceNode } from "../api/types";
import { drawingOf, kRowsMax } from "./layout";
import { pathSentence } from "./words";

function node(id: number, host: string, pid: number, direction: "out" | "in", src: string, dst: string, beyond: string | null = null): TraceNode {
  const process = { pid, start: "2026-11-22T09:00:00Z", exe: `/usr/bin/p${pid}`, comm: `p${pid}`, cmdline: null, cwd: null, uid: 0, user: "root", loginuid: null, login_user: null, audit_session: null, container: null, "container.name": null, record: null };
  return { id, start: id === 0, record: id, conn: String(id), host, netns: null, direction, proto: "tcp", state: "closed", src, dst, external: null, server: null, interval: { start: null, seen: "2026-11-22T12:00:00Z", end: null, clock_error_ns: null }, bytes_out: null, bytes_in: null, process, ancestors: [], beyond, records: [id] };
}
const edge = (kind: TraceEdge["kind"], from: number, to: number, certainty: EdgeClass = "proven", leases: TraceEdge["leases"] = []): TraceEdge => ({ class: certainty, kind, from, to, method: "m", order: "o", leases, records: [from, to] });
const answer = (nodes: TraceNode[], edges: TraceEdge[]): TraceAnswer => ({ question: { text: "", record: 0, endpoint: null, at: null }, sentence: "", nodes, edges, bounds: [], contradictions: [], completeness: { state: "complete", sentence: "Complete." }, size: 1, took_us: 1 });
const lease = { host: "gw", internal: "10.0.0.1:1", asked_for: "192.0.2.1:80", external: "203.0.113.5:9", server: null, start: null, end: null, records: [9] };

function overlaps(boxes: { x: number; y: number; width: number; height: number }[]): number {
  let n = 0;
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => (n += Number(a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height))));
  return n;
}

const path = answer(
  [
    node(0, "a", 1, "out", "10.0.0.1:1", "192.0.2.1:80"),
    node(1, "b", 2, "in", "203.0.113.5:9", "192.0.2.1:80"),
    node(2, "b", 2, "out", "192.0.2.1:5", "192.0.2.9:90", "its other end 192.0.2.9:90 is not covered: no source"),
    node(3, "b", 2, "out", "192.0.2.1:6", "192.0.2.8:91"),
    node(4, "c", 3, "in", "192.0.2.1:6", "192.0.2.8:91"),
  ],
  [edge("connection", 0, 1, "proven", [lease]), edge("process", 1, 2, "stated"), edge("process", 1, 3, "possible"), edge("connection", 3, 4)],
);

test("columns follow the causes: client, translation, proxy, then server and what is not known", () => {
  const { boxes, lines, left } = drawingOf(path);
  const column = (title: string) => boxes.find((box) => box.title === title)!.column;
  expect(["p1 1", "gw", "p2 2", "p3 3", "192.0.2.9"].map(column)).toEqual([0, 1, 2, 3, 3]);
  expect(boxes.find((box) => box.kind === "outside")!.sub).toBe("not covered");
  expect(overlaps(boxes)).toBe(0);
  expect(lines.filter((line) => line.edge === 0).length).toBe(3); // to the lease, within it, from it
  expect(lines.filter((line) => line.edge === null).length).toBe(1);
  expect(left).toBe(0);
  expect(drawingOf(path)).toEqual(drawingOf(structuredClone(path)));
  expect(pathSentence(path)).toBe("From p1 on a to 192.0.2.9:90 and p3 on c, through gw and b");
});

test("a loop is drawn around and ends", () => {
  const ring = answer(
    [node(0, "a", 1, "out", "10.0.0.1:1", "10.0.0.2:2"), node(1, "b", 2, "in", "10.0.0.1:1", "10.0.0.2:2"), node(2, "b", 2, "out", "10.0.0.2:3", "10.0.0.1:4"), node(3, "a", 1, "in", "10.0.0.2:3", "10.0.0.1:4")],
    [edge("connection", 0, 1), edge("process", 1, 2, "possible"), edge("connection", 2, 3), edge("process", 3, 0, "possible")],
  );
  const { boxes, lines, height } = drawingOf(ring);
  expect(boxes.map((box) => box.column)).toEqual([0, 1]);
  expect(lines.length).toBe(4);
  expect(height).toBeGreaterThan(Math.max(...boxes.map((box) => box.y + box.height)) + 44);
  const self = drawingOf(answer([node(0, "a", 1, "out", "127.0.0.1:1", "127.0.0.1:2"), node(1, "a", 1, "in", "127.0.0.1:1", "127.0.0.1:2")], [edge("connection", 0, 1)]));
  expect(self.boxes.length).toBe(1);
  expect(self.lines.length).toBe(1);
});

test("a pool of many connections is bounded, and what is not drawn is counted", () => {
  const clients = Array.from({ length: 40 }, (_, i) => node(i + 1, "lb", 2, "in", `10.0.0.9:${i + 1}`, "10.0.0.2:2", "no record of its other end fits."));
  const pool = answer([node(0, "lb", 2, "out", "10.0.0.2:3", "10.0.0.4:4"), ...clients], clients.map((client) => edge("process", client.id, 0, "possible")));
  const { boxes, lines } = drawingOf(pool);
  const proxy = boxes.find((box) => box.kind === "process")!;
  expect(proxy.rows.length).toBe(kRowsMax);
  expect(proxy.more).toBe(40 - kRowsMax);
  expect(lines.filter((line) => line.class === "possible").length).toBe(kRowsMax);
  expect(overlaps(boxes)).toBe(0);
});
