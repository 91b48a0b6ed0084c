// Changing a filter by a click: including, excluding and removing one `field:value`.
import { quoted, type Term, topTerms } from "./tokens";

export type Inclusion = "included" | "excluded" | null;

const same = (field: string, value: string) => (term: Term) => term.field === field && term.value === value;

export function inclusionOf(query: string, field: string, value: string): Inclusion {
  const term = topTerms(query).find(same(field, value));
  return term === undefined ? null : term.negated ? "excluded" : "included";
}

// Includes or excludes the value; doing the same again takes it back.
export function toggled(query: string, field: string, value: string, as: "included" | "excluded"): string {
  const before = inclusionOf(query, field, value);
  const rest = before === null ? query.trim() : removed(query, topTerms(query).find(same(field, value))!);
  if (before === as) return rest;
  const term = `${as === "excluded" ? "-" : ""}${field}:${quoted(value)}`;
  return rest === "" ? term : `${joinable(rest)} ${term}`;
}

export function removed(query: string, term: Term): string {
  return `${query.slice(0, term.start)} ${query.slice(term.end)}`.replace(/\s+/g, " ").trim();
}

// "and" binds tighter than "or": a query with an "or" at its top goes into parentheses before a term is added.
function joinable(query: string): string {
  return topTerms(query).length === 0 && /(^|\s)or(\s|$)/i.test(query) ? `(${query})` : query;
}
