import { expect, test } from "vitest";
import { holdsEndpointAndTime } from "./paste";

test.each([
  "2026-11-22T12:03:04.123Z waf[2210]: client=203.0.113.5:41234 server=198.51.100.9:443",
  "Nov 22 12:03:04 lb-1 haproxy[1]: 203.0.113.5:41234 [22/Nov/2026:12:03:04.123] fe be/s",
  "1795348984.123 TCP [2001:db8::7]:51420 open",
])("%s opens Who", (line) => expect(holdsEndpointAndTime(line)).toBe(true));

test.each(["203.0.113.5:41234", "2026-11-22T12:03:04Z 203.0.113.5", "hello", "at 12:03:04 from 203.0.113.5:41234"])("%s does not", (line) =>
  expect(holdsEndpointAndTime(line)).toBe(false),
);
