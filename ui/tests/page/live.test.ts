// Live rows: they come by themselves, soon, once, and never move what is being read.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, connect, launch, open, percentile, rowOf, Target, Wire } from "./harness";

let book: Book;
let browser: Browser;
let target: Target;
beforeAll(async () => {
  [book, browser, target] = await Promise.all([Book.start(), launch(), Target.start()]);
});
afterAll(async () => {
  target?.close();
  await browser?.close();
  await book?.remove();
});

// The filter that keeps other connections of this machine out of a test.
const only = () => `${book.url}/?q=direction%3Aout%20dst.port%3A${target.port}`;

test("first start explains itself, and gives way by itself to the first row", async () => {
  const { context, page, problems } = await open(browser, "about:blank");
  // Other programs of this machine connect too, so the first answer is held empty and the stream is let go after a look.
  let letGo = () => {};
  const looked = new Promise<void>((resolve) => (letGo = resolve));
  await page.route("**/api/v1/search?limit=200", async (route) => {
    const answer = await route.fetch();
    const end = (await answer.text()).trim().split("\n").at(-1)!;
    await route.fulfill({ response: answer, body: `${JSON.stringify({ end: { ...JSON.parse(end).end, rows: 0, cursor: null } })}\n` });
  });
  await page.route("**/api/v1/tail?*", async (route) => {
    await looked;
    await route.continue();
  });
  await page.goto(book.url);
  await page.getByRole("heading", { name: "Listening. No connection has been opened yet." }).waitFor();
  expect(await page.locator(".key-box").textContent()).toBe((await book.json<{ vkey: string }>("/status")).vkey);
  expect(await page.locator(".doc > .why").count()).toBeGreaterThan(2);
  await page.locator(".pairs .i.ok").first().waitFor(); // a proof checked here
  letGo();
  const { port, socket } = await connect(target);
  await rowOf(page, port).waitFor();
  socket.destroy();
  expect(problems).toEqual([]);
  await context.close();
});

test("a connection appears while it is open, with both its ports, and its close is told in place", async () => {
  const { context, page, problems } = await open(browser, only());
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  const { port, socket } = await connect(target);
  const row = rowOf(page, port);
  await row.waitFor();
  expect(await row.locator(".c-int").textContent()).toContain(`127.0.0.1:${port}`);
  expect(await row.locator(".c-ext").textContent()).toMatch(/same|\S/);
  expect(await row.locator(".c-dst").textContent()).toContain(`127.0.0.1:${target.port}`);
  expect(await row.locator(".prc").textContent()).toContain(String(process.pid));
  expect(await row.getAttribute("aria-label")).toContain(`internal port ${port} on 127.0.0.1`);
  const before = await row.boundingBox();
  await row.locator(".dur", { hasText: "open" }).waitFor();
  socket.destroy();
  await row.locator(".dur", { hasText: /\d (ms|s)$/ }).waitFor();
  expect(await row.boundingBox()).toEqual(before);
  expect(problems).toEqual([]);
  await context.close();
});

test("rows are on the page soon after connect returned", async () => {
  // Tall, so that a burst after a stall of this shared machine still fits: what is never drawn cannot be timed.
  const { context, page } = await open(browser, only(), { viewport: { width: 1280, height: 4000 } });
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  await page.evaluate(() => {
    const seen: Record<string, number> = {};
    Object.assign(window, { seen });
    new MutationObserver(() => {
      const now = performance.timeOrigin + performance.now();
      for (const port of document.querySelectorAll(".rows .row[data-index] .c-int .port")) seen[port.textContent!.slice(1)] ??= now;
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  const made = [];
  for (let i = 0; i < 300; ++i) {
    made.push(await connect(target));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await rowOf(page, made.at(-1)!.port).waitFor();
  const seen = await page.evaluate(() => (window as unknown as { seen: Record<string, number> }).seen);
  for (const { socket } of made) socket.destroy();
  const delays = made.map(({ port, returnedAt }) => seen[port]! - returnedAt).sort((a, b) => a - b);
  console.log(`visible on the page after connect returned: p50 ${percentile(delays, 0.5).toFixed(1)} ms, p99 ${percentile(delays, 0.99).toFixed(1)} ms, ${delays.length} connections`);
  expect(delays.every((delay) => Number.isFinite(delay))).toBe(true);
  // Loose, for a machine with other work: the figures above are what counts, and the aim is 50 ms at p99.
  expect(percentile(delays, 0.5)).toBeLessThan(500);
  expect(percentile(delays, 0.99)).toBeLessThan(3000);
  await context.close();
});

test("nothing moves under the reader: newer rows wait above until they are asked for", async () => {
  const { context, page } = await open(browser, only());
  const first = await connect(target);
  await rowOf(page, first.port).locator(".prc").click();
  await page.getByRole("button", { name: "Paused" }).waitFor();
  await page.mouse.move(640, 60);
  const before = await rowOf(page, first.port).boundingBox();
  const more = [await connect(target), await connect(target), await connect(target)];
  await page.getByRole("button", { name: /3 newer/ }).waitFor();
  expect(await rowOf(page, first.port).boundingBox()).toEqual(before);
  expect(await rowOf(page, more[2]!.port).count()).toBe(0);
  await page.keyboard.press("G");
  await rowOf(page, more[2]!.port).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  for (const { socket } of [first, ...more]) socket.destroy();
  await context.close();
});

test("a broken connection is taken up again without a hole and without a double", async () => {
  const wire = await Wire.to(book.port);
  const { context, page } = await open(browser, only().replace(book.url, wire.url));
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  const before = await connect(target);
  await rowOf(page, before.port).waitFor();
  wire.cut();
  await page.getByRole("button", { name: /Resuming/ }).waitFor();
  const during = [];
  for (let i = 0; i < 20; ++i) during.push(await connect(target));
  wire.mend();
  await rowOf(page, during.at(-1)!.port).waitFor();
  await page.getByText(/Resumed/).waitFor();
  const after = await connect(target);
  await rowOf(page, after.port).waitFor();
  const shown = await page.locator(".rows .row[data-index] .c-int .port").allTextContents();
  const wanted = [after, ...during.reverse(), before].map(({ port }) => `:${port}`);
  expect(shown.slice(0, wanted.length)).toEqual(wanted);
  for (const { socket } of [before, after, ...during]) socket.destroy();
  wire.close();
  await context.close();
});

test("the map follows by itself, and a box keeps its place", async () => {
  const { context, page } = await open(browser, `${book.url}/map?q=${encodeURIComponent(`dst.port:${target.port}`)}`);
  const first = await connect(target);
  const box = page.locator(".svc").first();
  await box.waitFor({ timeout: 20_000 });
  const before = await box.boundingBox();
  const counted = () => page.locator(".mlegend").textContent();
  const was = await counted();
  const second = await connect(target);
  await page.waitForFunction((text) => document.querySelector(".mlegend")!.textContent !== text, was, { timeout: 20_000 });
  expect(await box.boundingBox()).toEqual(before);
  for (const { socket } of [first, second]) socket.destroy();
  await context.close();
});
