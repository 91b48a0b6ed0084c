import { expect, test } from "vitest";
import { isLive, rangeLabel, rowRange, shifted, shownSpan, windowOf } from "./window";

const of = (text: string) => windowOf(new URLSearchParams(text));
const now = Date.parse("2026-11-22T12:09:41Z");

test("without parameters the rows are unbounded, live, and the histogram shows a quarter of an hour", () => {
  expect(rowRange(of(""))).toEqual({ from: null, to: null });
  expect(isLive(of(""))).toBe(true);
  expect(shownSpan(of(""), now, null)).toEqual({ from: now - 900_000, to: now });
  expect(rangeLabel(of(""))).toBe("15m – now");
});

test("a young book's window begins at its first record, but is never under a minute", () => {
  expect(shownSpan(of(""), now, now - 300_000).from).toBe(now - 300_000);
  expect(shownSpan(of(""), now, now - 3000).from).toBe(now - 60_000);
});

test("a brush narrows the rows; its open right edge stays live", () => {
  const window = of("from=2026-11-22T11:57:00Z");
  expect(rangeLabel(window, "2026-11-22")).toBe("11:57:00 – now");
  expect(rangeLabel(window, "2026-11-23")).toBe("11-22 11:57 – now");
  expect(isLive(window)).toBe(true);
  expect(isLive(of("from=2026-11-22T11:57:00Z&to=2026-11-22T12:00:00Z"))).toBe(false);
});

test("windows move by their own length and come back to now", () => {
  const earlier = shifted(of("window=1h"), -1, now);
  expect(earlier).toEqual({ end: "2026-11-22T11:09:41.000Z", from: null, to: null });
  const window = of("window=1h&end=2026-11-22T11:09:41Z");
  expect(isLive(window)).toBe(false);
  expect(rowRange(window)).toEqual({ from: "2026-11-22T10:09:41.000Z", to: "2026-11-22T11:09:41.000Z" });
  expect(shifted(window, 1, now).end).toBe(null);
});

test("nonsense in the address reads as nothing", () => {
  expect(of("window=banana&from=x&end=y")).toMatchObject({ length: "15m", from: null, endMs: null });
});
