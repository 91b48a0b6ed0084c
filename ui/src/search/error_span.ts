// Where the book found a filter's error, in characters of what the reader typed. The book counts bytes of what was sent.
import type { ApiError } from "../api/client";

export function errorSpan(text: string, error: ApiError, shift: number): { start: number; end: number } | null {
  if (error.where === null) return null;
  const bytes = new TextEncoder().encode(text);
  const at = (position: number) => new TextDecoder().decode(bytes.subarray(0, Math.max(0, Math.min(position, bytes.length)))).length;
  const from = error.where.position - shift;
  return { start: at(from), end: Math.max(at(from + Math.max(1, error.where.length)), at(from)) };
}
