import { expect, test } from "vitest";
import type { Row } from "../api/types";
import { argumentsOf, lasted, missingExternal, processOf, rowLabel, userOf } from "./row_text";

const row = (more: Partial<Row> = {}, record: Record<string, unknown> = {}): Row => ({
  id: 7, state: "closed", start: "2026-11-22T12:03:01.990412877Z", duration_ns: 110_900_000_000, internal: "10.8.3.17:51420", external: "203.0.113.5:41234",
  nat: "translated", nat_reason: null, records: [7], ...more,
  record: { direction: "out", "dst.ip": "198.51.100.9", "dst.port": 443, exe: "/usr/bin/python3", pid: 7273, uid: 1001, user: "deploy", cmdline: "python3 -m report", ...record },
});

test("a row read aloud names both ports", () => {
  expect(rowLabel(row())).toBe(
    "outbound, internal port 51420 on 10.8.3.17, external port 41234 on 203.0.113.5, to 198.51.100.9:443, python3 7273, 1m 50.9s",
  );
  expect(rowLabel(row({ nat: "none", external: null }))).toContain("external the same");
});

test("what is missing says why", () => {
  expect(missingExternal(row({ nat: "unknown", nat_reason: "no_conntrack" }))).toBe("no conntrack");
  expect(missingExternal(row({ nat: null, state: "open" }))).toBe("not yet seen");
  expect(lasted(row({ duration_ns: null }))).toEqual({ text: "start?", missing: true });
  expect(lasted(row({ state: "failed" }, { outcome: "refused" }))).toEqual({ text: "refused", missing: false });
  expect(userOf(row({}, { user: undefined })).text).toBe("uid 1001");
  expect(processOf(row({}, { exe: undefined, comm: "python3" })).name).toBe("python3");
  expect(argumentsOf(row())).toBe("-m report");
  expect(argumentsOf(row({}, { cmdline: undefined }))).toBe("not seen");
});
