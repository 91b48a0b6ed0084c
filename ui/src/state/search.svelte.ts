// One search and the live stream that follows it, without a hole between: the page of rows ends at a ledger size, and the stream
// begins there. A broken stream is taken up again at the index after the last event.
import { address } from "../api/address";
import { ApiError, search, tail } from "../api/client";
import { earlySince, kPage } from "../api/early";
import type { Row, SearchEnd } from "../api/types";
import type { ServerEvent } from "../api/lines";
import { RowList } from "../search/row_list";
import { book } from "./book.svelte";
import { pageClock } from "./clock.svelte";

const kFrameMs = 16;
const kDrawnPerSecond = 2000; // above, rows are sampled
const kRetriesMs = [100, 250, 500, 1000, 2000];

export type Stream = "off" | "open" | "resuming";

export interface Question {
  q: string; // as sent
  shift: number; // how far the reader's text moved to the right in it
  live: boolean; // false: a range that ends in the past
}

class Search {
  list = $state.raw(new RowList());
  version = $state(0); // counts every change of the list
  running = $state(false);
  loadingMore = $state(false);
  error = $state.raw<ApiError | null>(null);
  shift = $state(0); // of the error's position
  end = $state.raw<SearchEnd | null>(null);
  firstRowMs = $state<number | null>(null);

  stream = $state<Stream>("off");
  brokenAt = $state(0);
  resumed = $state.raw<{ afterMs: number; rows: number; at: number } | null>(null);
  rate = $state(0); // live rows a second
  sampled = $state(1); // one in n is drawn
  lastRowAt = $state(Date.now());
  pausedByHand = $state(false);
  reading = $state(false);

  private question: Question = { q: "", shift: 0, live: true };
  private abort = new AbortController();
  private cursor: string | null = null;
  private next = 0;
  private flushedAt = 0;
  private scheduled = false;
  private arrived = 0; // live rows since the last tick
  private counts: number[] = [];

  constructor() {
    setInterval(() => this.tick(), 1000);
  }

  get paused(): boolean {
    return this.pausedByHand || this.reading;
  }

  async run(question: Question): Promise<void> {
    this.abort.abort();
    const abort = (this.abort = new AbortController());
    this.question = question;
    this.running = true;
    this.stream = "off";
    this.sampled = 1;
    this.resumed = null;
    const list = new RowList();
    const started = earlySince(address("/search", { q: question.q, limit: kPage })) ?? performance.now();
    let shown = false;
    const show = () => {
      if (shown || abort.signal.aborted) return;
      shown = true;
      this.list = list;
      this.error = null;
      this.firstRowMs = performance.now() - started;
      this.hold();
      this.changed();
    };
    try {
      const end = await search({ q: question.q, limit: kPage }, (row) => (list.addOlder(row), show()), abort.signal);
      if (abort.signal.aborted) return;
      show();
      this.changed();
      this.took(end);
      this.running = false;
      this.next = end.size;
      if (question.live) void this.followStream(question.q, abort.signal);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.running = false;
      this.failed(error);
    }
  }

  // The next page of older rows, if there is one.
  async more(): Promise<void> {
    if (this.cursor === null || this.loadingMore || this.running) return;
    const { signal } = this.abort;
    this.loadingMore = true;
    try {
      const list = this.list;
      const end = await search({ q: this.question.q, limit: kPage, cursor: this.cursor }, (row) => list.addOlder(row), signal);
      if (signal.aborted) return;
      this.cursor = end.cursor;
      this.changed();
    } catch (error) {
      if (!signal.aborted) this.failed(error);
    } finally {
      this.loadingMore = false;
    }
  }

  get hasMore(): boolean {
    return this.version >= 0 && this.cursor !== null;
  }

  private took(end: SearchEnd): void {
    this.end = end;
    this.cursor = end.cursor;
    this.lastRowAt = Date.now();
  }

  private failed(error: unknown): void {
    this.shift = this.question.shift;
    this.error = error instanceof ApiError ? error : new ApiError(0, "malformed", "The book’s answer is malformed.");
  }

  private async followStream(q: string, signal: AbortSignal): Promise<void> {
    for (let tries = 0; !signal.aborted; ) {
      let caughtUp = 0;
      try {
        const opened = () => {
          if (this.stream === "resuming") this.noteResumption(() => caughtUp);
          this.stream = "open";
          tries = 0;
        };
        await tail({ q, from: this.next }, opened, (event) => (caughtUp += this.take(event)), signal);
        throw new ApiError(0, "broken", "The stream ended.");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiError && error.refused) return this.failed(error);
        if (this.stream !== "resuming") this.brokenAt = Date.now();
        this.stream = "resuming";
        await pauseFor(kRetriesMs[Math.min(tries++, kRetriesMs.length - 1)]!, signal);
      }
    }
  }

  private noteResumption(caughtUp: () => number): void {
    const afterMs = Date.now() - this.brokenAt;
    const at = Date.now();
    this.resumed = { afterMs, rows: caughtUp(), at };
    setTimeout(() => {
      if (this.resumed?.at === at) this.resumed = { afterMs, rows: caughtUp(), at };
    }, 500);
  }

  // Returns how many rows the event brought.
  private take(event: ServerEvent): number {
    if (/^\d+$/.test(event.id)) this.next = Number(event.id);
    if (event.type === "checkpoint") {
      book.follow((JSON.parse(event.data) as { size: number }).size);
    } else if (event.type === "status") {
      book.take(JSON.parse(event.data));
    } else if (event.type === "row") {
      ++this.arrived;
      if (this.sampled > 1 && this.arrived % this.sampled !== 0) return 1;
      this.list.addLive(JSON.parse(event.data) as Row);
      this.schedule();
      return 1;
    }
    return 0;
  }

  // The first row of a while is drawn at once, the following ones once a frame.
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    const wait = this.flushedAt + kFrameMs - performance.now();
    const flush = () => {
      this.scheduled = false;
      this.flushedAt = performance.now();
      this.lastRowAt = Date.now();
      this.list.trim();
      this.changed();
    };
    if (wait <= 0) queueMicrotask(flush);
    else setTimeout(flush, wait);
  }

  private tick(): void {
    this.counts.push(this.arrived);
    if (this.counts.length > 5) this.counts.shift();
    const now = this.arrived;
    this.arrived = 0;
    this.rate = Math.round(this.counts.reduce((sum, n) => sum + n, 0) / this.counts.length);
    if (now > 2 * kDrawnPerSecond || this.sampled > 1) this.sampled = Math.max(1, Math.ceil(now / kDrawnPerSecond));
    if (this.resumed && pageClock.now - this.resumed.at > 10_000) this.resumed = null;
  }

  setReading(reading: boolean): void {
    if (this.reading === reading) return;
    this.reading = reading;
    this.hold();
  }
  togglePause(): void {
    this.pausedByHand = !this.pausedByHand;
    this.hold();
  }
  // Takes in what waits, and follows again unless something is being read.
  toNewest(): void {
    this.pausedByHand = false;
    this.list.resume();
    this.hold();
    this.changed();
  }

  private hold(): void {
    if (this.paused) this.list.pause();
    else this.list.resume();
    this.changed();
  }

  private changed(): void {
    ++this.version;
  }

  stop(): void {
    this.abort.abort();
    this.stream = "off";
    this.running = false;
  }
}

function pauseFor(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    }
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

export const rows = new Search();
