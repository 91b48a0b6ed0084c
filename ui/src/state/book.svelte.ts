// The book behind this page: its state, and whether it is the one that this browser remembers. The newest accepted checkpoint is
// followed from the remembered one by consistency proofs; what contradicts it is kept and said until a person dismisses it.
import { SvelteSet } from "svelte/reactivity";
import { ApiError, consistencySource, record as fetchRecord, status as fetchStatus } from "../api/client";
import type { RecordPage, Status } from "../api/types";
import {
  checkpointOf, connectCheckpoint, type Continuity, extendCheckpoint, keep, keptEvidence, noteAccepted, recall, remember, type Remembered,
  rememberedOf,
} from "../proof/memory";
import { equal, FormatError, toBase64 } from "../proof/bytes";
import { checkProofs, readEvidence } from "../proof/evidence_file";
import { type Checkpoint, parseVkey, type VerifierKey } from "../proof/note";
import { checkNote, type Verdict, verifyRecord } from "../proof/verify";

const kPollMs = 3000;
const kFollowMs = 1000; // at most one consistency proof in that time

export interface Head {
  checkpoint: Checkpoint;
  note: string;
  signed: boolean; // false: this browser cannot verify Ed25519
  at: number; // when it was accepted
}

export interface Alarm {
  kind: "proof" | "rewritten" | "other_key" | "bad_key";
  title: string;
  text: string;
  dismissed: boolean;
}

export type Link = "same" | "extends" | "unknown" | "rewritten";
export interface Proven {
  page: RecordPage;
  verdict: Verdict;
  link: Link; // of the proof's checkpoint to the remembered one
}

export type OnScreen = { state: "complete" | "incomplete" | "not_covered" | "capturing"; label: string; bold?: string; title: string };

class Book {
  status = $state.raw<Status | null>(null);
  answeredAt = $state(0); // when the last answer came
  silentSince = $state<number | null>(null); // when it stopped answering
  nextTry = $state(0);
  failure = $state.raw<ApiError | null>(null);

  before = $state.raw<Remembered | null>(null); // as remembered when the page was opened
  head = $state.raw<Head | null>(null);
  extension = $state.raw<{ hashes: number; took_ms: number } | null>(null); // from `before` to the first head
  alarm = $state.raw<Alarm | null>(null);
  onScreen = $state.raw<OnScreen | null>(null);
  readonly proven = new SvelteSet<number>(); // records whose proof was checked here

  private key: VerifierKey | null = null;
  private following: Promise<void> | null = null;
  private followedAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  start(): void {
    this.before = recall(localStorage);
    void this.poll();
  }

  async poll(): Promise<void> {
    clearTimeout(this.timer);
    try {
      this.take(await fetchStatus());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return; // the page begins anew after the login
      this.missed(error instanceof ApiError ? error : new ApiError(0, "malformed", "The book’s answer is malformed."));
    }
    const wait = this.silentSince === null ? kPollMs : 2000;
    this.nextTry = Date.now() + wait;
    this.timer = setTimeout(() => void this.poll(), wait);
  }

  // A status from any channel.
  take(status: Status): void {
    this.answeredAt = Date.now();
    this.silentSince = null;
    this.failure = null;
    this.status = status;
    const [size, root] = sizeAndRoot(status.checkpoint);
    this.follow(size, root);
  }

  private missed(error: ApiError): void {
    this.failure = error;
    this.silentSince ??= this.answeredAt === 0 ? Date.now() : this.answeredAt;
  }

  // Takes note that a checkpoint of that size exists, and with that root where it is told: the head follows, at most once a second. One
  // of the head's own size is nothing new only if it is the head: another root there is another history.
  follow(size: number, root: string | null = null): void {
    if (this.following || this.status === null || this.alarm?.kind === "other_key" || this.alarm?.kind === "rewritten") return;
    const same = this.head?.checkpoint.size === size && (root === null || root === toBase64(this.head.checkpoint.root));
    if (this.head && (same || Date.now() - this.followedAt < kFollowMs)) return;
    this.followedAt = Date.now();
    this.following = this.advance()
      .catch(() => undefined) // no answer: the next status tries again
      .finally(() => (this.following = null));
  }

  private async advance(): Promise<void> {
    const key = await this.verifierKey();
    if (!key) return;
    const known = this.head?.checkpoint ?? (this.before ? checkpointOf(this.before) : { origin: key.name, size: 0, root: new Uint8Array(32) });
    const started = performance.now();
    const result = await extendCheckpoint(known, key, consistencySource);
    if (result.state === "extends" && this.before && this.extension === null) {
      this.extension = { hashes: result.hashes, took_ms: performance.now() - started };
    }
    this.accept(result);
  }

  private accept(result: Continuity): void {
    if (result.state === "rewritten") return this.contradicted(result.reason, result.note);
    const { checkpoint, note, signature } = result;
    if (this.head && checkpoint.size < this.head.checkpoint.size) return; // an older answer that came late
    const vkey = this.status!.vkey;
    const now = new Date().toISOString();
    this.head = { checkpoint, note, signed: signature === "good", at: Date.now() };
    noteAccepted(localStorage, { vkey, size: checkpoint.size, root: toBase64(checkpoint.root), seen: now });
    remember(localStorage, rememberedOf(vkey, this.before?.vkey === vkey ? this.before.since : now, checkpoint, note, now));
  }

  // The key that notes are checked with: the remembered one. Null when another key answers, which raises the alarm.
  private async verifierKey(): Promise<VerifierKey | null> {
    const vkey = this.status!.vkey;
    if (this.before && this.before.vkey !== vkey) {
      keep(localStorage, { vkey, note: this.status!.checkpoint, seen: new Date().toISOString(), why: "another key" });
      this.raise({
        kind: "other_key",
        title: "Another book answers here",
        text: `Its key is not the one this browser remembers since ${this.before.since.slice(0, 16).replace("T", " ")}. Both are kept in this browser.`,
      });
      return null;
    }
    try {
      return (this.key ??= await parseVkey(vkey));
    } catch (error) {
      this.raise({ kind: "bad_key", title: "The book’s key cannot be read", text: `${(error as Error).message}.` });
      return null;
    }
  }

  private contradicted(reason: string, note: string): void {
    keep(localStorage, { vkey: this.status!.vkey, note, seen: new Date().toISOString(), why: reason });
    this.raise({ kind: "rewritten", title: "This book is not the one you saw before", text: `${reason} Both are kept in this browser.` });
  }

  raise(alarm: Omit<Alarm, "dismissed">): void {
    if (this.alarm?.kind === alarm.kind && this.alarm.text === alarm.text) return;
    this.alarm = { ...alarm, dismissed: false };
  }

  dismiss(): void {
    if (this.alarm) this.alarm = this.alarm.kind === "proof" ? null : { ...this.alarm, dismissed: true };
  }

  // A person's decision after an alarm: what was remembered is kept aside, and memory begins anew with this book.
  acceptThisBook(): void {
    if (this.before) keep(localStorage, { ...this.before, why: "replaced by a person’s decision" });
    for (const name of ["remembered", "history", "sample"]) localStorage.removeItem(`portbook.${name}`);
    this.before = null;
    this.head = null;
    this.key = null;
    this.alarm = null;
    this.proven.clear();
    void this.poll();
  }

  evidence(): string {
    return JSON.stringify({ remembered: this.before, status: this.status, kept: JSON.parse(keptEvidence(localStorage)) }, null, 2);
  }

  // Fetches one record and checks its proof here. Throws ApiError when it cannot be fetched.
  async prove(id: number, signal?: AbortSignal): Promise<Proven> {
    const page = await fetchRecord(id, signal);
    if (this.status === null) this.take(await fetchStatus(signal));
    const key = await this.verifierKey();
    if (!key) return { page, verdict: { state: "wrong", reason: "The key that answers is not the remembered one." }, link: "rewritten" };
    const verdict = await verifyRecord(page, key, id);
    if (verdict.state === "wrong") {
      this.raise({ kind: "proof", title: "A proof is wrong", text: `${verdict.reason} Keep this page; export what you see; run portbook verify.` });
      return { page, verdict, link: "unknown" };
    }
    if (verdict.state === "waiting") return { page, verdict, link: "unknown" };
    const link = await this.connect(verdict.checkpoint, verdict.note, key);
    if (verdict.state === "checked" && link !== "rewritten") this.proven.add(id);
    return { page, verdict, link };
  }

  // Checks an evidence file before it is saved: its form, every proof, and every checkpoint against the remembered book. Throws
  // FormatError with what does not hold, which raises the alarm too.
  async checkEvidence(bytes: Uint8Array): Promise<{ records: number; rowsCut: number | null }> {
    if (this.status === null) this.take(await fetchStatus());
    const key = await this.verifierKey();
    try {
      const file = await readEvidence(bytes);
      if (!key || file.vkey !== this.status!.vkey) throw new FormatError("its key is not the remembered one");
      const checkpoints = await checkProofs(file, (note) => checkNote(note, key));
      for (const [note, checkpoint] of checkpoints) {
        if ((await this.connect(checkpoint, note, key)) === "rewritten") throw new FormatError("its checkpoint is not of the book that was seen before");
      }
      return { records: file.records.length, rowsCut: file.rowsCut };
    } catch (error) {
      if (error instanceof FormatError && this.alarm === null)
        this.raise({ kind: "proof", title: "An evidence file is wrong", text: `It was not saved: ${error.message}. Keep this page; run portbook verify.` });
      throw error;
    }
  }

  private async connect(checkpoint: Checkpoint, note: string, key: VerifierKey): Promise<Link> {
    await this.following;
    if (this.head === null) await this.advance();
    const head = this.head?.checkpoint;
    if (!head) return "rewritten";
    if (head.size === checkpoint.size) {
      if (equal(head.root, checkpoint.root)) return "same";
      this.contradicted(`Two signed trees of ${head.size} records differ.`, note);
      return "rewritten";
    }
    try {
      const result = await connectCheckpoint(checkpoint, head, key, consistencySource);
      if (result.state === "unknown") return "unknown";
      this.accept(result);
      return result.state;
    } catch {
      return "unknown";
    }
  }
}

// Of a signed note, as it says them.
function sizeAndRoot(note: string): [number, string] {
  const lines = note.split("\n");
  return [Number(lines[1] ?? 0), lines[2] ?? ""];
}

export const book = new Book();
