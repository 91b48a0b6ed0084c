// axe finds nothing serious or critical on any screen, light and dark, wide and on a phone.
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { axe, findings } from "./findings";
import { Book, launch, open, taskRecords } from "./harness";

const asked = encodeURIComponent("203.0.113.5:38055@2025-11-20T11:31:00Z");
const morning = "window=3h&end=2025-11-20T12:00:00Z";

let book: Book;
let browser: Browser;
beforeAll(async () => {
  [book, browser] = await Promise.all([Book.scene(taskRecords(), "case-17"), launch()]);
});
afterAll(async () => {
  await browser?.close();
  await book?.remove();
});

interface Screen {
  name: string;
  address: string;
  ready: string; // what is waited for
  then?: (page: Page) => Promise<unknown>;
  phone?: boolean; // also there
  parts?: { name: string; open: (page: Page) => Promise<unknown>; within: string }[]; // what is opened on it, one after another
}
const screens: Screen[] = [
  { name: "search", address: `/?q=host%3Aweb-7&${morning}`, ready: ".rows .row[data-index]", phone: true, then: (page) => page.locator(".facets section").first().waitFor({ state: "attached" }), parts: [
    { name: "columns", open: (page) => page.getByRole("button", { name: "Columns" }).click(), within: ".menu" },
    { name: "views", open: (page) => page.getByRole("button", { name: "Views" }).click(), within: ".menu" },
    { name: "keys", open: (page) => page.locator(".brand").focus().then(() => page.keyboard.press("?")), within: "dialog" },
  ] },
  { name: "record", address: `/?q=pid%3A7327&${morning}&record=499`, ready: ".panel .proof strong", then: (page) => page.locator(".panel .proof strong", { hasText: "Proven" }).waitFor() },
  { name: "error in the filter", address: `/?q=dts.port%3A1&${morning}`, ready: ".ink .bad" },
  { name: "nothing matches", address: `/?q=pid%3A1&${morning}`, ready: ".nothing" },
  { name: "who, to be asked", address: "/who", ready: "textarea" },
  { name: "who", address: `/who?q=${asked}`, ready: ".chain .i.ok", phone: true },
  { name: "trace", address: `/trace?q=${asked}&at=e1`, ready: ".graph .e-hit", then: (page) => page.getByText(/(\d+) of \1 proofs check out/).waitFor() },
  { name: "trace as a list", address: `/trace?q=${asked}&view=list`, ready: ".steps-list > li", phone: true },
  { name: "map", address: `/map?${morning}`, ready: ".svc", then: (page) => page.locator(".svc").first().click() },
  { name: "map as a list", address: `/map?${morning}&view=list`, ready: ".links tbody tr", phone: true },
  { name: "ledger", address: "/ledger", ready: ".sr", phone: true },
];

test("axe itself finds what is wrong", async () => {
  const { context, page } = await open(browser, `${book.url}/ledger`);
  await page.locator(".sr").first().waitFor();
  await page.evaluate(axe);
  await page.evaluate(() => document.querySelector<HTMLElement>(".lcol h1")!.setAttribute("style", "color: #bbb; background: #fff"));
  expect((await findings(page, "broken")).join()).toContain("color-contrast: h1");
  await context.close();
});

test("nothing serious on any screen, in both themes", async () => {
  const found: string[] = [];
  const wide = await open(browser, "about:blank");
  const phone = await open(browser, "about:blank", { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  for (const [{ page }, on, list] of [[wide, "", screens], [phone, " on a phone", screens.filter((one) => one.phone)]] as const) {
    for (const { name, address, ready, then, parts } of list) {
      await page.goto(book.url + address);
      await page.locator(ready).first().waitFor({ state: "attached" });
      await then?.(page);
      await page.evaluate(axe);
      found.push(...(await findings(page, name + on, "", on === "" ? ["light", "dark"] : ["light"]))); // colours are the same there
      if (on !== "") continue;
      for (const part of parts ?? []) {
        await part.open(page);
        await page.locator(part.within).first().waitFor();
        found.push(...(await findings(page, part.name, part.within)));
        await page.keyboard.press("Escape");
        await page.locator(part.within).first().waitFor({ state: "detached" });
      }
    }
  }
  // A book that has nothing yet.
  const { page } = wide;
  await page.route("**/api/v1/search?limit=200", async (route) => {
    const answer = await route.fetch();
    const { end } = JSON.parse((await answer.text()).trim().split("\n").at(-1)!);
    await route.fulfill({ response: answer, body: `${JSON.stringify({ end: { ...end, rows: 0, cursor: null } })}\n` });
  });
  await page.route("**/api/v1/tail?*", () => {});
  await page.goto(book.url);
  await page.locator(".empty h1").waitFor();
  await page.evaluate(axe);
  found.push(...(await findings(page, "first start")));
  expect(found).toEqual([]);
  await wide.context.close();
  await phone.context.close();
}, 120_000);
