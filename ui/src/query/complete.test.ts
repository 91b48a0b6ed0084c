import { expect, test } from "vitest";
import { completed, fieldSuggestions, slotAt, valueSuggestions, without } from "./complete";

const fields = ["dst.ip", "dst.port", "src.port", "user"].map((name) => ({ name, type: "text", doc: `doc of ${name}`, values: null, key: 1 }));
const at = (marked: string) => slotAt(marked.replace("|", ""), marked.indexOf("|"));

test("the slot at the caret", () => {
  expect(at("host:web-7 us|")).toMatchObject({ kind: "field", prefix: "us", start: 11, end: 13 });
  expect(at("host:web-7 user:de|")).toMatchObject({ kind: "value", field: "user", prefix: "de", start: 16, end: 18 });
  expect(at("host:web-7 user:|")).toMatchObject({ kind: "value", field: "user", prefix: "", start: 16, end: 16 });
  expect(at("us|er:deploy")).toMatchObject({ kind: "field", prefix: "us", start: 0, end: 5 });
  expect(at("host:web-7 |")).toMatchObject({ kind: "field", prefix: "" });
  expect(at("|")).toMatchObject({ kind: "field", prefix: "" });
  expect(at("-ex|")).toMatchObject({ kind: "field", prefix: "ex", start: 1 });
  expect(at('cmdline:"a |b"')).toBe(null);
  expect(at("user:(a or |")).toBe(null);
  expect(at("203.0.113.5:41|")).toBe(null);
});

test("fields that begin with what is typed come first", () => {
  expect(fieldSuggestions(fields, "port").map((s) => s.label)).toEqual(["dst.port", "src.port"]);
  expect(fieldSuggestions(fields, "d").map((s) => s.label)).toEqual(["dst.ip", "dst.port"]);
});

test("a suggestion replaces what is typed", () => {
  const slot = at("user:de|")!;
  const [suggestion] = valueSuggestions([{ value: "deploy", count: 3 }], "de");
  expect(completed("user:de", slot, suggestion!)).toEqual({ query: "user:deploy ", caret: 12 });
  const field = at("us|:x")!;
  expect(completed("us:x", field, fieldSuggestions(fields, "us")[0]!)).toEqual({ query: "user:x", caret: 5 });
  expect(without("a:1 user:de b:2", at("a:1 user:de| b:2")!)).toBe("a:1 b:2");
});
