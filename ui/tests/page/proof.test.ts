// The proof turns green by the browser's own check, and red when a byte changes on the way or history does.
import { cpSync, rmSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, connect, launch, open, rowOf, Target, temporaryFolder } from "./harness";

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

// A page with the record panel open on a fresh connection.
async function openRecord(page: Page): Promise<number> {
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  const { port, socket } = await connect(target);
  await rowOf(page, port).locator(".prc").click();
  socket.destroy();
  await page.locator(".panel .big", { hasText: String(port) }).waitFor();
  return port;
}

test("a record's proof is checked in the browser and turns green", async () => {
  const { context, page, problems } = await open(browser, `${book.url}/?q=direction%3Aout%20dst.port%3A${target.port}`);
  const port = await openRecord(page);
  await page.locator(".panel .proof", { hasText: "Proven, checked in this browser" }).waitFor();
  expect(await page.locator(".panel .line", { hasText: "src.port" }).locator("dd").textContent()).toContain(String(port));
  expect(await page.locator(".trust").textContent()).toMatch(/Ledger [\d,]+/);
  expect(problems).toEqual([]);
  await context.close();
});

const flipped = (text: string) => (text[0] === "a" ? "b" : "a") + text.slice(1);
// One byte of one part of the answer, changed on its way to the browser.
const changes: [string, (answer: any) => void][] = [
  ["the record's bytes", (answer) => (answer.bytes = answer.bytes.slice(0, -1) + (answer.bytes.endsWith("0") ? "1" : "0"))],
  ["a shown field", (answer) => (answer.record["src.port"] ^= 1)],
  ["the leaf", (answer) => (answer.leaf = flipped(answer.leaf))],
  ["a hash of the proof", (answer) => (answer.proof.hashes[0] = (answer.proof.hashes[0][0] === "A" ? "B" : "A") + answer.proof.hashes[0].slice(1))],
  ["the checkpoint's size", (answer) => (answer.proof.checkpoint = answer.proof.checkpoint.replace(/\n(\d+)\n/, (_: string, size: string) => `\n${Number(size) + 1}\n`))],
  ["the index", (answer) => (answer.proof.index += 1)],
];

test.concurrent.each(changes)("it turns red when %s is changed on the way", async (_, change) => {
  const { context, page } = await open(browser, `${book.url}/?q=direction%3Aout%20dst.port%3A${target.port}`);
  await page.route(/\/api\/v1\/records\/\d+$/, async (route) => {
    const response = await route.fetch();
    const answer = await response.json();
    change(answer);
    await route.fulfill({ response, json: answer });
  });
  await page.getByRole("button", { name: /^Live/ }).waitFor();
  const { port, socket } = await connect(target);
  await rowOf(page, port).locator(".prc").click();
  await page.locator(".panel .proof.bad", { hasText: "This proof is wrong" }).waitFor();
  await page.locator("header.top.wrong [role=alert]", { hasText: "A proof is wrong" }).waitFor();
  expect(await page.locator(".panel .proof strong", { hasText: "Proven" }).count()).toBe(0);
  await page.getByRole("button", { name: "Dismiss" }).click();
  expect(await page.locator("header.top.wrong").count()).toBe(0);
  socket.destroy();
  await context.close();
});

test("the next visit says that nothing was changed since the last", async () => {
  const { context, page } = await open(browser, `${book.url}/ledger`);
  await page.getByRole("heading", { name: "Signed, and remembered from now on" }).waitFor();
  (await connect(target)).socket.destroy();
  await page.reload();
  await page.getByRole("heading", { name: "Unchanged since you last looked" }).waitFor();
  expect(await page.locator("pre.note").textContent()).toContain((await book.json<{ origin: string }>("/status")).origin);
  await context.close();
});

test("the ledger keeps what it accepted, checks a sample, and says how much is known", async () => {
  const { context, page, problems } = await open(browser, `${book.url}/ledger`);
  (await connect(target)).socket.destroy();
  await page.locator(".cps li").first().waitFor();
  await page.getByRole("button", { name: "Check 20 records" }).click();
  await page.getByText("20 of 20 records, spread over").waitFor();
  await page.locator(".cov30 > div").nth(3).waitFor();
  expect(await page.locator(".cov30 b").allTextContents()).toEqual(Array.from({ length: 4 }, () => expect.stringMatching(/^\d+\.\d+ %$/)));
  await page.getByRole("button", { name: "7d" }).click();
  await page.waitForURL(/range=7d/);
  await page.reload();
  await page.getByText("20 of 20 records, spread over").waitFor(); // remembered
  expect(await page.getByRole("button", { name: "7d" }).getAttribute("aria-pressed")).toBe("true");
  expect(problems).toEqual([]);
  await context.close();
});

test("a book whose history was rewritten under the same key is told, over the whole bar, until it is dismissed", async () => {
  const folder = temporaryFolder();
  const saved = temporaryFolder();
  let own = await Book.start(folder);
  (await connect(target)).socket.destroy();
  await own.stop();
  cpSync(folder, saved, { recursive: true }); // what an attacker goes back to
  own = await Book.start(folder, own.port);
  const { context, page } = await open(browser, `${own.url}/ledger`);
  try {
    await page.getByRole("heading", { name: "Signed, and remembered from now on" }).waitFor();
    await own.stop();
    rmSync(folder, { recursive: true });
    cpSync(saved, folder, { recursive: true });
    own = await Book.start(folder, own.port);
    const remembered = await page.evaluate(() => JSON.parse(localStorage.getItem("portbook.remembered")!).size as number);
    while ((await own.json<{ size: number }>("/status")).size <= remembered + 1) (await connect(target)).socket.destroy();
    await page.reload();
    await page.locator("header.top.wrong [role=alert]", { hasText: "This book is not the one you saw before" }).waitFor();
    expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("This book is not the one you saw before");
    expect(await page.evaluate(() => JSON.parse(localStorage.getItem("portbook.remembered")!).size as number)).toBe(remembered);
    await page.getByRole("button", { name: "Trust this book anew" }).click();
    await page.getByRole("heading", { name: "Signed, and remembered from now on" }).waitFor();
  } finally {
    await context.close();
    await own.remove();
    rmSync(saved, { recursive: true, force: true });
  }
});
