// Reads the bytes that are hashed: one deterministic CBOR map (RFC 8949 section 4.2.1) from small integer keys to numbers, byte
// strings and texts. Anything else is refused, so that one record has one form.
import { FormatError } from "./bytes";

export type CborValue = bigint | Uint8Array | string;

interface Reader {
  bytes: Uint8Array;
  at: number;
}

function head(reader: Reader): { major: number; argument: bigint } {
  const first = byteAt(reader);
  const major = first >> 5;
  const low = first & 31;
  if (low < 24) return { major, argument: BigInt(low) };
  if (low > 27) throw new FormatError(`byte ${reader.at - 1} is no definite length`);
  const width = 1 << (low - 24);
  let argument = 0n;
  for (let i = 0; i < width; ++i) argument = (argument << 8n) | BigInt(byteAt(reader));
  const shorter = width === 1 ? 24n : 1n << BigInt(4 * width);
  if (argument < shorter) throw new FormatError(`the number before byte ${reader.at} is not in its shortest form`);
  return { major, argument };
}

function byteAt(reader: Reader): number {
  const byte = reader.bytes[reader.at];
  if (byte === undefined) throw new FormatError("the record is cut short");
  ++reader.at;
  return byte;
}

function take(reader: Reader, length: bigint): Uint8Array {
  if (length > BigInt(reader.bytes.length - reader.at)) throw new FormatError("the record is cut short");
  const start = reader.at;
  reader.at += Number(length);
  return reader.bytes.subarray(start, reader.at);
}

function value(reader: Reader): CborValue {
  const { major, argument } = head(reader);
  if (major === 0) return argument;
  if (major === 1) return -1n - argument;
  if (major === 2) return take(reader, argument);
  if (major === 3) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(reader, argument));
    } catch {
      throw new FormatError(`the text before byte ${reader.at} is not UTF-8`);
    }
  }
  throw new FormatError(`a value of CBOR type ${major} before byte ${reader.at}`);
}

// The map's entries by key. Throws FormatError.
export function decodeMap(bytes: Uint8Array): Map<number, CborValue> {
  const reader = { bytes, at: 0 };
  const { major, argument: count } = head(reader);
  if (major !== 5) throw new FormatError("the record is not a CBOR map");
  const out = new Map<number, CborValue>();
  let last = -1n;
  for (let i = 0n; i < count; ++i) {
    const key = head(reader);
    if (key.major !== 0 || key.argument <= last) throw new FormatError("the record's keys are not in ascending order");
    last = key.argument;
    out.set(Number(key.argument), value(reader));
  }
  if (reader.at !== bytes.length) throw new FormatError("bytes follow the record");
  return out;
}
