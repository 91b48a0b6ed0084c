// How wrong a host's clock may have been over time: a step at every clock record of its capture, today's bound at the end.
import type { Row } from "../api/types";
import { ms } from "../format/times";

export const kRanges = { "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000 } as const;
export type Range = keyof typeof kRanges;

export interface ClockPoint {
  at: number; // ms
  error_ns: number | null; // null: not synchronised
}

// Clock records by host, oldest first.
export function clockPoints(rows: Row[]): Map<string, ClockPoint[]> {
  const out = new Map<string, ClockPoint[]>();
  for (const { record } of rows) {
    const host = String(record.host ?? "");
    const points = out.get(host) ?? [];
    points.push({ at: ms(String(record.time)), error_ns: typeof record.clock_error === "number" ? record.clock_error : null });
    out.set(host, points);
  }
  for (const points of out.values()) points.sort((a, b) => a.at - b.at);
  return out;
}

const kLow = 3; // 1 µs and less, as powers of ten of ns
const kHigh = 9; // 1 s and more

// A line in a box of 100 by 16, logarithmic in height; it breaks where the clock was not synchronised.
export function clockPath(points: ClockPoint[], now_ns: number | null, from: number, to: number): string {
  const y = (ns: number) => (15 - (14 * (Math.min(kHigh, Math.max(kLow, Math.log10(Math.max(1, ns)))) - kLow)) / (kHigh - kLow)).toFixed(1);
  const x = (at: number) => ((100 * (Math.min(Math.max(at, from), to) - from)) / Math.max(1, to - from)).toFixed(1);
  const steps = points.length === 0 ? [{ at: from, error_ns: now_ns }] : points;
  return steps
    .map(({ at, error_ns }, i) => (error_ns === null ? "" : `M${x(at)} ${y(error_ns)}H${x(steps[i + 1]?.at ?? to)}`))
    .join("");
}
