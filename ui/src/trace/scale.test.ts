import { expect, test } from "vitest";
import { foldedScale } from "./scale";

test("an even line is not folded", () => {
  const { at, folds } = foldedScale([0, 10, 20, 30]);
  expect(folds).toEqual([]);
  expect([-5, 0, 5, 15, 30, 40].map(at)).toEqual([0, 0, 1 / 6, 0.5, 1, 1]);
});

test("milliseconds stay apart beside minutes, and the shortened stretches are marked", () => {
  const { at, folds, stops } = foldedScale([0, 1, 120_001, 240_001]);
  expect(at(1)).toBeGreaterThan(0.1);
  expect(folds.length).toBe(2);
  expect(stops.map((stop) => stop.at)).toEqual([...stops.map((stop) => stop.at)].sort((a, b) => a - b));
  expect(at(240_001)).toBe(1);
});

test("one moment, twice, is a line", () => {
  expect(foldedScale([7, 7]).at(7)).toBe(0);
  expect(foldedScale([7]).folds).toEqual([]);
});
