import { expect, test } from "vitest";
import { marked } from "./marked";

test("the parts that were read are cut out, counted in bytes", () => {
  const text = "à 2026-11-22T12:03:04Z from 203.0.113.5:41234";
  expect(marked(text, [{ start: 29, end: 46, role: "endpoint" }, { start: 3, end: 23, role: "time" }])).toEqual([
    { text: "à ", role: "" },
    { text: "2026-11-22T12:03:04Z", role: "time" },
    { text: " from ", role: "" },
    { text: "203.0.113.5:41234", role: "endpoint" },
  ]);
});

test("spans that overlap or leave the text are ignored, and no text is lost", () => {
  const pieces = marked("abcdef", [{ start: 1, end: 3, role: "time" }, { start: 2, end: 4, role: "peer" }, { start: 5, end: 9, role: "endpoint" }]);
  expect(pieces.map((piece) => piece.text).join("")).toBe("abcdef");
  expect(pieces.filter((piece) => piece.role !== "")).toHaveLength(1);
});
