// What may stand at the caret: fields by name, or values of the field before it. At most eight suggestions.
import type { FieldDoc } from "../api/types";
import { quoted, tokenize } from "./tokens";

export const kSuggestionsMax = 8;

export interface Slot {
  kind: "field" | "value";
  field: string; // of a value
  prefix: string; // what is typed of it
  start: number; // the text that a suggestion replaces
  end: number;
}

export interface Suggestion {
  text: string; // what is put in
  label: string;
  match: number; // how many leading characters of the label are typed already
  note: string; // what the field says, or nothing
  count: number | null;
}

// What is being typed at the caret; null where nothing can be offered (inside quotes or lists, after an operator).
export function slotAt(query: string, caret: number): Slot | null {
  const tokens = tokenize(query);
  for (const [i, token] of tokens.entries()) {
    const end = token.start + token.text.length;
    if (caret < token.start || caret > end) continue;
    const before = query.slice(token.start, caret);
    if (token.kind === "value" || (token.kind === "field" && caret === end && tokens[i + 1]?.kind !== "value")) {
      const field = token.kind === "value" ? tokens[i - 1]! : token;
      const typed = token.kind === "value" ? before : "";
      if (!field.text.endsWith(":") || /^["(]/.test(typed)) return null;
      const start = token.kind === "value" ? token.start : end;
      return { kind: "value", field: field.text.slice(0, -1), prefix: typed, start, end: token.kind === "value" ? end : end };
    }
    if (token.kind === "field" && caret < end) return { kind: "field", field: "", prefix: before, start: token.start, end };
    if (token.kind === "word" && caret > token.start) {
      return /^[A-Za-z_][\w.]*$/.test(before) ? { kind: "field", field: "", prefix: before, start: token.start, end } : null;
    }
  }
  return { kind: "field", field: "", prefix: "", start: caret, end: caret };
}

export function fieldSuggestions(fields: FieldDoc[], prefix: string): Suggestion[] {
  const typed = prefix.toLowerCase();
  const starts = fields.filter((field) => field.name.startsWith(typed));
  const within = typed === "" ? [] : fields.filter((field) => !field.name.startsWith(typed) && field.name.includes(typed));
  return [...starts, ...within].slice(0, kSuggestionsMax).map((field) => ({
    text: `${field.name}:`,
    label: field.name,
    match: field.name.startsWith(typed) ? typed.length : 0,
    note: field.doc,
    count: null,
  }));
}

export function valueSuggestions(values: { value: string; count: number }[], prefix: string): Suggestion[] {
  return values.slice(0, kSuggestionsMax).map(({ value, count }) => ({
    text: quoted(value),
    label: value,
    match: value.toLowerCase().startsWith(prefix.toLowerCase()) ? prefix.length : 0,
    note: "",
    count,
  }));
}

// The query with the suggestion in the slot, and where the caret goes.
export function completed(query: string, slot: Slot, suggestion: Suggestion): { query: string; caret: number } {
  const oldColon = slot.kind === "field" && /[:~]$/.test(query.slice(slot.start, slot.end));
  const text = suggestion.text + (slot.kind === "value" && query[slot.end] !== " " ? " " : "");
  const after = query.slice(slot.end);
  const put = oldColon ? suggestion.text : text;
  return { query: query.slice(0, slot.start) + put + after, caret: slot.start + put.length };
}

// The query without the slot's own term, so that values are counted among what the rest selects.
export function without(query: string, slot: Slot): string {
  const term = query.slice(0, slot.start).replace(/-?[A-Za-z_][\w.]*:$/, "");
  return `${term} ${query.slice(slot.end)}`.replace(/\s+/g, " ").trim();
}
