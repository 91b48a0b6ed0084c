// Takes the pictures of docs/screenshots: every screen, wide and on a phone, light and dark. `./dev screenshots` runs it.
//   node scripts/screenshots.mjs PROGRAM SCENE_BOOK
// Search, Who, Trace and Map show the scene of docs/tasks.md; Ledger and the first start a book of its own that captures for some
// seconds, which needs root.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [program, sceneBook] = process.argv.slice(2).map((name) => path.resolve(name));
if (!sceneBook) throw new Error("usage: node scripts/screenshots.mjs PROGRAM SCENE_BOOK");
const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = path.join(root, "docs/screenshots/");
mkdirSync(folder, { recursive: true });

async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

const running = [];
const folders = [];
function newFolder() {
  folders.push(mkdtempSync(path.join(tmpdir(), "portbook-pictures-")));
  return folders.at(-1);
}
async function book(command, data) {
  const port = await freePort();
  const child = spawn(program, [...command, "--data", data, "--listen", `127.0.0.1:${port}`], { stdio: "ignore" });
  running.push(child);
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; !(await fetch(`${url}/healthz`).then((answer) => answer.ok, () => false)); ++tries) {
    if (child.exitCode !== null || tries > 400) throw new Error(`${program} ${command[0]} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return url;
}
async function scene() {
  const lines = path.join(newFolder(), "records.jsonl");
  const made = spawnSync("/usr/bin/python3", ["-B", "-c", "import tasks_scene; print(tasks_scene.records())"], { cwd: path.join(root, "tests/e2e"), encoding: "utf8" });
  writeFileSync(lines, made.stdout);
  const data = newFolder();
  if (spawnSync(sceneBook, [lines, data, "case-17"], { stdio: "inherit" }).status !== 0) throw new Error("no scene");
  return book(["serve", "--host", "case-17"], data);
}

const looks = [
  ["", { viewport: { width: 1280, height: 800 }, colorScheme: "light" }],
  ["-dark", { viewport: { width: 1280, height: 800 }, colorScheme: "dark" }],
  ["-phone", { viewport: { width: 390, height: 844 }, colorScheme: "light", hasTouch: true, isMobile: true }],
  ["-phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true, isMobile: true }],
];

async function take(browser, url, { name, address, phoneAddress = address, ready, phoneReady = ready, before = async () => {}, then = async () => {} }) {
  for (const [suffix, options] of looks) {
    const phone = suffix.startsWith("-phone");
    const context = await browser.newContext(options);
    const page = await context.newPage();
    await before(page, url);
    await page.goto(url + (phone ? phoneAddress : address));
    await page.locator(phone ? phoneReady : ready).first().waitFor({ state: "attached" });
    await then(page);
    await page.waitForTimeout(1200); // late values: counts, proofs, the histogram
    const file = `${folder}${name}${suffix}.png`;
    await page.screenshot({ path: file });
    spawnSync("pngquant", ["--force", "--ext", ".png", "--strip", file]); // a third of the bytes, where it is installed
    await context.close();
  }
}

// A checkpoint from an earlier visit, so that there is one to be extended.
async function visitBefore(page, url) {
  await page.goto(url);
  await page.locator(".trust .tr", { hasText: "Ledger" }).locator(".i.ok").waitFor();
  await page.waitForTimeout(1500);
}
// A book that runs is not empty any more: its first answer is held empty, everything else is real.
async function holdEmpty(page) {
  await page.route("**/api/v1/search?limit=200", async (route) => {
    const answer = await route.fetch();
    const { end } = JSON.parse((await answer.text()).trim().split("\n").at(-1));
    await route.fulfill({ response: answer, body: `${JSON.stringify({ end: { ...end, rows: 0, cursor: null } })}\n` });
  });
  await page.route("**/api/v1/tail?*", () => {});
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const told = await scene();
  const line = encodeURIComponent('2025-11-20T11:31:00Z db-audit[2210]: copy of 48 MB client=203.0.113.5:38055 server=198.51.100.9:5432 table=orders');
  const range = "window=45m&end=2025-11-20T12:00:00Z";
  const { row } = JSON.parse((await (await fetch(`${told}/api/v1/search?q=pid%3A7327&limit=1`)).text()).split("\n")[0]);
  await take(browser, told, { name: "search", address: `/?${range}&record=${row.id}`, phoneAddress: `/?${range}`, ready: ".panel .proof strong", phoneReady: ".rows .row[data-index]" });
  await take(browser, told, { name: "who", address: `/who?q=${line}`, ready: ".chain .i.ok" });
  await take(browser, told, { name: "trace", address: `/trace?q=${line}&at=e1`, ready: ".graph .e-hit", phoneReady: ".steps-list > li" });
  await take(browser, told, { name: "map", address: "/map?window=3h&end=2025-11-20T12:00:00Z", ready: ".svc", phoneReady: ".links tbody tr", then: async (page) => { if (await page.locator(".svc").count()) await page.locator(".svc", { hasText: "haproxy" }).click(); } });
  const live = await book(["up"], newFolder());
  await take(browser, live, { name: "ledger", address: "/ledger", ready: ".sr", before: visitBefore, then: async (page) => { await page.getByRole("button", { name: /^Check \d/ }).click(); await page.getByText(/records, spread over/).waitFor(); await page.evaluate(() => document.querySelector("main").scrollTo(0, 0)); } });
  await take(browser, live, { name: "first-start", address: "/", ready: ".pairs .i.ok", before: holdEmpty });
} finally {
  await browser.close();
  for (const child of running) child.kill("SIGTERM");
  await Promise.all(running.map((child) => child.exitCode === null && once(child, "exit")));
  for (const one of folders.flatMap((folder) => [folder, `${folder}-agent`])) rmSync(one, { recursive: true, force: true });
}
