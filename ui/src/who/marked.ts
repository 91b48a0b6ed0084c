// A pasted text cut at the parts that the book read in it. Spans count bytes of UTF-8.
export interface Piece {
  text: string;
  role: "" | "time" | "endpoint" | "peer";
}

export function marked(text: string, spans: { start: number; end: number; role: "time" | "endpoint" | "peer" }[]): Piece[] {
  const bytes = new TextEncoder().encode(text);
  const part = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  const out: Piece[] = [];
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < at || span.end > bytes.length || span.end <= span.start) continue;
    if (span.start > at) out.push({ text: part(at, span.start), role: "" });
    out.push({ text: part(span.start, span.end), role: span.role });
    at = span.end;
  }
  if (at < bytes.length) out.push({ text: part(at, bytes.length), role: "" });
  return out;
}
