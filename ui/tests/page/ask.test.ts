// Who, the filter, facets, the keyboard, the address, and the phone.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Book, connect, type Connection, launch, open, rowOf, Target } from "./harness";

let book: Book;
let browser: Browser;
let target: Target;
let held: Connection;
beforeAll(async () => {
  [book, browser, target] = await Promise.all([Book.start(), launch(), Target.start()]);
  held = await connect(target);
});
afterAll(async () => {
  held?.socket.destroy();
  target?.close();
  await browser?.close();
  await book?.remove();
});

const only = () => `${book.url}/?q=direction%3Aout%20dst.port%3A${target.port}`;
const logLine = () => `${new Date(held.returnedAt + 5).toISOString()} waf[2210]: blocked rule=942100 client=127.0.0.1:${held.port} server=127.0.0.1:${target.port} "POST /api/upload"`;

async function paste(page: Page, text: string) {
  await page.evaluate((line) => {
    const data = new DataTransfer();
    data.setData("text/plain", line);
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }, text);
}

test("a log line pasted anywhere is answered by Who: process, chain, completeness, and every proof checked", async () => {
  const { context, page, problems } = await open(browser, only());
  await rowOf(page, held.port).waitFor();
  await paste(page, logLine());
  await page.waitForURL(/\/who\?q=/);
  const answer = page.getByRole("heading", { level: 1 });
  await page.locator(".chain").waitFor();
  expect(await answer.textContent()).toMatch(/node|vitest/i);
  expect(await page.locator(".answer").textContent()).toContain(String(process.pid));
  expect(await page.locator(".paste mark").allTextContents()).toContain(`127.0.0.1:${held.port}`);
  expect(await page.locator(".sentence strong").textContent()).not.toBe("");
  expect(await page.locator(".chain .cls.proven").count()).toBeGreaterThan(0);
  expect(await page.locator(".cand .verdict", { hasText: "matches" }).count()).toBeGreaterThan(0);
  await page.getByText(/(\d+) of \1 proofs check out/).waitFor();
  expect(problems).toEqual([]);
  await context.close();
});

test("Who on its own: the text is kept in the address, and what cannot be read is said", async () => {
  const { context, page } = await open(browser, `${book.url}/who`);
  await page.getByRole("textbox").fill("nothing to see here");
  await page.getByRole("textbox").press("Enter");
  await page.locator(".ask .bad-text").waitFor();
  await page.getByRole("textbox").fill(logLine());
  await page.getByRole("textbox").press("Enter");
  await page.locator(".chain").waitFor();
  await page.reload();
  await page.locator(".chain").waitFor();
  expect(await page.locator(".paste").textContent()).toContain("rule=942100");
  await context.close();
});

test("an error in the filter is underlined where it stands, and the likely field is offered", async () => {
  const { context, page } = await open(browser, book.url);
  const field = page.getByRole("combobox", { name: "Filter" });
  await field.fill(`host:x dst.prt:${target.port}`);
  await field.press("Enter");
  await page.locator(".ink .bad").first().waitFor();
  expect((await page.locator(".ink .bad").allTextContents()).join("")).toContain("dst.prt");
  await page.locator("#query-error button", { hasText: "dst.port" }).click();
  await page.waitForURL(/dst\.port/);
  await page.locator(".ink .bad").first().waitFor({ state: "detached" });
  await context.close();
});

test("fields and values are completed from the book", async () => {
  const { context, page } = await open(browser, book.url);
  const field = page.getByRole("combobox", { name: "Filter" });
  await field.pressSequentially("dst.po");
  await page.getByRole("option", { name: /^dst\.port/, selected: true }).waitFor();
  await field.press("Tab");
  expect(await field.inputValue()).toBe("dst.port:");
  await field.pressSequentially(String(target.port).slice(0, 3));
  await page.getByRole("option", { name: String(target.port) }).waitFor();
  while (!(await page.getByRole("option", { name: String(target.port), selected: true }).count())) await field.press("ArrowDown");
  await field.press("Tab");
  await field.press("Enter");
  await rowOf(page, held.port).waitFor();
  expect(new URL(page.url()).searchParams.get("q")).toBe(`dst.port:${target.port}`);
  await context.close();
});

test("a facet includes by click and excludes by shift-click, and takes back", async () => {
  const second = await Target.start();
  const other = await connect(second);
  const { context, page } = await open(browser, `${book.url}/?q=dst.port%3A(${target.port}%20or%20${second.port})`);
  await rowOf(page, held.port).waitFor();
  await rowOf(page, other.port).waitFor();
  const facet = page.locator(".facets section", { hasText: "dst.port" }).getByRole("button", { name: String(second.port) });
  await facet.click();
  await rowOf(page, held.port).waitFor({ state: "detached" });
  expect(new URL(page.url()).searchParams.get("q")).toContain(` dst.port:${second.port}`);
  await facet.click();
  await rowOf(page, held.port).waitFor();
  await facet.click({ modifiers: ["Shift"] });
  await rowOf(page, other.port).waitFor({ state: "detached" });
  await rowOf(page, held.port).waitFor();
  other.socket.destroy();
  second.close();
  await context.close();
});

test("when nothing matches, the term whose removal helps is named with its count", async () => {
  const { context, page } = await open(browser, `${book.url}/?q=dst.port%3A${target.port}%20uid%3A4000000001`);
  await page.getByText("No connection matches.").waitFor();
  await page.getByRole("button", { name: "Remove it" }).click();
  await rowOf(page, held.port).waitFor();
  await context.close();
});

test("the keyboard reaches everything", async () => {
  const { context, page } = await open(browser, only());
  await rowOf(page, held.port).waitFor();
  await page.keyboard.press("j");
  await page.locator(".row[aria-selected=true]").waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".panel .proof strong", { hasText: "Proven" }).waitFor();
  expect(new URL(page.url()).searchParams.get("record")).toMatch(/^\d+$/);
  await page.locator(".panel .line", { hasText: "src.port" }).focus();
  await page.keyboard.press("+");
  await page.waitForURL(/src\.port/);
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  expect(await page.evaluate(() => document.activeElement?.getAttribute("name"))).toBe("q");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Space");
  await page.getByRole("button", { name: "Paused" }).waitFor();
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
  await page.keyboard.press("5");
  await page.waitForURL(/\/ledger$/);
  await page.keyboard.press("2");
  await page.waitForURL(/\/who$/);
  await page.keyboard.press("1");
  await page.waitForURL((url) => url.pathname === "/");
  await context.close();
});

test("w asks Who about the selected row, and Back returns to it", async () => {
  const { context, page } = await open(browser, only());
  await rowOf(page, held.port).waitFor();
  await page.keyboard.press("j");
  await page.locator(".row[aria-selected=true]").waitFor();
  await page.keyboard.press("w");
  await page.waitForURL(/\/who\?q=/);
  await page.locator(".chain").waitFor();
  await page.goBack();
  await rowOf(page, held.port).waitFor();
  await context.close();
});

test("a brush on the histogram narrows the rows to a fixed range, and Esc takes it away", async () => {
  const { context, page } = await open(browser, only());
  await rowOf(page, held.port).waitFor();
  const box = (await page.locator(".u-over").boundingBox())!;
  await page.mouse.move(box.x + 40, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + 200, box.y + 30, { steps: 4 });
  await page.mouse.up();
  await page.waitForURL(/from=.*to=/);
  await page.getByRole("button", { name: "Fixed range" }).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.searchParams.has("from"));
  await rowOf(page, held.port).waitFor();
  await context.close();
});

test("both themes, the system's and the reader's own", async () => {
  const { context, page } = await open(browser, only(), { colorScheme: "dark" });
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await background();
  await page.getByRole("button", { name: "Theme: system" }).click();
  await page.getByRole("button", { name: "Theme: light" }).waitFor();
  expect(await background()).not.toBe(dark);
  await page.reload();
  await page.getByRole("button", { name: "Theme: light" }).waitFor();
  expect(await background()).not.toBe(dark);
  await context.close();
});

test("on a phone nothing scrolls sideways, and a record is a full sheet", async () => {
  const { context, page, problems } = await open(browser, only(), { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  const sideways = () =>
    page.evaluate(() => {
      const wide = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".offscreen, .measure, .ink, .cmd-text, .paste, .u-wrap, .brush"));
      return { page: document.documentElement.scrollWidth > innerWidth, wide: wide.map((e) => e.className).slice(0, 5) };
    });
  await rowOf(page, held.port).waitFor();
  expect(await sideways()).toEqual({ page: false, wide: [] });
  const cut = await page.locator(".rows .row .port").evaluateAll((ports) =>
    ports.filter((port) => port.getBoundingClientRect().right > port.closest("[role=gridcell]")!.getBoundingClientRect().right + 0.5).map((port) => port.textContent),
  );
  expect(cut).toEqual([]); // a port is never cut
  await rowOf(page, held.port).tap();
  await page.locator(".panel .proof strong", { hasText: "Proven" }).waitFor();
  expect((await page.locator(".panel").boundingBox())!.width).toBe(390);
  expect(await sideways()).toEqual({ page: false, wide: [] });
  await page.goto(`${book.url}/who?q=${encodeURIComponent(logLine())}`);
  await page.locator(".chain").waitFor();
  expect((await page.locator("h1").boundingBox())!.y).toBeLessThan(400);
  expect(await sideways()).toEqual({ page: false, wide: [] });
  await page.goto(`${book.url}/ledger`);
  await page.locator(".sr").first().waitFor();
  await page.locator("#agents + .doc", { hasText: "capturing since" }).waitFor();
  expect(await sideways()).toEqual({ page: false, wide: [] });
  expect(problems).toEqual([]);
  await context.close();
});

test("a book that stops answering is said, with what is still valid", async () => {
  const own = await Book.start();
  const { context, page } = await open(browser, own.url);
  await page.getByRole("button", { name: /^(Live|Paused)/ }).waitFor();
  await own.stop();
  await page.getByText(/The book has not answered for/).waitFor({ timeout: 15_000 });
  await own.remove();
  await context.close();
});
