// The rows of one search, newest first: pages of older rows below, live rows above. Each connection stands once, where it first
// appeared; what arrives later about it replaces it in place. While the reader reads, new rows wait above and nothing moves.
import type { Row } from "../api/types";
import { date } from "../format/times";

const kRowsMax = 400_000; // the oldest rows go beyond that
const kDropStep = 20_000;

export function keyOf(row: Row): string {
  const conn = row.record.conn;
  return row.state !== "record" && typeof conn === "string" ? conn : `#${row.id}`;
}

export const timeOf = (row: Row): string => row.start ?? String(row.record.time ?? "");

export class RowList {
  private newer: Row[] = []; // ascending: the newest last
  private older: Row[] = []; // descending: the oldest last
  private readonly places = new Map<string, number>(); // n ≥ 0: newer[n - dropped]; n < 0: older[-n - 1]
  private dropped = 0; // rows taken from the front of newer
  private readonly newerBreaks: number[] = []; // places whose date differs from the one before
  private readonly olderBreaks: number[] = [];
  private held: number | null = null; // while paused: how many of `newer` are shown

  get size(): number {
    return this.shownNewer + this.older.length;
  }
  get waiting(): number {
    return this.newer.length - this.shownNewer;
  }
  get paused(): boolean {
    return this.held !== null;
  }
  private get shownNewer(): number {
    return this.held ?? this.newer.length;
  }

  // 0 is the newest shown row.
  at(index: number): Row | undefined {
    const newer = this.shownNewer;
    return index < newer ? this.newer[newer - 1 - index] : this.older[index - newer];
  }

  slice(from: number, to: number): Row[] {
    const out: Row[] = [];
    for (let i = Math.max(0, from); i < Math.min(to, this.size); ++i) out.push(this.at(i)!);
    return out;
  }

  // Where the row with that key is shown; -1 if it is not.
  indexOf(key: string): number {
    const place = this.places.get(key);
    if (place === undefined) return -1;
    if (place < 0) return this.shownNewer - place - 1;
    const index = this.shownNewer - 1 - (place - this.dropped);
    return index < 0 ? -1 : index;
  }

  // A row of a search's page, older than all before it.
  addOlder(row: Row): void {
    const key = keyOf(row);
    if (this.places.has(key)) return; // the live stream brought it already, and newer
    const above = this.older.at(-1);
    if (above && dayOf(above) !== dayOf(row)) this.olderBreaks.push(this.older.length);
    this.older.push(row);
    this.places.set(key, -this.older.length);
  }

  // A row of the live stream. True when it is a new one.
  addLive(row: Row): boolean {
    const key = keyOf(row);
    const place = this.places.get(key);
    if (place !== undefined) {
      if (place < 0) this.older[-place - 1] = merged(this.older[-place - 1]!, row);
      else this.newer[place - this.dropped] = merged(this.newer[place - this.dropped]!, row);
      return false;
    }
    const below = this.newer.at(-1);
    if (below && dayOf(below) !== dayOf(row)) this.newerBreaks.push(this.newer.length + this.dropped);
    this.places.set(key, this.newer.length + this.dropped);
    this.newer.push(row);
    return true;
  }

  pause(): void {
    this.held ??= this.newer.length;
  }
  resume(): void {
    this.held = null;
    this.trim();
  }

  // Drops the oldest rows beyond the limit, never while the reader reads.
  trim(): void {
    if (this.held !== null || this.newer.length + this.older.length <= kRowsMax + kDropStep) return;
    while (this.older.length > 0 && this.newer.length + this.older.length > kRowsMax) this.places.delete(keyOf(this.older.pop()!));
    const excess = this.newer.length - kRowsMax;
    if (excess <= 0) return;
    for (const row of this.newer.splice(0, excess)) this.places.delete(keyOf(row));
    this.dropped += excess;
  }

  // The shown rows above which a thin row says the date, top down: where it differs from the row above, and at the top where it
  // is not `today`.
  dateBreaks(today: string): DateBreak[] {
    const out: DateBreak[] = [];
    const first = this.at(0);
    if (first && dayOf(first) !== today) out.push({ index: 0, date: dayOf(first) });
    const newer = this.shownNewer;
    for (let i = this.newerBreaks.length - 1; i >= 0; --i) {
      const place = this.newerBreaks[i]! - this.dropped;
      if (place < newer && place > 0) out.push({ index: newer - place, date: dayOf(this.newer[place - 1]!) });
    }
    const [above, below] = [this.newer[0], this.older[0]];
    if (newer > 0 && above && below && dayOf(above) !== dayOf(below)) out.push({ index: newer, date: dayOf(below) });
    for (const place of this.olderBreaks) {
      if (place < this.older.length) out.push({ index: newer + place, date: dayOf(this.older[place]!) });
    }
    return out;
  }
}

export interface DateBreak {
  index: number;
  date: string;
}

const dayOf = (row: Row): string => date(timeOf(row));

// A later message about the same connection never takes knowledge away: an out-of-order open after a close is not shown.
function merged(before: Row, after: Row): Row {
  return after.state === "open" && before.state !== "open" ? before : after;
}
