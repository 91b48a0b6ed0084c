// Takes the pictures of docs/screenshots from a running book: node scripts/screenshots.mjs [http://127.0.0.1:7171]
// The book should have seen a minute of real connections, one of them through a translation.
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const url = process.argv[2] ?? "http://127.0.0.1:7171";
const query = process.argv[3] ?? "";
const folder = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const looks = [
  ["", { viewport: { width: 1280, height: 800 }, colorScheme: "light" }],
  ["-dark", { viewport: { width: 1280, height: 800 }, colorScheme: "dark" }],
  ["-phone", { viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true, isMobile: true }],
];

const rows = (await (await fetch(`${url}/api/v1/search?limit=200&q=${encodeURIComponent(query)}`)).text())
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line).row)
  .filter((row) => row?.state === "closed" && row.internal);
const told = rows.find((row) => row.nat === "translated") ?? rows.find((row) => row.record.direction === "out") ?? rows[0];
const line = `${told.start.slice(0, 23)}Z waf[2210]: blocked rule=942100 client=${told.external ?? told.internal} server=${told.record["dst.ip"]}:${told.record["dst.port"]} "POST /api/upload"`;

async function take(name, address, ready, before = async () => {}) {
  for (const [suffix, options] of looks) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    await before(page);
    if (name === "ledger") {
      await page.goto(url); // so that there is a checkpoint to remember
      await page.locator(".trust .tr", { hasText: "Ledger" }).locator(".i.ok").waitFor();
      await page.waitForTimeout(1500);
    }
    await page.goto(url + (suffix === "-phone" ? address.replace(/record=\d+/, "") : address));
    await page.locator(name === "search" && suffix === "-phone" ? ".rows .row[data-index]" : ready).first().waitFor();
    await page.waitForTimeout(1200); // late values: counts, proofs, the histogram
    await page.screenshot({ path: `${folder}${name}${suffix}.png` });
    await context.close();
  }
}

const withQuery = query === "" ? "/?" : `/?q=${encodeURIComponent(query)}&`;
await take("search", `${withQuery}record=${told.id}`, ".panel .proof strong");
await take("who", `/who?q=${encodeURIComponent(line)}`, ".chain .i.ok");
await take("ledger", "/ledger", ".sr");
await take("first-start", "/", ".pairs .i.ok", async (page) => {
  // A book that is running is not empty any more: its first answer is held empty, everything else is real.
  await page.route("**/api/v1/search?limit=200", async (route) => {
    const answer = await route.fetch();
    const { end } = JSON.parse((await answer.text()).trim().split("\n").at(-1));
    await route.fulfill({ response: answer, body: `${JSON.stringify({ end: { ...end, rows: 0, cursor: null } })}\n` });
  });
  await page.route("**/api/v1/tail?*", () => {});
});
await browser.close();
