// One answer, three ways to ask: the text cases of tests/query through the command line, the HTTP API and the page. What the answers are
// is held by src/query/query_text_test.cc and here again; that all give the same one is held here. Times are moved to yesterday, since a
// served book asks the machine's clock; of a file whose records come in stages only the questions about all of them are asked.
import { execFile } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Row, SearchEnd, TraceAnswer, WhoAnswer } from "../../src/api/types";
import { Book, kProgram, launch, open, removeBook, temporaryFolder } from "./harness";

const kFolder = fileURLToPath(new URL("../../../tests/query", import.meta.url));
const kDay = "2026-11-22"; // of the cases
const yesterday = new Date(Date.now() - 86_400_000);
const state = temporaryFolder(); // what the command line remembers

interface Case {
  of: "search" | "who" | "trace" | "map" | "coverage";
  question: string; // without options
  options: Record<string, string>; // --peer and the like
  expected: string;
}
interface Asked {
  name: string;
  records: string[];
  cases: Case[];
}

// To yesterday; a time without a date gets that date, since today's is another.
function moved(text: string): string {
  const day = yesterday.toISOString().slice(0, 10);
  const [month, date, year] = [yesterday.toLocaleString("en", { month: "short", timeZone: "UTC" }), day.slice(8), day.slice(0, 4)];
  return text.replaceAll(kDay, day).replaceAll("22/Nov/2026", `${date}/${month}/${year}`);
}
const dated = (text: string) => moved(text.replace(/(@|since:|until:|at:)(?=\d\d:\d\d)/g, `$1${kDay}T`));

const undated = (text: string) => text.replace(/\d{4}-\d\d-\d\d/g, "DAY"); // an error shows how today is written

function caseOf(line: string, expected: string): Case {
  const [, command = "", rest = ""] = /^(\w+) ?(.*)$/.exec(line) ?? [];
  const options: Record<string, string> = {};
  const question = rest.replace(/ (peer|host|window)=(\S+)/g, (whole, name: string, value: string) => (command === "who" ? ((options[name] = value), "") : whole));
  return { of: command === "row" ? "search" : (command as Case["of"]), question: dated(question), options, expected: command === "row" ? "row" : moved(expected) };
}

function fileOf(name: string): Asked {
  const out: Asked = { name, records: [], cases: [] };
  let question = "";
  for (const line of readFileSync(path.join(kFolder, name), "utf8").split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("{")) {
      out.records.push(moved(line));
      out.cases = []; // those before were about fewer records
    } else if (line.startsWith("->")) out.cases.push(caseOf(question, line.slice(3)));
    else question = line;
  }
  return out;
}

const kNames = readdirSync(kFolder).filter((name) => name.endsWith(".test")).sort();
const kLine = ["search"]; // commands whose answer is lines
const kOfPage = new Set(["search.test", "who.test", "trace.test", "published.test"]); // asked on the page too: some hundred milliseconds each

let browser: Browser;
beforeAll(async () => (browser = await launch()));
afterAll(async () => {
  await browser?.close();
  removeBook(state);
});

interface Answer {
  failed: string; // the error's sentence; empty: answered
  text: string;
}

async function fromApi(book: Book, { of, question, options }: Case): Promise<Answer & { error: { position: number; length: number; suggestion: string } | null }> {
  const query = new URLSearchParams({ q: question, ...options, ...(of === "search" ? { limit: "1000" } : {}) });
  const answer = await fetch(`${book.url}/api/v1/${of}?${query}`);
  const text = await answer.text();
  const error = answer.ok ? null : JSON.parse(text).error;
  return { failed: error?.message ?? "", text, error };
}

function fromShell(book: Book, { of, question, options }: Case): Promise<Answer> {
  const more = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const args = [of, ...(of === "search" ? ["-n", "1000"] : []), "--json", ...more, "--data", book.folder, ...(question === "" ? [] : ["--", question])];
  return new Promise((resolve) => {
    execFile(kProgram, args, { env: { ...process.env, XDG_STATE_HOME: state }, maxBuffer: 1 << 26 }, (_, stdout, stderr) => resolve({ failed: stdout === "" ? stderr : "", text: stdout }));
  });
}

// The ids that the case's records have in the book, which writes records of its own among them: one for each batch, and the readings.
type Own = number[];
async function ownOf(book: Book, records: string[]): Promise<Own> {
  const sources = new Set(records.map((record) => (JSON.parse(record) as { source: string }).source));
  const all = (await (await fetch(`${book.url}/api/v1/search?q=records:all&limit=1000`)).text()).split("\n").filter(Boolean).map((line) => JSON.parse(line) as { row?: Row });
  const own = all.flatMap(({ row }) => (row && row.record.kind !== "batch" && sources.has(String(row.record.source)) ? [row.id] : [])).reverse();
  expect(own.length).toBe(records.length);
  return own;
}
const inBook = (one: Case, own: Own): Case => ({ ...one, question: one.question.replace(/^#(\d+)$/, (whole, index: string) => (own[Number(index)] === undefined ? whole + "000" : `#${own[Number(index)]}`)) });
const rowsOf = (text: string, own: Own) => text.split("\n").filter(Boolean).map((line) => JSON.parse(line) as { row?: Row; end?: SearchEnd } & Row).map((line) => line.row ?? line).filter((row) => own.includes(row.id));
// What is another each time is left out: how long it took, the book's size, which grows by the record of each reading, and the moment
// of asking.
const today = new Date(yesterday.getTime() + 86_400_000).toISOString().slice(0, 10);
const timeless = (text: string) => JSON.parse(text, (name, value: unknown) => (name === "took_us" || name === "size" || (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) && value >= today) ? undefined : value));

// The answer as it stands on the page now, as text to compare.
async function onPage(page: Page, { of }: Case, own: Own): Promise<string> {
  const failed = page.locator("#query-error, .ask .bad-text, .trace-msg");
  if (of === "search") {
    await page.locator(".tfoot .says, #query-error").first().waitFor();
    if (await failed.count()) return (await failed.first().textContent())!;
    await page.locator(".rows .row[id], .nothing").first().waitFor();
    const seen = await page.locator(".rows .row[id]").evaluateAll((all) => all.map((row) => [Number(row.id.slice(4)), row.querySelector(".c-int .port")?.textContent ?? "", row.querySelector(".c-ext .port")?.textContent ?? ""] as const));
    return seen.filter(([id]) => own.includes(id)).map(([id, internal, external]) => `${id} ${internal} ${external}`).join("\n");
  }
  if (of === "who") {
    await page.locator("article.answer .sentence, .ask .bad-text").first().waitFor();
    if (await failed.count()) return (await failed.first().textContent())!;
    return [await page.locator("h1").textContent(), await page.locator("article.answer .sentence").textContent(), ...(await page.locator(".cand .verdict").allTextContents())].map((text) => text!.replace(/ #\d+/g, "").replace(/\s+/g, " ").trim()).join("\n");
  }
  await page.locator(".head h1, .trace-msg").first().waitFor();
  if (await failed.count()) return (await failed.first().textContent())!;
  return (await page.locator(".head .cls").allTextContents()).join(", ");
}

const kVerdicts: Record<string, string> = { matches: "matches", ruled_out: "ruled out", not_covering: "not covering" };
const port = (endpoint: string | null) => (endpoint === null ? "" : `:${endpoint.slice(endpoint.lastIndexOf(":") + 1)}`);

// What the page must say, from the API's answer.
function pageOf(of: Case["of"], text: string, own: Own): string {
  if (of === "search") return rowsOf(text, own).map((row) => `${row.id} ${port(row.internal)} ${row.nat === "translated" ? port(row.external) : ""}`).join("\n");
  if (of === "who") {
    const answer = JSON.parse(text) as WhoAnswer;
    return [answer.sentence, answer.completeness.sentence, ...answer.candidates.map(({ verdict }) => kVerdicts[verdict]!)].join("\n");
  }
  const { edges } = JSON.parse(text) as TraceAnswer;
  return (["proven", "stated", "possible"] as const).map((name) => `${edges.filter((edge) => edge.class === name).length} ${name}`).join(", ");
}

test.each(kNames)("%s: the shell, the API and the page give one answer", async (name) => {
  const { records, cases } = fileOf(name);
  expect(cases.length).toBeGreaterThan(0);
  const book = await Book.scene(records.join("\n"), "cases");
  const { context, page, problems } = await open(browser, `${book.url}/ledger`, { viewport: { width: 1600, height: 1600 } });
  const own = await ownOf(book, records);
  for (const one of cases.map((written) => inBook(written, own))) {
    const why = `${name}: ${one.of} ${one.question}`;
    const [api, shell] = await Promise.all([fromApi(book, one), fromShell(book, one)]);
    if (api.failed !== "") {
      expect(shell.failed.toLowerCase(), why).toContain(api.failed.toLowerCase());
      if (one.of === "search") expect(`${api.error!.position} ${api.error!.length} ${api.error!.suggestion}`, why).toBe(one.expected);
      else if (!/#\d/.test(one.question)) expect(undated(one.expected), why).toBe(undated(api.failed));
    } else if (kLine.includes(one.of)) {
      const rows = rowsOf(api.text, own);
      expect(rowsOf(shell.text, own), why).toEqual(rows);
      if (one.expected !== "row") expect(rows.map(({ id }) => own.indexOf(id)).join(" "), why).toBe(one.expected);
    } else {
      expect(timeless(shell.text), why).toEqual(timeless(api.text));
      const { verdict, completeness, sentence } = JSON.parse(api.text) as WhoAnswer;
      if (one.of === "who") expect(`${verdict} ${completeness.state} | ${sentence}`, why).toBe(one.expected.split(" | ").slice(0, 2).join(" | "));
    }
    if (!kOfPage.has(name) || Object.keys(one.options).length > 0) continue; // the page has no field for options
    await page.goto(`${book.url}${one.of === "search" ? "/" : `/${one.of}`}?q=${encodeURIComponent(one.question)}`);
    const shown = expect.poll(() => onPage(page, one, own), { message: why, timeout: 30_000 });
    if (api.failed !== "") await shown.toContain(api.failed.slice(1)); // the page begins its sentences with a capital
    else await shown.toBe(pageOf(one.of, api.text, own));
  }
  expect(problems).toEqual([]);
  await context.close();
  await book.remove();
}, 120_000);
