// Map: services and who talks to whom, from the scene of docs/tasks.md; live on a book that captures is in live.test.ts.
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

const morning = () => `${book.url}/map?window=3h&end=2025-11-20T12:00:00Z`;

test("services stand in their bands, pairs have their counts, failures are told", async () => {
  const { context, page, problems } = await open(browser, morning());
  await page.locator(".svc").nth(5).waitFor();
  const seen = Object.fromEntries(
    await page.locator(".svc").evaluateAll((all) => all.map((one) => [one.querySelector("b")!.textContent, one.querySelector("span > span:last-child")!.textContent])),
  );
  expect(seen).toEqual({ reports: "3", curl: "2", "python3.11": "40", haproxy: "80", postgres: "43", "192.0.2.80": "2" });
  const left = async (name: string) => (await page.locator(".svc", { hasText: name }).boundingBox())!.x;
  expect(await left("python3.11")).toBeLessThan(await left("haproxy"));
  expect(await left("haproxy")).toBeLessThan(await left("postgres"));
  expect(await left("postgres")).toBeLessThan(await left("192.0.2.80"));
  await page.getByRole("button", { name: "curl on web-7 to 192.0.2.80: 2 connections, 1 failed" }).waitFor();
  await page.getByText("web-7/socket has a gap").waitFor();
  expect(problems).toEqual([]);
  await context.close();
});

test("the keyboard leads from box to box; a pair leads to its connections in Search", async () => {
  const { context, page } = await open(browser, morning());
  const box = (name: string) => page.locator(".svc", { hasText: name });
  await box("python3.11").focus();
  await page.keyboard.press("ArrowRight");
  expect(await page.evaluate(() => document.activeElement!.textContent)).toContain("haproxy");
  await page.keyboard.press("Enter");
  await page.waitForURL(/at=/);
  const side = page.getByRole("complementary", { name: "About the map" });
  await side.getByRole("button", { name: "→ postgres on db" }).click();
  await side.getByText("49,658,226").waitFor();
  await side.getByRole("link", { name: "Show connections" }).click();
  await page.waitForURL((url) => url.pathname === "/" && url.searchParams.get("q") === "host:lb exe:haproxy direction:out dst.port:5432 proto:tcp");
  await page.locator(".tfoot", { hasText: "40 connections" }).waitFor();
  await page.goBack();
  await side.getByText("49,658,226").waitFor(); // the selection stands in the address
  await page.keyboard.press("Escape");
  await side.getByText("49,658,226").waitFor({ state: "detached" });
  await context.close();
});

test("what the day before did not have is new; a filter narrows; the list says the same", async () => {
  const { context, page } = await open(browser, `${book.url}/map?window=1h&end=2025-11-20T12:00:00Z&q=proto%3Atcp`);
  await page.getByText("2 of 2 pairs").waitFor(); // sessions began at 11:30
  await page.locator(".m-hot").nth(1).waitFor({ state: "attached" }); // a level line has no height
  await page.keyboard.press("l");
  await page.waitForURL(/view=list/);
  expect(await page.locator(".links tbody tr").count()).toBe(2);
  expect(await page.locator(".links tbody tr").first().textContent()).toContain("haproxy on lb");
  await page.getByRole("combobox", { name: "Filter" }).fill("host:lb dts.port:1");
  await page.keyboard.press("Enter");
  await page.locator(".ink .bad").first().waitFor();
  await page.getByRole("combobox", { name: "Filter" }).fill("host:lb");
  await page.keyboard.press("Enter");
  await page.locator(".ink .bad").first().waitFor({ state: "detached" });
  await page.waitForURL(/q=host%3Alb/);
  await context.close();
  const phone = await open(browser, morning(), { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await phone.page.locator(".links tbody tr").nth(4).waitFor();
  expect(await phone.page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  await phone.context.close();
});
