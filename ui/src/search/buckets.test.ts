import { expect, test } from "vitest";
import { aligned, widthText } from "./buckets";

test("a quarter of an hour is 150 bars of six seconds, at the same places a moment later", () => {
  const to = Date.parse("2026-11-22T12:09:41Z");
  const first = aligned(to - 900_000, to, 150);
  expect((first.to - first.from) / first.buckets).toBe(6000);
  expect(first.to).toBeGreaterThanOrEqual(to);
  const later = aligned(to - 899_000, to + 1000, 150);
  expect((later.to - first.to) % 6000).toBe(0);
});

test.each([[6e9, "6 s"], [3e11, "5 min"], [3.6e12, "1 h"], [8.64e13, "1 d"]])("%d ns is %s", (ns, text) => expect(widthText(ns)).toBe(text));
