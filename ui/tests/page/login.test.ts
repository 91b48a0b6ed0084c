// A book behind TLS: the door's own form on the way in, the page's when a session has ended; both go on to the screen that was asked for.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync } from "node:fs";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { axe, findings } from "./findings";
import { freePort, kProgram, launch, open, removeBook, temporaryFolder } from "./harness";

const folder = temporaryFolder();
const data = path.join(folder, "book");
let server: ChildProcess;
let browser: Browser;
let url: string;
let token: string;

const run = (program: string, ...args: string[]) => spawnSync(program, args, { cwd: folder, encoding: "utf8" });

beforeAll(async () => {
  chmodSync(folder, 0o755); // the book's user passes through it
  const made = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "book.key", "-out", "book.pem");
  if (made.status !== 0) throw new Error(made.stderr);
  const port = await freePort();
  url = `https://localhost:${port}`;
  server = spawn(kProgram, ["serve", "--data", data, "--listen", `0.0.0.0:${port}`, "--tls-cert", "book.pem", "--tls-key", "book.key"], { cwd: folder, stdio: "ignore" });
  for (const until = Date.now() + 20_000; run(kProgram, "token", "list", "--data", data).status !== 0; await new Promise((resolve) => setTimeout(resolve, 20)))
    if (server.exitCode !== null || Date.now() > until) throw new Error("portbook serve does not answer");
  token = run(kProgram, "token", "add", "reader", "--data", data).stdout.trim();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  if (server && server.exitCode === null) {
    const ended = once(server, "exit");
    server.kill("SIGTERM");
    await ended;
  }
  removeBook(folder);
});

const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };
const sideways = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

async function logIn(page: Page, shown: string) {
  await page.getByLabel("Token", { exact: true }).fill(shown);
  await page.getByRole("button", { name: "Log in" }).click();
}

for (const [name, options] of [["wide", {}], ["on a phone", phone]] as const) {
  test(`a login and a session that has ended, ${name}`, async () => {
    // The policies of both forms stand; axe alone goes past them.
    const { context, page } = await open(browser, `${url}/ledger?note=%C3%BC`, { ...options, ignoreHTTPSErrors: true, bypassCSP: true });
    await page.waitForURL((at) => at.pathname === "/login");
    await page.evaluate(axe);
    const found = await findings(page, "the door");
    expect(await sideways(page)).toBe(false);
    await logIn(page, "0".repeat(64));
    await page.getByRole("alert").getByText(/not known here/).waitFor();
    await logIn(page, token);
    await page.waitForURL(`${url}/ledger?note=%C3%BC`);
    await page.locator(".lcol h1").waitFor();

    await context.clearCookies();
    await page.keyboard.press("2");
    await page.waitForURL(`${url}/who`);
    await page.keyboard.press("1");
    await page.getByRole("heading", { name: "This book answers who has a token" }).waitFor();
    const asked = page.url();
    await page.evaluate(axe);
    found.push(...(await findings(page, "a session that has ended")));
    expect(await sideways(page)).toBe(false);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("token");
    await logIn(page, "");
    await page.getByRole("alert").getByText(/64 hexadecimal digits/).waitFor();
    await logIn(page, "0".repeat(64));
    await page.getByRole("alert").getByText(/not known here/).waitFor();
    await logIn(page, token);
    await page.locator(".empty h1").waitFor(); // the book has nothing yet
    expect(page.url()).toBe(asked);
    expect(found).toEqual([]);
    await context.close();
  });
}
