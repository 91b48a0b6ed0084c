// C2SP signed-note and tlog-checkpoint: parsing, and the Ed25519 signature by WebCrypto.
import { concat, equal, FormatError, fromBase64, fromHex, utf8 } from "./bytes";
import { type Hash, sha256 } from "./merkle";

const kEd25519 = 1;

export interface VerifierKey {
  name: string;
  id: Uint8Array; // 4 bytes
  key: Uint8Array; // 32 bytes
}

export interface Note {
  text: string; // ends in a newline; what the signatures cover
  signatures: { name: string; id: Uint8Array; signature: Uint8Array }[];
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Hash;
}

// Whether a note's signature holds: unsupported means that this browser cannot verify Ed25519, so nothing was learned.
export type SignatureVerdict = "good" | "bad" | "unsupported";

// Reads `name+hex8+base64(type ‖ key)` and recomputes the id. Throws FormatError.
export async function parseVkey(text: string): Promise<VerifierKey> {
  const [name, id, blob, ...rest] = splitVkey(text.trim());
  if (!name || !id || !blob || rest.length > 0 || /\s/.test(name)) throw new FormatError("not a verifier key");
  const typed = fromBase64(blob);
  if (typed.length !== 33 || typed[0] !== kEd25519) throw new FormatError("not an Ed25519 verifier key");
  const expected = (await sha256(concat(utf8(`${name}\n`), typed))).slice(0, 4);
  if (!equal(expected, fromHex(id))) throw new FormatError("the verifier key's id does not belong to it");
  return { name, id: expected, key: typed.slice(1) };
}

// The base64 part may hold "+", so only the first two separate.
function splitVkey(text: string): string[] {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  return first < 0 || second < 0 ? [] : [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}

// Throws FormatError.
export function parseNote(note: string): Note {
  if (/[\u0000-\u0009\u000b-\u001f\ufffd]/.test(note)) throw new FormatError("the note holds a control character");
  const split = note.lastIndexOf("\n\n");
  if (split < 0 || !note.endsWith("\n")) throw new FormatError("the note has no signatures");
  const signatures = note
    .slice(split + 2, -1)
    .split("\n")
    .map((line) => {
      const parts = /^— (\S+) (\S+)$/.exec(line);
      if (!parts) throw new FormatError("a signature line is malformed");
      const blob = fromBase64(parts[2]!);
      if (blob.length < 5) throw new FormatError("a signature is too short");
      return { name: parts[1]!, id: blob.slice(0, 4), signature: blob.slice(4) };
    });
  return { text: note.slice(0, split + 1), signatures };
}

// Signatures of other keys are ignored; one of this key that fails rejects the note, and so does having none.
export async function verifyNote(note: Note, key: VerifierKey): Promise<SignatureVerdict> {
  const ours = note.signatures.filter((signature) => signature.name === key.name && equal(signature.id, key.id));
  if (ours.length === 0) return "bad";
  let publicKey: CryptoKey;
  try {
    publicKey = await crypto.subtle.importKey("raw", key.key as BufferSource, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    return (error as DOMException).name === "NotSupportedError" ? "unsupported" : "bad";
  }
  const signed = utf8(note.text) as BufferSource;
  for (const { signature } of ours) {
    if (!(await crypto.subtle.verify({ name: "Ed25519" }, publicKey, signature as BufferSource, signed))) return "bad";
  }
  return "good";
}

// Throws FormatError. Extension lines after the root are allowed and ignored.
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root] = text.split("\n");
  if (!origin || !size || !root || !/^(0|[1-9]\d*)$/.test(size)) throw new FormatError("not a checkpoint");
  const parsed = { origin, size: Number(size), root: fromBase64(root) };
  if (!Number.isSafeInteger(parsed.size) || parsed.root.length !== 32) throw new FormatError("not a checkpoint");
  return parsed;
}
