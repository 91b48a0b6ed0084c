// The query narrowed to a range of time, and how far its text moved to the right (for error positions).
export function withRange(query: string, from: string | null, to: string | null): { q: string; shift: number } {
  const range = [from && `since:${from}`, to && `until:${to}`].filter(Boolean).join(" ");
  if (range === "") return { q: query, shift: 0 };
  return query.trim() === "" ? { q: range, shift: 0 } : { q: `(${query}) ${range}`, shift: 1 };
}
