// Trace: the hop graph with its classes of edges, what each rests on, the list, the keyboard, the phone.
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, launch, open, taskRecords } from "./harness";

const asked = "203.0.113.5:38055@2025-11-20T11:31:00Z"; // session 27

let book: Book;
let browser: Browser;
beforeAll(async () => {
  [book, browser] = await Promise.all([Book.scene(taskRecords(), "case-17"), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await book?.remove();
});

test("an external port leads to the login before it and the database behind it, each edge drawn by its class", async () => {
  const { context, page, problems } = await open(browser, `${book.url}/trace`);
  await page.getByRole("textbox").fill(asked);
  await page.getByRole("textbox").press("Enter");
  await page.getByRole("heading", { level: 1, name: "From alice’s login on web-7 to postgres on db, through gw and lb" }).waitFor();
  expect(new URL(page.url()).searchParams.get("q")).toBe(asked);
  expect(await page.locator(".box .bh b").allTextContents()).toEqual(["python3.11 7327", "haproxy 33", "postgres 44", "gw"]);
  expect(await page.locator(".box.at .bh b").allTextContents()).toEqual(["gw"]); // where the external port was leased
  expect(await page.locator(".graph svg .svgt.ext").textContent()).toBe(":38055");
  const stroke = (name: string) => page.locator(`.graph .e-${name}`).first().evaluate((line) => [getComputedStyle(line).strokeWidth, getComputedStyle(line).strokeDasharray]);
  expect([await stroke("proven"), await stroke("stated")]).toEqual([["2.5px", "none"], ["1.25px", "none"]]);
  await page.getByText("Complete.").waitFor();
  await page.getByText(/(\d+) of \1 proofs check out/).waitFor();
  expect(problems).toEqual([]);
  await context.close();
});

test("a click on an edge shows its method and its records, which check out; it stands in the address", async () => {
  const { context, page } = await open(browser, `${book.url}/trace?q=${encodeURIComponent(asked)}`);
  const edge = page.locator('.graph .e-hit[data-edge="1"]');
  await edge.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(/at=e1/);
  const side = page.getByRole("complementary", { name: "Selected" });
  await side.getByText("haproxy logged both legs").waitFor();
  await side.getByText("3 of 3 proofs check out").waitFor();
  await side.locator(".pairs li", { hasText: "proxy, lb" }).getByRole("link").click(); // the log’s own record
  await page.locator(".panel .proof strong", { hasText: "Proven" }).waitFor();
  await page.goBack();
  await side.getByText("haproxy logged both legs").waitFor();
  await page.locator(".box", { hasText: "postgres" }).click();
  await page.waitForURL(/at=n\d/);
  await side.getByText("10.9.0.7").first().waitFor();
  await page.keyboard.press("j");
  await page.waitForURL(/at=e\d/);
  await context.close();
});

test("the list says what the graph says, with l and on a phone", async () => {
  const { context, page } = await open(browser, `${book.url}/trace?q=${encodeURIComponent(asked)}`);
  await page.locator(".graph").waitFor();
  await page.keyboard.press("l");
  await page.waitForURL(/view=list/);
  const steps = page.getByRole("list", { name: "The path, step by step" }).locator("> li");
  expect(await steps.locator(".cls").allTextContents()).toEqual(["proven", "stated", "proven"]);
  expect(await steps.nth(0).textContent()).toMatch(/python3\.11 7327.*gw.*38055.*haproxy 33/s);
  await page.keyboard.press("l");
  await page.locator(".graph").waitFor();
  await context.close();
  const phone = await open(browser, `${book.url}/trace?q=${encodeURIComponent(asked)}`, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await phone.page.locator(".steps-list > li").nth(2).waitFor();
  expect(await phone.page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  expect(phone.problems).toEqual([]);
  await phone.context.close();
});

test("an end that nobody covers is hatched and says why; a question that cannot be read is told", async () => {
  const { context, page } = await open(browser, `${book.url}/trace?q=${encodeURIComponent("10.8.3.17:47100@2025-11-20T10:39:55Z")}`);
  await page.locator(".box.out.r", { hasText: "192.0.2.80" }).getByText("not covered").waitFor();
  await page.getByText("1 end is not known").waitFor();
  await page.goto(`${book.url}/trace?q=nothing+here`);
  await page.locator(".trace-msg").waitFor();
  await page.goto(`${book.url}/trace?q=%230`);
  await page.locator(".trace-msg", { hasText: "of no connection" }).waitFor();
  await context.close();
});

test("t traces from a row, from its record and from Who", async () => {
  const { context, page } = await open(browser, `${book.url}/?q=pid%3A7327&window=7d&end=2025-11-20T12:00:00Z`);
  await page.locator(".rows .row[data-index]").first().waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("t");
  await page.waitForURL(/\/trace\?q=%23\d+/);
  await page.locator(".graph").waitFor();
  await page.goto(`${book.url}/who?q=${encodeURIComponent(asked)}`);
  await page.getByRole("link", { name: "Trace", exact: true }).last().click();
  await page.waitForURL(/\/trace\?q=203/);
  await page.locator(".graph").waitFor();
  await context.close();
});
