// One record's proof: bytes → leaf → root → signature, and the shown fields against the bytes.
import { equal, fromBase64, fromHex } from "./bytes";
import { leafHash, verifyInclusion } from "./merkle";
import { type Checkpoint, parseCheckpoint, parseNote, type SignatureVerdict, type VerifierKey, verifyNote } from "./note";
import { decodeRecord, differingFields, type Fields } from "./record";

// What GET /records/ID gives, as far as a proof needs it.
export interface RecordAnswer {
  id: number;
  record: Record<string, unknown>;
  bytes: string;
  leaf: string;
  proof: { index: number; size: number; hashes: string[]; checkpoint: string } | null;
}

export type Verdict =
  | { state: "checked"; checkpoint: Checkpoint; note: string; hashes: number; took_ms: number; fields: Fields }
  | { state: "unsigned"; checkpoint: Checkpoint; note: string; hashes: number; took_ms: number; fields: Fields } // no Ed25519 in this browser
  | { state: "waiting" }
  | { state: "wrong"; reason: string };

const wrong = (reason: string): Verdict => ({ state: "wrong", reason });

// Throws nothing: whatever is malformed is wrong.
export async function verifyRecord(answer: RecordAnswer, key: VerifierKey, id: number): Promise<Verdict> {
  const started = performance.now();
  if (!answer.proof) return { state: "waiting" };
  try {
    const { proof } = answer;
    if (answer.id !== id || proof.index !== id) return wrong(`The answer is about record ${proof.index}, not ${id}.`);
    const bytes = fromHex(answer.bytes);
    const leaf = await leafHash(bytes);
    if (!equal(leaf, fromHex(answer.leaf))) return wrong(`The bytes of record ${id} do not hash to the leaf that came with them.`);
    const fields = decodeRecord(bytes);
    const differing = differingFields(fields, answer.record);
    if (differing.length > 0) return wrong(`What was sent as ${differing.join(", ")} is not what was hashed.`);
    const signed = await checkNote(proof.checkpoint, key);
    if (signed.signature === "bad") return wrong("The checkpoint is not signed by this book’s key.");
    const { checkpoint } = signed;
    if (checkpoint.size !== proof.size) return wrong(`The proof is for a tree of ${proof.size}, the checkpoint for ${checkpoint.size}.`);
    const hashes = proof.hashes.map(fromBase64);
    if (!(await verifyInclusion(id, checkpoint.size, leaf, hashes, checkpoint.root))) {
      return wrong(`Leaf ${id} does not lead to the root of ${checkpoint.size}.`);
    }
    const result = { checkpoint, note: proof.checkpoint, hashes: hashes.length, took_ms: performance.now() - started, fields };
    return { state: signed.signature === "good" ? "checked" : "unsigned", ...result };
  } catch (error) {
    return wrong(`The proof cannot be read: ${(error as Error).message}.`);
  }
}

// Parses a signed checkpoint and checks its signature and that its origin is the key's name. Throws FormatError.
export async function checkNote(text: string, key: VerifierKey): Promise<{ checkpoint: Checkpoint; signature: SignatureVerdict }> {
  const note = parseNote(text);
  const checkpoint = parseCheckpoint(note.text);
  return { checkpoint, signature: checkpoint.origin === key.name ? await verifyNote(note, key) : "bad" };
}
