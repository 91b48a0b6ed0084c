import { expect, test } from "vitest";
import { FormatError, fromHex } from "./bytes";
import { decodeRecord, differingFields, ipText, timeText } from "./record";

// {0: 1, 1: 1795348981990412877, 7: 1, 9: h'0a080311', 10: 51420, 18: "/usr/bin/python3", 66: h'a0'}
const kOpen = "a70001011b18ea5a7d0e7dd64d070109440a0803110a19c8dc12702f7573722f62696e2f707974686f6e3318424 1a0".replace(" ", "");

test("a record's bytes read as the program writes them", () => {
  expect(Object.fromEntries(decodeRecord(fromHex(kOpen)))).toEqual({
    kind: "open",
    time: timeText(0x18ea5a7d0e7dd64dn),
    direction: "out",
    "src.ip": "10.8.3.17",
    "src.port": 51420,
    exe: "/usr/bin/python3",
    attrs: { hex: "a0" },
  });
});

test("fields that differ, are added or are missing are named", () => {
  const decoded = decodeRecord(fromHex(kOpen));
  const shown = Object.fromEntries(decoded);
  expect(differingFields(decoded, shown)).toEqual([]);
  expect(differingFields(decoded, { ...shown, "src.port": 51421 })).toEqual(["src.port"]);
  expect(differingFields(decoded, { ...shown, attrs: { hex: "a1" } })).toEqual(["attrs"]);
  expect(differingFields(decoded, { ...shown, user: "alice" })).toEqual(["user"]);
  const { exe: _, ...less } = shown;
  expect(differingFields(decoded, less)).toEqual(["exe"]);
});

test.each([
  ["a number not in its shortest form", "a1001801"],
  ["keys that descend", "a201000001"],
  ["a key twice", "a200010001"],
  ["bytes after the map", "a1000100"],
  ["an indefinite map", "bf0001ff"],
  ["a float", "a101fb3ff0000000000000"],
  ["an array", "a1018100"],
  ["text that is not UTF-8", "a10361ff"],
  ["an unknown key", "a11901f400"],
  ["a text where a number belongs", "a1016161"],
  ["no map", "00"],
  ["an address of five bytes", "a109450a08031100"],
])("%s is refused", (_, hex) => {
  expect(() => decodeRecord(fromHex(hex))).toThrow(FormatError);
});

test("every prefix of a record is refused", () => {
  const bytes = fromHex(kOpen);
  for (let length = 0; length < bytes.length; ++length) expect(() => decodeRecord(bytes.subarray(0, length))).toThrow(FormatError);
});

test("addresses are written as RFC 5952 says", () => {
  const v6 = (hex: string) => ipText(fromHex(hex));
  expect(v6("20010db8000000000000000000000001")).toBe("2001:db8::1");
  expect(v6("00000000000000000000000000000000")).toBe("::");
  expect(v6("00000000000000000000000000000001")).toBe("::1");
  expect(v6("20010db8000100000001000000000001")).toBe("2001:db8:1:0:1::1");
  expect(v6("20010db8000100010001000100010000")).toBe("2001:db8:1:1:1:1:1:0");
});
