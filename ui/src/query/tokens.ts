// The filter's text cut into tokens, for colouring and completion only: the book itself parses filters and says what is wrong.

export interface Token {
  kind: "space" | "field" | "operator" | "value" | "word";
  text: string;
  start: number;
}

const kWords = new Set(["or", "and", "not"]);

// The tokens in order; their texts joined are the query.
export function tokenize(query: string): Token[] {
  const out: Token[] = [];
  const add = (kind: Token["kind"], text: string) => {
    if (text !== "") out.push({ kind, text, start: out.length === 0 ? 0 : out.at(-1)!.start + out.at(-1)!.text.length });
  };
  let rest = query;
  while (rest !== "") {
    const space = /^\s+/.exec(rest);
    const mark = /^[()-]/.exec(rest);
    const field = /^([A-Za-z_][\w.]*)([:~])/.exec(rest);
    if (space) add("space", space[0]);
    else if (mark && (mark[0] !== "-" || startsTerm(out))) add("operator", mark[0]);
    else if (field) {
      add("field", field[0]);
      rest = rest.slice(field[0].length);
      const value = valueLength(rest);
      add("value", rest.slice(0, value));
      rest = rest.slice(value);
      continue;
    } else {
      const word = rest.slice(0, Math.max(1, valueLength(rest)));
      add(kWords.has(word.toLowerCase()) ? "operator" : "word", word);
    }
    rest = rest.slice(out.at(-1)!.text.length);
  }
  return out;
}

function startsTerm(before: Token[]): boolean {
  const last = before.at(-1);
  return last === undefined || last.kind === "space" || (last.kind === "operator" && last.text !== ")");
}

// Up to the blank or parenthesis that ends a value; a quoted part and a bracketed list belong to it.
function valueLength(text: string): number {
  let at = 0;
  let depth = 0;
  while (at < text.length) {
    const c = text[at]!;
    if (c === '"') {
      const close = closingQuote(text, at);
      at = close + 1;
      continue;
    }
    if (c === "(" && (at === 0 || depth > 0)) ++depth;
    else if (c === ")") {
      if (depth === 0) break;
      if (--depth === 0) return at + 1;
    } else if (/\s/.test(c) && depth === 0) break;
    ++at;
  }
  return Math.min(at, text.length);
}

function closingQuote(text: string, open: number): number {
  for (let at = open + 1; at < text.length; ++at) {
    if (text[at] === "\\") ++at;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

export interface Term {
  field: string;
  value: string; // unquoted
  negated: boolean;
  literal: boolean; // one value, not a list, range or pattern
  start: number; // with its minus
  end: number;
}

// The `field:value` terms that stand at the top of the query, joined by "and" alone; none when "or" or "not" appears outside
// parentheses, where taking one term away would change the meaning of others.
export function topTerms(query: string): Term[] {
  const tokens = tokenize(query);
  const out: Term[] = [];
  let depth = 0;
  for (const [i, token] of tokens.entries()) {
    if (token.kind === "operator") {
      if (token.text === "(") ++depth;
      else if (token.text === ")") --depth;
      else if (depth === 0 && token.text !== "-" && token.text.toLowerCase() !== "and") return [];
    }
    const value = tokens[i + 1];
    if (token.kind !== "field" || depth !== 0 || !token.text.endsWith(":") || value?.kind !== "value") continue;
    const negated = tokens[i - 1]?.text === "-";
    out.push({
      field: token.text.slice(0, -1),
      value: unquoted(value.text),
      negated,
      literal: !/^[(<>]|\.\.|[*?]/.test(value.text) || value.text.startsWith('"'),
      start: token.start - (negated ? 1 : 0),
      end: value.start + value.text.length,
    });
  }
  return out;
}

function unquoted(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}

// A value as the filter language takes it.
export function quoted(value: string): string {
  return value !== "" && /^[\w./@+][\w./@+:-]*$/.test(value) && !kWords.has(value.toLowerCase())
    ? value
    : `"${value.replace(/["\\]/g, "\\$&")}"`;
}
