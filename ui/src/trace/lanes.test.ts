import { expect, test } from "vitest";
import type { TraceAnswer } from "../api/types";
import { lanesOf } from "./lanes";
import { selectionOf } from "./selection";

const interval = (start: string | null, end: string | null) => ({ start, seen: "2026-11-22T12:00:00Z", end, clock_error_ns: 1 });
const node = (id: number, direction: "out" | "in", at: ReturnType<typeof interval>) => ({ id, host: "h", direction, src: "10.0.0.1:1", dst: "10.0.0.2:2", interval: at, process: null, bytes_in: null, bytes_out: null });
const answer = {
  nodes: [
    node(0, "out", interval("2026-11-22T12:00:00.000001Z", "2026-11-22T12:00:05.000001Z")),
    node(1, "in", interval("2026-11-22T12:00:00.000001Z", null)),
    node(2, "out", interval(null, null)),
  ],
  edges: [{ class: "proven", kind: "connection", from: 0, to: 1, order: "", leases: [{ host: "gw", internal: "10.0.0.1:1", external: "203.0.113.5:9", server: null, start: "2026-11-22T12:00:00.002001Z", end: null, records: [] }] }],
} as unknown as TraceAnswer;

test("each connection is one lane, as its client saw it; leases are lanes; what was there before comes first", () => {
  const lanes = lanesOf(answer);
  expect(lanes.map((lane) => [lane.key, lane.kind, lane.port, lane.offset])).toEqual([
    ["n2", "internal", ":1", "before capture"],
    ["n0", "internal", ":1", "+0"],
    ["e0.0", "external", ":9", "+2 ms"],
  ]);
  expect(lanes[1]!.lasted).toBe("5.0 s");
  expect(lanes[2]!.end).toBe(null);
});

test("a selection in the address that names nothing is none", () => {
  expect(selectionOf("e0", 1, 3)).toEqual({ kind: "edge", id: 0 });
  for (const text of ["e1", "n3", "x0", "", "e-1"]) expect(selectionOf(text, 1, 3)).toBe(null);
});
