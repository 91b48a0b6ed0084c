import { expect, test } from "vitest";
import type { Row } from "../api/types";
import { clockPath, clockPoints } from "./clock_line";

const row = (host: string, time: string, clock_error?: number) => ({ record: { host, time, ...(clock_error === undefined ? {} : { clock_error }) } }) as unknown as Row;

test("a host's clock steps at its records, breaks where it was not synchronised, and ends now", () => {
  const points = clockPoints([row("a", "2026-11-22T12:00:10Z", 1_000_000), row("a", "2026-11-22T12:00:05Z"), row("a", "2026-11-22T12:00:00Z", 1000), row("b", "2026-11-22T12:00:00Z", 7)]);
  const from = Date.parse("2026-11-22T12:00:00Z");
  expect(points.get("a")!.map((point) => point.error_ns)).toEqual([1000, null, 1_000_000]);
  expect(clockPath(points.get("a")!, 1, from, from + 20_000)).toBe("M0.0 15.0H25.0M50.0 8.0H100.0");
});

test("without a change it is level, and not drawn where nothing is known", () => {
  expect(clockPath([], 1_000_000, 0, 10)).toBe("M0.0 8.0H100.0");
  expect(clockPath([], null, 0, 10)).toBe("");
});
