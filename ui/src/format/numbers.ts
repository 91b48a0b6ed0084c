// Counts, bytes and durations as page texts.

export function count(n: number): string {
  return n.toLocaleString("en-US");
}

// Exact up to 9,999, then 12.4k; for graphs, never for tables and answers.
export function shortCount(n: number): string {
  if (n < 10_000) return count(n);
  for (const [unit, size] of [["k", 1e3], ["M", 1e6], ["G", 1e9]] as const) {
    if (n < size * 1000) return `${(n / size).toFixed(1)}${unit}`;
  }
  return count(n);
}

// Decimal: 61 kB, 4.2 MB.
export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let value = n;
  let unit = -1;
  do {
    value /= 1000;
    ++unit;
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

// Two units at most: 0.2 ms, 738 ms, 5.0 s, 1m 50.9s, 2h 05m, 3d 04h.
export function duration(ns: number): string {
  const ms = ns / 1e6;
  if (ms < 0.95) return `${Math.max(0.1, ms).toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  const seconds = ms / 1000;
  const tenths = Math.round(seconds * 10);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
  const two = (n: number) => Math.floor(n).toString().padStart(2, "0");
  if (tenths < 36_000) return `${Math.floor(tenths / 600)}m ${((tenths % 600) / 10).toFixed(1)}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${two((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${two((seconds % 86_400) / 3600)}h`;
}

// Whole seconds, minutes or hours beside an absolute time: 9 s, 4 min, 3 h, 2 d.
export function ago(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function clockError(ns: number): string {
  if (ns < 950) return `±${ns} ns`;
  return ns < 95_000 ? `±${(ns / 1000).toFixed(0)} µs` : `±${trimmed(ns / 1e6)} ms`;
}

const trimmed = (n: number) => (n < 9.95 ? n.toFixed(1).replace(/\.0$/, "") : n.toFixed(0));
