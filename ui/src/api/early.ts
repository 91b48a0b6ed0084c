// The first question of the search screen, sent while the page's own code is still on its way (first.ts). The search that is asked for
// that very address takes the answer over; nothing is asked twice.
import { withRange } from "../query/range";
import { rowRange, windowOf } from "../search/window";
import { viewOf } from "../state/paths";
import { address } from "./address";

export const kPage = 200; // rows of one page

let early: { url: string; sentAt: number; answer: Promise<Response>; abort: AbortController } | null = null;

export function askEarly(at: { pathname: string; search: string }): void {
  if (viewOf(at.pathname) !== "search") return;
  const params = new URLSearchParams(at.search);
  const range = rowRange(windowOf(params));
  const url = address("/search", { q: withRange(params.get("q") ?? "", range.from, range.to).q, limit: kPage });
  const abort = new AbortController();
  const answer = fetch(url, { signal: abort.signal, cache: "no-store" });
  answer.catch(() => undefined); // who takes it sees the error
  early = { url, sentAt: performance.now(), answer, abort };
}

// The answer that is under way for that address, once; null: there is none.
export function takeEarly(url: string, signal?: AbortSignal): Promise<Response> | null {
  if (early?.url !== url) return null;
  const { answer, abort } = early;
  early = null;
  signal?.addEventListener("abort", () => abort.abort());
  return answer;
}

// When the question for that address was sent, if it was and has not been taken; ms of performance.now().
export const earlySince = (url: string): number | null => (early?.url === url ? early.sentAt : null);
