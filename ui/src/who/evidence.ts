// The records that an answer of Who rests on, each fetched and checked as the answer is shown. The file of them is the book's
// (parts/save_evidence.svelte).
import type { WhoAnswer } from "../api/types";
import { book, type Proven } from "../state/book.svelte";

export interface EvidenceState {
  total: number;
  checked: number;
  wrong: number;
  failed: number; // could not be fetched
  done: boolean;
  records: Proven[];
}

const kEvidenceMax = 200; // records of one answer that are fetched and checked as it is shown; the file has them all

export function recordsOf(answer: WhoAnswer): number[] {
  const ids = new Set<number>();
  for (const candidate of answer.candidates) {
    for (const id of candidate.records) ids.add(id);
    for (const hop of candidate.hops) for (const id of hop.records) ids.add(id);
  }
  for (const gap of answer.completeness.missing ?? []) if (gap.record !== null) ids.add(gap.record);
  for (const source of answer.completeness.sources ?? []) ids.add(source.record);
  return [...ids].sort((a, b) => a - b);
}

// Fetches and checks each record, four at a time; `report` is called as they come.
export async function gather(ids: number[], signal: AbortSignal, report: (state: EvidenceState) => void): Promise<void> {
  const state: EvidenceState = { total: ids.length, checked: 0, wrong: 0, failed: 0, done: ids.length === 0, records: [] };
  report({ ...state });
  const rest = ids.slice(0, kEvidenceMax);
  const worker = async () => {
    for (let id = rest.shift(); id !== undefined && !signal.aborted; id = rest.shift()) {
      try {
        const proven = await book.prove(id, signal);
        state.records.push(proven);
        if (proven.verdict.state === "checked" && proven.link !== "rewritten") ++state.checked;
        else if (proven.verdict.state === "wrong" || proven.link === "rewritten") ++state.wrong;
        else ++state.failed;
      } catch {
        if (signal.aborted) return;
        ++state.failed;
      }
      report({ ...state });
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  if (!signal.aborted) report({ ...state, done: true });
}
