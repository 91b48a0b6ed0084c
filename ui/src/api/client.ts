// Asking the book. Every failure is an ApiError that says what and, for filters, where.
import { address } from "./address";
import { session } from "../state/session.svelte";
import { kEvidenceBytesMax } from "../proof/evidence_file";
import { takeEarly } from "./early";
import { eventParser, lineCutter, type ServerEvent } from "./lines";
import type { CoverageReport, Facets, FieldDoc, FieldValues, Histogram, RecordPage, Row, SearchEnd, ServiceMap, Source, Status, TraceAnswer, WhoAnswer } from "./types";
import type { ConsistencyAnswer, ConsistencySource } from "../proof/memory";

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: no answer came
    readonly code: string,
    message: string,
    readonly where: { position: number; length: number } | null = null, // bytes of the filter
    readonly expected = "",
    readonly suggestion = "",
  ) {
    super(message);
  }
  get refused(): boolean {
    return this.status >= 400 && this.status < 500;
  }
}

async function ask(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await (takeEarly(url, signal) ?? fetch(url, { signal: signal ?? null, cache: "no-store" }));
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "no_answer", "The book does not answer.");
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response: Response): Promise<ApiError> {
  if (response.status === 401) session.ended = true;
  const text = await response.text().catch(() => "");
  try {
    const { error } = JSON.parse(text);
    const where = typeof error.position === "number" ? { position: error.position, length: error.length ?? 1 } : null;
    return new ApiError(response.status, error.code, error.message, where, error.expected ?? "", error.suggestion ?? "");
  } catch {
    return new ApiError(response.status, "unknown", `The book answered ${response.status}.`);
  }
}

async function json<T>(url: string, signal?: AbortSignal): Promise<T> {
  const response = await ask(url, signal);
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(response.status, "malformed", "The book’s answer is malformed.");
  }
}

async function pump(response: Response, push: (chunk: Uint8Array | null) => void): Promise<void> {
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return push(null);
    push(value);
  }
}

// Rows newest first; `row` is called as they come. Returns the end line. Throws ApiError, also when the stream stops before its end.
export async function search(
  query: { q: string; limit?: number; cursor?: string | null },
  row: (row: Row) => void,
  signal?: AbortSignal,
): Promise<SearchEnd> {
  const response = await ask(address("/search", query), signal);
  let end: SearchEnd | null = null;
  const push = lineCutter((line) => {
    if (line === "") return;
    const message = JSON.parse(line) as { row?: Row; end?: SearchEnd; error?: { code: string; message: string } };
    if (message.row) row(message.row);
    if (message.end) end = message.end;
    if (message.error) throw new ApiError(500, message.error.code, message.error.message);
  });
  await pump(response, push).catch((error: unknown) => {
    if (signal?.aborted || error instanceof ApiError) throw error;
    throw new ApiError(0, "cut_short", "The book stopped in the middle of its answer.");
  });
  if (end === null) throw new ApiError(0, "cut_short", "The book stopped in the middle of its answer.");
  return end;
}

// Follows the book from index `from`; resolves when the stream ends, throws ApiError when it breaks.
export async function tail(
  query: { q: string; from: number },
  opened: () => void,
  event: (event: ServerEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const response = await ask(address("/tail", query), signal);
  opened();
  await pump(response, lineCutter(eventParser(event))).catch((error: unknown) => {
    if (signal.aborted) throw error;
    throw new ApiError(0, "broken", "The stream broke.");
  });
}

// The evidence file of an answer. Throws ApiError, also for what the book could not finish and says in the file's last line.
export async function evidence(query: Record<string, string>): Promise<Uint8Array> {
  const response = await ask(address("/evidence", query));
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  await pump(response, (piece) => {
    if (piece === null) return;
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > kEvidenceBytesMax) throw new ApiError(413, "limit", "The evidence is longer than a file may be.");
  }).catch((error: unknown) => {
    if (error instanceof ApiError) throw error;
    throw new ApiError(0, "cut_short", "The book stopped in the middle of its answer.");
  });
  const file = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
  const last = file.subarray(file.lastIndexOf(10, file.length - 2) + 1);
  if (last[0] !== 0x7b) return file; // {
  const { error } = JSON.parse(new TextDecoder().decode(last)) as { error: { code: string; message: string } };
  throw new ApiError(500, error.code, error.message);
}

export const status = (signal?: AbortSignal) => json<Status>(address("/status"), signal);
export const sources = (signal?: AbortSignal) => json<Source[]>(address("/sources"), signal);
export const fields = () => json<FieldDoc[]>(address("/fields"));
export const values = (query: { field: string; prefix: string; q: string; limit: number }, signal?: AbortSignal) =>
  json<FieldValues>(address("/values", query), signal);
export const histogram = (query: { q: string; from: string; to: string; buckets: number }, signal?: AbortSignal) =>
  json<Histogram>(address("/histogram", query), signal);
export const facets = (q: string, signal?: AbortSignal) => json<Facets>(address("/facets", { q }), signal);
export const who = (query: Record<string, string>, signal?: AbortSignal) => json<WhoAnswer>(address("/who", query), signal);
export const trace = (q: string, signal?: AbortSignal) => json<TraceAnswer>(address("/trace", { q }), signal);
export const map = (q: string, signal?: AbortSignal) => json<ServiceMap>(address("/map", { q }), signal);
export const coverage = (q: string, signal?: AbortSignal) => json<CoverageReport>(address("/coverage", { q }), signal);
export const record = (id: number, signal?: AbortSignal) => json<RecordPage>(address(`/records/${id}`), signal);
export const proofFile = (id: number) => address(`/records/${id}/proof`);

export const consistencySource: ConsistencySource = {
  async consistency(from) {
    try {
      return await json<ConsistencyAnswer>(address("/consistency", { from }));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 400 || error.status === 404)) return "refused";
      throw error;
    }
  },
  checkpoint: async () => (await ask(address("/checkpoint"))).text(),
};
