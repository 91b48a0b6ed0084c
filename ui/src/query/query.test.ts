import { expect, test } from "vitest";
import { inclusionOf, toggled } from "./edit";
import { withRange } from "./range";
import { quoted, tokenize, topTerms } from "./tokens";

const kinds = (query: string) => tokenize(query).filter((t) => t.kind !== "space").map((t) => `${t.kind[0]}:${t.text}`);

test("tokens tell fields, operators, values and words apart", () => {
  expect(kinds('host:web-7 -exe:node_exporter or "free text"')).toEqual([
    "f:host:", "v:web-7", "o:-", "f:exe:", "v:node_exporter", "o:or", 'w:"free text"',
  ]);
  expect(kinds("user:(a or b) (dst.port:443)")).toEqual(["f:user:", "v:(a or b)", "o:(", "f:dst.port:", "v:443", "o:)"]);
  expect(kinds('cmdline~"a b" 203.0.113.5:41234')).toEqual(["f:cmdline~", 'v:"a b"', "w:203.0.113.5:41234"]);
});

test.each(['a:"', "a:(", "((", '"', "-", "a:b)c", "  x  ", 'a~"\\"b" c'])("the tokens of %j joined are the text", (query) => {
  expect(tokenize(query).map((t) => t.text).join("")).toBe(query);
});

test("including, excluding and taking back", () => {
  expect(toggled("", "user", "deploy", "included")).toBe("user:deploy");
  expect(toggled("host:web-7", "user", "deploy", "excluded")).toBe("host:web-7 -user:deploy");
  expect(toggled("host:web-7 -user:deploy", "user", "deploy", "excluded")).toBe("host:web-7");
  expect(toggled("-user:deploy host:web-7", "user", "deploy", "included")).toBe("host:web-7 user:deploy");
  expect(toggled("a or b", "user", "deploy", "included")).toBe("(a or b) user:deploy");
  expect(inclusionOf('-cmdline:"a b"', "cmdline", "a b")).toBe("excluded");
  expect(inclusionOf("x:1 or user:deploy", "user", "deploy")).toBe(null);
});

test("values are quoted when the language needs it", () => {
  expect(quoted("/usr/bin/python3")).toBe("/usr/bin/python3");
  expect(quoted("a b")).toBe('"a b"');
  expect(quoted('say "hi"')).toBe('"say \\"hi\\""');
  expect(quoted("or")).toBe('"or"');
  expect(quoted("[x]")).toBe('"[x]"');
  expect(topTerms(`cmdline:${quoted('say "hi"')}`)[0]!.value).toBe('say "hi"');
});

test("a list, a range and a pattern are no single values", () => {
  const literal = (query: string) => topTerms(query).map((term) => term.literal);
  expect(literal('port:(1 or 2) port:1..5 bytes_in:>9 exe:*py user:deploy cmdline:"*"')).toEqual([false, false, false, false, true, true]);
});

test("a range is added around the query", () => {
  expect(withRange("a or b", "2026-11-22T12:00:00Z", null)).toEqual({ q: "(a or b) since:2026-11-22T12:00:00Z", shift: 1 });
  expect(withRange("", null, "2026-11-22T12:00:00Z")).toEqual({ q: "until:2026-11-22T12:00:00Z", shift: 0 });
  expect(withRange("x", null, null)).toEqual({ q: "x", shift: 0 });
});
