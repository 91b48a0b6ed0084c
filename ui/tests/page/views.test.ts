// Columns of the reader's own, saved views, and that every screen is its address.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, launch, open, taskRecords } from "./harness";

let book: Book;
let browser: Browser;
beforeAll(async () => {
  [book, browser] = await Promise.all([Book.scene(taskRecords(), "case-17"), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await book?.remove();
});

const morning = () => `${book.url}/?q=host%3Aweb-7&window=3h&end=2025-11-20T12:00:00Z`;

test("columns are chosen, stand in the address, are remembered, and go back to the usual ones", async () => {
  const { context, page, problems } = await open(browser, morning());
  const heads = () => page.locator(".thead [role=columnheader]:visible").allTextContents().then((all) => all.map((one) => one.trim()).filter((one) => !["", "direction", "proof"].includes(one)));
  await page.locator(".rows .row[data-index]").first().waitFor();
  expect(await heads()).toEqual(["time, UTC", "internal", "external", "destination", "process", "lasted", "user", "arguments", "container", "out", "in"]);
  await page.getByRole("button", { name: "Columns" }).click();
  for (const name of ["user", "lasted", "container", "arguments", "in"]) await page.getByRole("checkbox", { name, exact: true }).uncheck();
  await page.getByRole("checkbox", { name: "login_user" }).check();
  await page.getByRole("combobox", { name: "field" }).fill("source_seq");
  await page.getByRole("combobox", { name: "field" }).press("Enter");
  const chosen = ["time, UTC", "internal", "external", "destination", "process", "out", "login_user", "source_seq"];
  expect(await heads()).toEqual(chosen);
  expect(new URL(page.url()).searchParams.get("columns")).toBe("destination,process,out,login_user,source_seq");
  expect(await page.locator(".row .any").first().textContent()).toBe("alice");
  await page.goto(morning());
  await page.waitForURL(/columns=/);
  await page.locator(".rows .row[data-index]").first().waitFor();
  expect(await heads()).toEqual(chosen);
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("button", { name: "Usual columns" }).click();
  await page.waitForURL((url) => !url.searchParams.has("columns"));
  expect(await page.evaluate(() => localStorage.getItem("portbook.columns"))).toBe(null);
  expect(problems).toEqual([]);
  await context.close();
});

test("a screen is saved under a name, found again from another screen, and forgotten", async () => {
  const { context, page } = await open(browser, `${morning()}&from=2025-11-20T11:30:00Z&to=2025-11-20T11:30:02Z&columns=process,host`);
  await page.getByRole("button", { name: "Fixed range" }).waitFor();
  const saved = new URL(page.url());
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("textbox", { name: "name" }).fill("alice’s first seconds");
  await page.getByRole("textbox", { name: "name" }).press("Enter");
  await page.getByRole("link", { name: "alice’s first seconds" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("4");
  await page.waitForURL(/\/map$/);
  await page.reload();
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("link", { name: "alice’s first seconds" }).click();
  await page.locator(".tfoot", { hasText: "14 connections" }).waitFor();
  expect(page.url()).toBe(saved.href);
  await page.getByRole("button", { name: "Views" }).click();
  await page.getByRole("button", { name: "Forget alice’s first seconds" }).click();
  await page.getByText("None yet.").waitFor();
  await context.close();
});
