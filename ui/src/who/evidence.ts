// The answer with everything that is needed to check it without this book: the question, the answer as it came, every record with
// its bytes and proof, the key and what this browser found.
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

export const kEvidenceMax = 200; // records of one answer that are fetched and checked

export function recordsOf(answer: WhoAnswer): number[] {
  const ids = new Set<number>();
  for (const candidate of answer.candidates) {
    for (const id of candidate.records) ids.add(id);
    for (const hop of candidate.hops) for (const id of hop.records) ids.add(id);
  }
  for (const gap of answer.completeness.missing ?? []) if (gap.record !== null) ids.add(gap.record);
  for (const source of answer.completeness.sources ?? []) ids.add(source.record);
  return [...ids].sort((a, b) => a - b).slice(0, kEvidenceMax);
}

// Fetches and checks each record, four at a time; `report` is called as they come.
export async function gather(ids: number[], signal: AbortSignal, report: (state: EvidenceState) => void): Promise<void> {
  const state: EvidenceState = { total: ids.length, checked: 0, wrong: 0, failed: 0, done: ids.length === 0, records: [] };
  report({ ...state });
  const rest = [...ids];
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

export function evidenceFile(answer: WhoAnswer, state: EvidenceState): string {
  const records = [...state.records].sort((a, b) => a.page.id - b.page.id);
  return JSON.stringify(
    {
      format: "portbook-evidence-1",
      exported: new Date().toISOString(),
      book: { origin: book.status?.origin, vkey: book.status?.vkey, version: book.status?.version },
      answer,
      records: records.map(({ page }) => ({ id: page.id, record: page.record, bytes: page.bytes, leaf: page.leaf, proof: page.proof })),
      checked_in_browser: { checked: state.checked, of: state.total, wrong: state.wrong, not_fetched: state.failed, remembered: book.before },
    },
    null,
    2,
  );
}
