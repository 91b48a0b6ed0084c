// The range of time on the search screen, as it stands in the address: a window that the histogram shows (`window`, `end`) and,
// within it, a brush that narrows the rows (`from`, `to`).
import { rfc3339 } from "../format/times";

export const kWindows = ["5m", "15m", "1h", "6h", "24h", "7d"] as const;
const kDefault = "15m";
const kSpanMin = 60_000;

export interface TimeWindow {
  length: string; // as in the address
  spanMs: number;
  endMs: number | null; // null: now
  from: string | null; // the brush, RFC 3339
  to: string | null;
}

export function spanOf(length: string): number | null {
  const parts = /^(\d+)(s|m|h|d)$/.exec(length);
  if (!parts) return null;
  return Number(parts[1]) * { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[parts[2] as "s" | "m" | "h" | "d"];
}

const timeOr = (text: string | null): string | null => (text !== null && !Number.isNaN(Date.parse(text)) ? text : null);

export function windowOf(params: URLSearchParams): TimeWindow {
  const asked = params.get("window") ?? kDefault;
  const length = spanOf(asked) === null ? kDefault : asked;
  const end = timeOr(params.get("end"));
  return {
    length,
    spanMs: Math.max(kSpanMin, spanOf(length)!),
    endMs: end === null ? null : Date.parse(end),
    from: timeOr(params.get("from")),
    to: timeOr(params.get("to")),
  };
}

// What the histogram shows. A young book's window begins at its first record, once it is a minute old.
export function shownSpan(window: TimeWindow, now: number, first: number | null): { from: number; to: number } {
  const to = window.endMs ?? now;
  const from = to - window.spanMs;
  if (first === null || first <= from) return { from, to };
  return { from: Math.max(from, Math.min(first, to - kSpanMin)), to };
}

// The range that the rows are narrowed to: the brush, else a window that ended in the past; nothing while it is now.
export function rowRange(window: TimeWindow): { from: string | null; to: string | null } {
  if (window.from !== null || window.to !== null) return { from: window.from, to: window.to };
  if (window.endMs === null) return { from: null, to: null };
  return { from: rfc3339(window.endMs - window.spanMs), to: rfc3339(window.endMs) };
}

export const isLive = (window: TimeWindow): boolean => rowRange(window).to === null;

// One window earlier (-1) or later (+1); later than now is now. Changes for the address; the brush goes.
export function shifted(window: TimeWindow, by: -1 | 1, now: number): Record<string, string | null> {
  const end = (window.endMs ?? now) + by * window.spanMs;
  return { end: end >= now ? null : rfc3339(end), from: null, to: null };
}

// "11:57:00 – now", "15 min – now" without a brush; with their dates where these are not today's.
export function rangeLabel(window: TimeWindow, today = rfc3339(Date.now()).slice(0, 10)): string {
  const range = rowRange(window);
  const dated = [range.from, range.to].some((time) => time !== null && rfc3339(Date.parse(time)).slice(0, 10) !== today);
  const clock = (time: string) => rfc3339(Date.parse(time)).slice(dated ? 5 : 11, dated ? 16 : 19).replace("T", " ");
  if (range.from === null && range.to === null) return `${window.length} – now`;
  return `${range.from === null ? "start" : clock(range.from)} – ${range.to === null ? "now" : clock(range.to)}`;
}
