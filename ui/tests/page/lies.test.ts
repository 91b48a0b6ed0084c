// A server that lies: the same address is answered from a book in which one record says something else. The page holds it against the
// checkpoint that it remembers, whoever signed the new one.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, launch, open, taskRecords } from "./harness";

const truth = taskRecords();
const forged = truth.replaceAll("48392117", "8392117"); // what session 27 sent
const record = "/?q=pid%3A7327&window=3h&end=2025-11-20T12:00:00Z&record=499";

let browser: Browser;
beforeAll(async () => void (browser = await launch()));
afterAll(() => browser?.close());

test.concurrent.each([
  ["with the stolen key", true, "This book is not the one you saw before"],
  ["with a key of its own", false, "Another book answers here"],
])("a rewritten book %s is told, is proven nowhere, and is not remembered", async (_, stolen, said) => {
  expect(forged).not.toBe(truth);
  const honest = await Book.scene(truth, "case-17");
  const { context, page, problems } = await open(browser, honest.url + record);
  let liar: Book | null = null;
  let again: Book | null = null;
  try {
    await page.locator(".panel .proof strong", { hasText: "Proven, checked in this browser" }).waitFor();
    expect(await page.locator(".panel .line", { hasText: "bytes_out" }).textContent()).toContain("48,392,117");
    const remembered = () => page.evaluate(() => JSON.parse(localStorage.getItem("portbook.remembered")!) as { size: number; vkey: string });
    await page.waitForFunction(() => localStorage.getItem("portbook.remembered") !== null);
    const before = await remembered();
    await honest.stop();
    liar = await Book.scene(forged, "case-17", { port: honest.port, keyOf: stolen ? honest : null });

    // The page that is open notices by itself, and what it remembers stays.
    await page.locator("header.top.wrong [role=alert]").waitFor({ timeout: 25_000 });
    await page.reload();
    await page.locator("header.top.wrong [role=alert]", { hasText: said }).waitFor();
    await page.locator(".panel .proof.bad").waitFor();
    expect(await page.locator(".panel .proof strong", { hasText: "Proven" }).count()).toBe(0);
    await page.goto(`${honest.url}/who?q=${encodeURIComponent("203.0.113.5:38055@2025-11-20T11:31:00Z")}`);
    await page.locator(".side h2", { hasText: /\d+ of \d+ proofs are wrong/ }).waitFor();
    await page.getByRole("button", { name: "Dismiss" }).click();
    await page.goto(`${honest.url}/ledger`);
    await page.getByRole("heading", { level: 1, name: said }).waitFor();
    expect(await remembered()).toMatchObject({ vkey: before.vkey });
    expect((await remembered()).size).toBeLessThanOrEqual(before.size + 2); // what the honest book had added meanwhile

    // The honest book is known again.
    await liar.stop();
    again = await Book.again(honest, "case-17");
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Unchanged since you last looked" }).waitFor();
    expect(await page.locator("header.top.wrong").count()).toBe(0);
    expect(problems).toEqual([]);
  } finally {
    await context.close();
    await liar?.remove();
    await again?.remove();
    await honest.remove();
  }
});
