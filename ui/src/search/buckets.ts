// Widths of the histogram's bars: round numbers of time, so that bars stay where they are while the window moves.
const kWidthsS = [1, 2, 5, 6, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400];

// A whole number of bars of round width that covers [from, to], about `wanted` of them.
export function aligned(from: number, to: number, wanted: number): { from: number; to: number; buckets: number } {
  const exact = (to - from) / 1000 / wanted;
  const width = 1000 * (kWidthsS.find((candidate) => candidate >= exact * 0.95) ?? 86_400 * Math.ceil(exact / 86_400));
  const end = Math.ceil(to / width) * width;
  const buckets = Math.max(1, Math.ceil((end - from) / width));
  return { from: end - buckets * width, to: end, buckets };
}

// "6 s", "5 min", "1 h" of one bar.
export function widthText(ns: number): string {
  const seconds = ns / 1e9;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
