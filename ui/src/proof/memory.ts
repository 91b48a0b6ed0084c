// What this browser remembers of a book, and whether the book it meets now is that one: the same key, and a tree that begins
// with the remembered tree. Without it a server that lies would pass its own check.
import { fromBase64, toBase64 } from "./bytes";
import { verifyConsistency } from "./merkle";
import type { Checkpoint, SignatureVerdict, VerifierKey } from "./note";
import { checkNote } from "./verify";

export interface Remembered {
  vkey: string;
  since: string; // RFC 3339: when this key was first seen here
  note: string; // the newest signed checkpoint that was accepted
  size: number;
  root: string; // base64
  seen: string; // RFC 3339: when
}

// GET /consistency
export interface ConsistencyAnswer {
  from: number;
  to: number;
  hashes: string[];
  checkpoint: string;
}

// Where the page asks. A refusal is the book's own 4xx; failing to answer throws.
export interface ConsistencySource {
  consistency(from: number): Promise<ConsistencyAnswer | "refused">;
  checkpoint(): Promise<string>;
}

export type Continuity =
  | { state: "extends"; checkpoint: Checkpoint; note: string; hashes: number; signature: SignatureVerdict }
  | { state: "rewritten"; reason: string; note: string };

const broken = (reason: string, note: string): Continuity => ({ state: "rewritten", reason, note });

// Asks for the proof that today's tree begins with the tree of `known`, and checks it. Throws when the book does not answer.
export async function extendCheckpoint(known: Checkpoint, key: VerifierKey, source: ConsistencySource): Promise<Continuity> {
  const answer = known.size === 0 ? await fromNothing(source) : await source.consistency(known.size);
  if (answer === "refused") {
    const note = await source.checkpoint();
    return broken(`It does not prove that the checkpoint of ${known.size} is a part of it.`, note);
  }
  const read = await readNote(answer.checkpoint, key);
  if (typeof read === "string") return broken(read, answer.checkpoint);
  const { checkpoint, signature } = read;
  if (checkpoint.size < known.size) {
    return broken(`It holds ${checkpoint.size} records; it held ${known.size} before.`, answer.checkpoint);
  }
  if (known.size > 0) {
    const hashes = decodeHashes(answer.hashes);
    const holds = hashes !== null && (await verifyConsistency(known.size, checkpoint.size, hashes, known.root, checkpoint.root));
    if (!holds) return broken(`The checkpoint of ${known.size} is not a part of this one, ${checkpoint.size}.`, answer.checkpoint);
  }
  return { state: "extends", checkpoint, note: answer.checkpoint, hashes: answer.hashes.length, signature };
}

// An empty tree is the beginning of every tree; only the new checkpoint itself is to be read.
async function fromNothing(source: ConsistencySource): Promise<ConsistencyAnswer> {
  return { from: 0, to: 0, hashes: [], checkpoint: await source.checkpoint() };
}

async function readNote(note: string, key: VerifierKey) {
  try {
    const read = await checkNote(note, key);
    return read.signature === "bad" ? "Its checkpoint is not signed by the remembered key." : read;
  } catch (error) {
    return `Its checkpoint cannot be read: ${(error as Error).message}.`;
  }
}

function decodeHashes(hashes: string[]) {
  try {
    return hashes.map(fromBase64);
  } catch {
    return null;
  }
}

// Whether `other`, a signed checkpoint that came with a record, and `head` belong to one history: both are followed to today's
// tree until they meet in one size. "unknown" when they do not meet because the book grows between the two questions.
export async function connectCheckpoint(
  other: Checkpoint,
  head: Checkpoint,
  key: VerifierKey,
  source: ConsistencySource,
): Promise<Continuity | { state: "unknown" }> {
  const ends: [Map<number, string>, Map<number, string>] = [new Map(), new Map()];
  for (let tries = 0; tries < 6; ++tries) {
    const [a, b] = await Promise.all([extendCheckpoint(head, key, source), extendCheckpoint(other, key, source)]);
    if (a.state === "rewritten") return a;
    if (b.state === "rewritten") return b;
    ends[0].set(a.checkpoint.size, toBase64(a.checkpoint.root));
    ends[1].set(b.checkpoint.size, toBase64(b.checkpoint.root));
    for (const [size, root] of ends[0]) {
      const met = ends[1].get(size);
      if (met === undefined) continue;
      return met === root ? a : broken(`Two signed trees of ${size} records differ.`, b.note);
    }
  }
  return { state: "unknown" };
}

export function checkpointOf(remembered: Remembered): Checkpoint {
  return { origin: remembered.vkey.slice(0, remembered.vkey.indexOf("+")), size: remembered.size, root: fromBase64(remembered.root) };
}

export function rememberedOf(vkey: string, since: string, checkpoint: Checkpoint, note: string, now: string): Remembered {
  return { vkey, since, note, size: checkpoint.size, root: toBase64(checkpoint.root), seen: now };
}

// The browser's memory for this address; a value that is not ours reads as nothing.
const kKey = "portbook.remembered";
const kKept = "portbook.kept"; // what contradicted, or was replaced by a person's decision; newest last

export function recall(storage: Storage): Remembered | null {
  try {
    const value = JSON.parse(storage.getItem(kKey) ?? "null") as Remembered | null;
    if (value === null || typeof value.vkey !== "string" || !Number.isSafeInteger(value.size)) return null;
    checkpointOf(value);
    return value;
  } catch {
    return null;
  }
}

export function remember(storage: Storage, value: Remembered): void {
  storage.setItem(kKey, JSON.stringify(value));
}

// Keeps a checkpoint as evidence beside the current one; at most 20.
export function keep(storage: Storage, value: { vkey: string; note: string; seen: string; why: string }): void {
  let kept: unknown[];
  try {
    kept = JSON.parse(storage.getItem(kKept) ?? "[]") as unknown[];
  } catch {
    kept = [];
  }
  storage.setItem(kKept, JSON.stringify([...kept, value].slice(-20)));
}

export function keptEvidence(storage: Storage): string {
  return storage.getItem(kKept) ?? "[]";
}

// The checkpoints that this browser accepted of one key, at most one a minute, newest first: each was proven to extend the one before.
export interface Accepted {
  vkey: string;
  size: number;
  root: string; // base64
  seen: string; // RFC 3339
}

const kHistory = "portbook.history";
const kHistoryMax = 200;
const kHistoryEveryMs = 60_000;

export function acceptedBefore(storage: Storage, vkey: string): Accepted[] {
  try {
    const all = JSON.parse(storage.getItem(kHistory) ?? "[]") as Accepted[];
    return all.filter((one) => one?.vkey === vkey && Number.isSafeInteger(one.size) && typeof one.root === "string" && typeof one.seen === "string");
  } catch {
    return [];
  }
}

export function noteAccepted(storage: Storage, value: Accepted): void {
  const all = acceptedBefore(storage, value.vkey);
  const newest = all[0];
  if (newest && (newest.size === value.size || Date.parse(value.seen) - Date.parse(newest.seen) < kHistoryEveryMs)) return;
  storage.setItem(kHistory, JSON.stringify([value, ...all].slice(0, kHistoryMax)));
}

// The last sample of records that this browser checked.
export interface SampleCheck {
  vkey: string;
  at: string; // RFC 3339
  checked: number;
  of: number;
  size: number; // records in the book then
  took_ms: number;
}

const kSample = "portbook.sample";

export function lastSample(storage: Storage, vkey: string): SampleCheck | null {
  try {
    const value = JSON.parse(storage.getItem(kSample) ?? "null") as SampleCheck | null;
    return value?.vkey === vkey && Number.isSafeInteger(value.checked) ? value : null;
  } catch {
    return null;
  }
}

export function rememberSample(storage: Storage, value: SampleCheck): void {
  storage.setItem(kSample, JSON.stringify(value));
}
