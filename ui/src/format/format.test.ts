import { expect, test } from "vitest";
import { fitted, parseEndpoint, prefixesOf, splitPrefix } from "./endpoints";
import { bytes, clockError, duration, shortCount } from "./numbers";
import { day, digits, interval, ms, ns } from "./times";

test.each([
  [200_000, "0.2 ms"], [738e6, "738 ms"], [999.6e6, "1.0 s"], [5e9, "5.0 s"], [59.96e9, "1m 0.0s"], [110.9e9, "1m 50.9s"],
  [7500e9, "2h 05m"], [273_600e9, "3d 04h"],
])("%d ns lasted %s", (ns, text) => expect(duration(ns)).toBe(text));

test.each([[61_000, "61 kB"], [4_200_000, "4.2 MB"], [999, "999 B"], [999_600, "1.0 MB"], [0, "0 B"]])("%d bytes are %s", (n, text) => {
  expect(bytes(n)).toBe(text);
});

test("counts in graphs are exact up to 9,999", () => {
  expect([9999, 12_400, 1_200_000].map(shortCount)).toEqual(["9,999", "12.4k", "1.2M"]);
});

test("clock errors", () => {
  expect([400_000, 1_000_000, 31_000, 250].map(clockError)).toEqual(["±0.4 ms", "±1 ms", "±31 µs", "±250 ns"]);
});

test("digits below the clock's error stand apart", () => {
  expect(digits("2026-11-22T12:03:01.990412877Z", 400_000)).toEqual(["9904", "12877"]);
  expect(digits("2026-11-22T12:03:01.990412877Z", null)).toEqual(["990", "412877"]);
});

test("times", () => {
  expect(ms("2026-11-22T12:03:01.990412877Z")).toBe(Date.UTC(2026, 10, 22, 12, 3, 1, 990));
  expect(ns("2026-11-22T12:03:01.990412877Z") % 1_000_000_000n).toBe(990_412_877n);
  expect(day("2026-11-21T16:42:00Z", Date.UTC(2026, 10, 22, 1))).toBe("yesterday 16:42");
  expect(interval("2026-11-22T12:03:01.992000000Z", "2026-11-22T12:05:02.871000000Z")).toBe("12:03:01.992 – 12:05:02.871");
});

test("endpoints keep their port, whatever is cut", () => {
  expect(parseEndpoint("[2001:db8::1]:53")).toEqual({ ip: "2001:db8::1", port: "53" });
  expect(fitted(parseEndpoint("192.168.100.200:51420"), 18)).toBe("….100.200");
  expect(fitted(parseEndpoint("10.8.3.17:51420"), 18)).toBe("10.8.3.17");
  expect(fitted(parseEndpoint("[2001:db8:aaaa:bbbb::17]:40022"), 18)).toBe("2001:…::17");
});

test("the prefixes that the book claims", () => {
  const prefixes = prefixesOf(["10.8.3.17", "203.0.113.5", "2001:db8:1:2::7", "::1"]);
  expect(prefixes).toEqual(["10.8.", "203.0.113.", "2001:db8:1:2:"]);
  expect(splitPrefix("10.8.4.20", prefixes)).toEqual(["10.8.", "4.20"]);
  expect(splitPrefix("198.51.100.9", prefixes)).toEqual(["", "198.51.100.9"]);
});
