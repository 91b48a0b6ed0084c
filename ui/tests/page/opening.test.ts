// From opening the page to its first rows. The first question leaves before the page's own code is there, once, and the rows that it
// brings are the ones that are shown.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, launch, open, percentile, taskRecords } from "./harness";

const kOpenings = Number(process.env.OPENINGS ?? 4); // of each kind; more for figures

let book: Book;
let browser: Browser;
beforeAll(async () => {
  [book, browser] = await Promise.all([Book.scene(taskRecords(), "case-17"), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await book?.remove();
});

interface Opening {
  asked: number; // ms since the navigation began: when the first question left,
  answered: number; // when its answer began,
  ran: number; // when the page's own code was there,
  painted: number; // and when the frame with the first rows had been handed on
  questions: number;
}

const watchRows = () => {
  const watcher = new MutationObserver(() => {
    if (!document.querySelector(".rows .row[data-index]")) return;
    watcher.disconnect();
    requestAnimationFrame(() => {
      const channel = new MessageChannel(); // its message comes after the frame
      channel.port1.onmessage = () => performance.mark("first-rows");
      channel.port2.postMessage(0);
    });
  });
  watcher.observe(document, { subtree: true, childList: true });
};

async function opening(page: Page): Promise<Opening> {
  await page.waitForFunction(() => performance.getEntriesByName("first-rows").length > 0);
  return page.evaluate(() => {
    const resources = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
    const searches = resources.filter(({ name }) => name.includes("/api/v1/search"));
    const code = resources.find(({ name }) => /\/assets\/index-.*\.js$/.test(name))!;
    return { asked: searches[0]!.fetchStart, answered: searches[0]!.responseStart, ran: code.responseEnd, painted: performance.getEntriesByName("first-rows")[0]!.startTime, questions: searches.length };
  });
}

const said = (all: Opening[], what: Exclude<keyof Opening, "questions">) => {
  const sorted = all.map((one) => one[what]).sort((a, b) => a - b);
  return `${what} p50 ${percentile(sorted, 0.5).toFixed(0)} ms, p95 ${percentile(sorted, 0.95).toFixed(0)} ms`;
};

test("the first rows are there soon after the page is opened, for the first time and again", async () => {
  const address = process.env.OPENING_URL ?? `${book.url}/?q=host%3Aweb-7&window=3h&end=2025-11-20T12:00:00Z`;
  const [cold, warm]: [Opening[], Opening[]] = [[], []];
  for (let i = 0; i < kOpenings; ++i) {
    const { context, page, problems } = await open(browser, "about:blank");
    await page.addInitScript(watchRows);
    await page.goto(address);
    cold.push(await opening(page));
    await page.reload();
    warm.push(await opening(page));
    expect(problems).toEqual([]);
    await context.close();
  }
  for (const [name, all] of [["first visit", cold], ["again", warm]] as const)
    console.log(`${name}: ${(["asked", "answered", "ran", "painted"] as const).map((what) => said(all, what)).join("; ")}`);
  expect([...cold, ...warm].map(({ questions }) => questions)).toEqual(Array.from({ length: 2 * kOpenings }, () => 1));
  // The best of them, and loose: what other programs of this machine take away is not the page's. The aim is 200 ms.
  expect(Math.min(...cold.map(({ painted }) => painted))).toBeLessThan(1000);
  expect(Math.min(...warm.map(({ painted }) => painted))).toBeLessThan(600);
});

test("the first question does not wait for the page's code", async () => {
  const { context, page, problems } = await open(browser, "about:blank");
  const asked = page.waitForRequest(/\/api\/v1\/search/);
  await page.route(/\/assets\/(index|style)-/, async (route) => {
    await asked; // without an early question nothing would ever ask
    await route.continue();
  });
  await page.goto(`${book.url}/?q=host%3Aweb-7&window=3h&end=2025-11-20T12:00:00Z`);
  await page.locator(".rows .row[data-index]").first().waitFor();
  expect(new URL((await asked).url()).searchParams.get("q")).toBe("(host:web-7) since:2025-11-20T09:00:00.000Z until:2025-11-20T12:00:00.000Z");
  expect(problems).toEqual([]);
  await context.close();
});

test("what the first visit loads stays small", () => {
  const folder = fileURLToPath(new URL("../../dist/assets", import.meta.url));
  const packed = (name: RegExp) => readdirSync(folder).filter((file) => name.test(file)).map((file) => gzipSync(readFileSync(`${folder}/${file}`), { level: 9 }).length);
  const [first, code, style] = [packed(/^first-.*\.js$/), packed(/^index-.*\.js$/), packed(/\.css$/)];
  expect([first.length, code.length, style.length]).toEqual([1, 1, 1]);
  expect(first[0]).toBeLessThan(2_000); // bytes, gzipped
  expect(code[0]).toBeLessThan(90_000);
  expect(style[0]).toBeLessThan(14_000);
});
