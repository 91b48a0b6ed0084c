import { expect, test } from "vitest";
import { ApiError } from "../api/client";
import { errorSpan } from "./error_span";

const at = (text: string, position: number, length: number, shift = 0) =>
  errorSpan(text, new ApiError(400, "bad_input", "", { position, length }), shift);

test("bytes become characters, also behind letters of several bytes", () => {
  expect(at("host:web-7 dst.prt:443", 11, 7)).toEqual({ start: 11, end: 18 });
  expect(at("user:jürgen dst.prt:1", 13, 7)).toEqual({ start: 12, end: 19 });
  expect(at("dst.prt:1", 1, 7, 1)).toEqual({ start: 0, end: 7 });
  expect(at("a:", 2, 0)).toEqual({ start: 2, end: 2 });
  expect(errorSpan("x", new ApiError(500, "io", ""), 0)).toBe(null);
});
