// A record's fields read from the very bytes that are hashed, in the JSON form that the program writes, and compared with what
// it wrote.
import { FormatError, toHex } from "./bytes";
import { type CborValue, decodeMap } from "./cbor";
import { type FieldInfo, fieldTable } from "./field_table";

export type FieldValue = string | number | bigint | { hex: string };
export type Fields = Map<string, FieldValue>;

const byKey = new Map(fieldTable.map((field) => [field.key, field]));
export const fieldByName = new Map(fieldTable.map((field) => [field.name, field]));

// Throws FormatError: not canonical, a key that this page's table lacks, or a value of the wrong type.
export function decodeRecord(bytes: Uint8Array): Fields {
  const out: Fields = new Map();
  for (const [key, value] of decodeMap(bytes)) {
    const field = byKey.get(key);
    if (!field) throw new FormatError(`key ${key} is not in this page's field table: the book is newer than the page`);
    out.set(field.name, jsonValue(field, value));
  }
  return out;
}

function jsonValue(field: FieldInfo, value: CborValue): FieldValue {
  switch (field.type) {
    case "uint":
    case "duration":
    case "port":
      return unsigned(field, value);
    case "signed":
      if (typeof value === "bigint") return narrowed(value);
      break;
    case "enum": {
      const number = unsigned(field, value);
      return field.values?.[Number(number)] ?? number;
    }
    case "time":
      return timeText(BigInt(unsigned(field, value)));
    case "ip":
      if (value instanceof Uint8Array) return ipText(value);
      break;
    case "id128":
      if (value instanceof Uint8Array && value.length === 16) return toHex(value);
      break;
    case "text":
      if (typeof value === "string") return value;
      if (value instanceof Uint8Array) return { hex: toHex(value) };
      break;
    case "cbor":
      if (value instanceof Uint8Array) return { hex: toHex(value) };
  }
  throw new FormatError(`field ${field.name} has a value of the wrong type`);
}

function unsigned(field: FieldInfo, value: CborValue): number | bigint {
  if (typeof value !== "bigint" || value < 0n) throw new FormatError(`field ${field.name} has a value of the wrong type`);
  return narrowed(value);
}

const narrowed = (value: bigint): number | bigint => (value <= 9007199254740991n && value >= -9007199254740991n ? Number(value) : value);

// Nanoseconds since 1970 as RFC 3339 UTC with nine digits.
export function timeText(ns: bigint): string {
  const seconds = new Date(Number(ns / 1_000_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}Z`;
}

// Dotted IPv4, or RFC 5952 IPv6.
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new FormatError("an address is not 4 or 16 bytes long");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
  let run = { start: -1, length: 1 }; // the first longest run of at least two zero groups is cut
  for (let start = 0; start < 8; ++start) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) ++length;
    if (length > run.length) run = { start, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (run.start < 0) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

// The fields in which `shown` says something else than the hashed bytes, lacks something or adds something.
// Numbers above 2^53 are compared as JSON can carry them.
export function differingFields(decoded: Fields, shown: Record<string, unknown>): string[] {
  const names = new Set([...decoded.keys(), ...Object.keys(shown)]);
  return [...names].filter((name) => !same(decoded.get(name), shown[name]));
}

function same(decoded: FieldValue | undefined, shown: unknown): boolean {
  if (decoded === undefined || shown === undefined) return false;
  if (typeof decoded === "bigint") return Number(decoded) === shown || decoded.toString() === shown;
  if (typeof decoded === "object") return typeof shown === "object" && shown !== null && (shown as { hex?: unknown }).hex === decoded.hex;
  return decoded === shown;
}
