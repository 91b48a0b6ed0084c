// Evidence that the page saves: the book's own file, which portbook verify checks without the book; a wrong one is not saved.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, kProgram, launch, open, removeBook, taskRecords, temporaryFolder } from "./harness";

const asked = "203.0.113.5:38055@2025-11-20T11:31:00Z"; // session 27

let book: Book;
let browser: Browser;
const folder = temporaryFolder();
beforeAll(async () => {
  [book, browser] = await Promise.all([Book.scene(taskRecords(), "case-17"), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await book?.remove();
  removeBook(folder);
});

const verify = (file: string) => spawnSync(kProgram, ["verify", file, "--vkey", readFileSync(path.join(book.folder, "vkey"), "utf8").trim()], { encoding: "utf8" });

async function saved(page: Page, button: string, name: string): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button, exact: true }).click()]);
  expect(download.suggestedFilename()).toMatch(/^portbook-(who|trace|search)-[\w.-]+\.evidence$/);
  const file = path.join(folder, name);
  await download.saveAs(file);
  return file;
}

test.each([
  ["who", `/who?q=${encodeURIComponent(asked)}`, "Export evidence"],
  ["trace", `/trace?q=${encodeURIComponent(asked)}`, "Export evidence"],
  ["search", `/?q=${encodeURIComponent("host:web-7 dst.port:5432")}&from=2025-11-20T00:00:00Z&to=2025-11-21T00:00:00Z`, "Evidence"],
])("what %s saves holds, and a changed byte of it is named", async (view, address, button) => {
  const { context, page, problems } = await open(browser, book.url + address);
  const file = await saved(page, button, `${view}.evidence`);
  await page.getByRole("status").filter({ hasText: /^\d+ records saved, each proven$/ }).waitFor();
  const held = verify(file);
  expect(held.stdout + held.stderr).toContain("records hold: each is proven to be in a signed log of portbook/case-17");
  expect(held.stdout).toContain(`"command":"${view}"`);
  expect(held.status).toBe(0);
  const bytes = readFileSync(file);
  const at = bytes.indexOf("\nrecord ");
  bytes[bytes.indexOf("\n", at + 1) + 20]! ^= 1;
  writeFileSync(file, bytes);
  const changed = verify(file);
  expect(changed.stdout).toMatch(/section "record \d+" at byte \d+: its bytes are not those of its SHA-256/);
  expect(changed.status).toBe(1);
  expect(problems).toEqual([]);
  await context.close();
});

test("a file that does not hold is not saved, and what is wrong is said", async () => {
  const { context, page } = await open(browser, `${book.url}/who?q=${encodeURIComponent(asked)}`);
  await page.locator(".chain").waitFor();
  let downloads = 0;
  page.on("download", () => ++downloads);
  await page.route("**/api/v1/evidence?**", async (route) => {
    const body = await (await route.fetch()).body();
    const at = body.indexOf("\nproof ");
    body[body.indexOf("\n", at + 1) + 40]! ^= 1;
    await route.fulfill({ status: 200, contentType: "application/octet-stream", body });
  });
  await page.getByRole("button", { name: "Export evidence" }).click();
  await page.getByText(/Not saved: what the book gave does not hold, section proof \d+ is not as it was written/).waitFor();
  await page.getByText("An evidence file is wrong").waitFor();
  expect(downloads).toBe(0);
  await context.close();
});
