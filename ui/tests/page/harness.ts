// A real book and a real browser for the page's tests. Needs root (capture) and a program that was built with the page.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

export const kProgram = process.env.PORTBOOK ?? fileURLToPath(new URL("../../../build/release/portbook", import.meta.url));
// Beside the program in its build folder, unless the environment names it.
const kSceneBook = process.env.SCENE_BOOK ?? path.join(path.dirname(kProgram), "tests/scene_book");
const kChromium = process.env.CHROMIUM ?? "/usr/bin/chromium";

export async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}

// The morning of docs/tasks.md: forty sessions of alice on web-7, through the masquerade of gw and haproxy on lb, to postgres on db.
export function taskRecords(): string {
  const folder = fileURLToPath(new URL("../../../tests/e2e", import.meta.url));
  const made = spawnSync("/usr/bin/python3", ["-c", "import tasks_scene; print(tasks_scene.records())"], { cwd: folder, encoding: "utf8", env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1" } });
  if (made.status !== 0) throw new Error(made.stderr);
  return made.stdout;
}

export const temporaryFolder = () => mkdtempSync(path.join(tmpdir(), "portbook-page-"));

// A book's folder, and the one beside it that `portbook up` makes for its agent.
export function removeBook(folder: string): void {
  for (const one of [folder, `${folder}-agent`]) rmSync(one, { recursive: true, force: true });
}

export class Book {
  private constructor(
    readonly folder: string,
    readonly port: number,
    private process: ChildProcess,
  ) {}
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  static async start(folder = temporaryFolder(), port?: number): Promise<Book> {
    if (!existsSync(kProgram)) throw new Error(`${kProgram} is missing: build the program first (PORTBOOK names another)`);
    const chosen = port ?? (await freePort());
    return Book.run(folder, chosen, ["up"]);
  }

  // A book at rest, made of records as JSON lines (tests/tools/scene_book.cc), and served; nothing is captured into it.
  // With `keyOf` it is signed with that book's key, as a thief of the key would.
  static async scene(records: string, host: string, { port, keyOf = null }: { port?: number; keyOf?: Book | null } = {}): Promise<Book> {
    const folder = temporaryFolder();
    for (const name of keyOf === null ? [] : ["key", "vkey"]) cpSync(path.join(keyOf!.folder, name), path.join(folder, name));
    const lines = `${folder}.jsonl`;
    writeFileSync(lines, records);
    const made = spawnSync(kSceneBook, [lines, folder, host], { encoding: "utf8" });
    rmSync(lines);
    if (made.status !== 0) throw new Error(`${kSceneBook}: ${made.stderr || made.error}`);
    return Book.run(folder, port ?? (await freePort()), ["serve", "--host", host]);
  }

  // A book of scene() that was stopped, at its old address.
  static async again(book: Book, host: string): Promise<Book> {
    return Book.run(book.folder, book.port, ["serve", "--host", host]);
  }

  private static async run(folder: string, chosen: number, command: string[]): Promise<Book> {
    const child = spawn(kProgram, [...command, "--data", folder, "--listen", `127.0.0.1:${chosen}`], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream!.on("data", (bytes) => (said = (said + String(bytes)).slice(-4000)));
    const book = new Book(folder, chosen, child);
    for (const until = Date.now() + 20_000; ; ) {
      if (child.exitCode !== null) throw new Error(`portbook ended with ${child.exitCode}: ${said}`);
      if (await fetch(`${book.url}/api/v1/vkey`).then((answer) => answer.ok, () => false)) return book;
      if (Date.now() > until) throw new Error(`portbook did not answer: ${said}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  // Ends the program and leaves its folder.
  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await ended;
  }
  async remove(): Promise<void> {
    await this.stop();
    removeBook(this.folder);
  }

  async json<T>(address: string): Promise<T> {
    const answer = await fetch(`${this.url}/api/v1${address}`);
    if (!answer.ok) throw new Error(`${address}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as T;
  }
}

export async function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: kChromium,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

export interface Opened {
  context: BrowserContext;
  page: Page;
  problems: string[]; // errors of the page, its console and its content policy, and requests that left the book
}

export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const problems = watch(page, url);
  await page.goto(url);
  return { context, page, problems };
}

// `url` may be about:blank: the test goes on from there, to loopback.
function watch(page: Page, url: string): string[] {
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error" && !/Failed to load resource/.test(message.text())) problems.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(url === "about:blank" ? "http://127.0.0.1:" : new URL(url).origin)) problems.push(`request to ${request.url()}`);
  });
  return problems;
}

// A listener on loopback that accepts everything and keeps it open.
export class Target {
  readonly sockets = new Set<net.Socket>();
  private constructor(private readonly server: net.Server) {}
  static async start(): Promise<Target> {
    const target = new Target(net.createServer());
    target.server.on("connection", (socket) => {
      target.sockets.add(socket);
      socket.on("error", () => undefined).on("close", () => target.sockets.delete(socket));
    });
    target.server.listen(0, "127.0.0.1");
    await once(target.server, "listening");
    return target;
  }
  get port(): number {
    return (this.server.address() as net.AddressInfo).port;
  }
  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

// A wire between the browser and the book that can be cut.
export class Wire {
  private readonly sockets = new Set<net.Socket>();
  private whole = true;
  private constructor(private readonly server: net.Server) {}
  static async to(port: number): Promise<Wire> {
    const wire = new Wire(net.createServer());
    wire.server.on("connection", (near) => {
      if (!wire.whole) return near.destroy();
      const far = net.connect(port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]] as const) {
        wire.sockets.add(one);
        one.on("error", () => undefined).on("close", () => (wire.sockets.delete(one), other.destroy()));
        one.pipe(other);
      }
    });
    wire.server.listen(0, "127.0.0.1");
    await once(wire.server, "listening");
    return wire;
  }
  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }
  cut(): void {
    this.whole = false;
    for (const socket of this.sockets) socket.destroy();
  }
  mend(): void {
    this.whole = true;
  }
  close(): void {
    this.cut();
    this.server.close();
  }
}

// A book whose search answers with made-up rows, and whose tail, where it is given one, brings so many a second; everything else is the
// real one's.
export interface Answers {
  rows: object[] | { length: number; row: (i: number) => object };
  end: object; // the search's last line
  tail?: { row: (i: number) => object; perSecond: number };
}
export async function standIn(book: Book, answers: Answers): Promise<{ url: string; sent: () => number; close: () => void }> {
  const { rows, end, tail } = answers;
  let sent = 0;
  const server = http.createServer((request, response) => {
    if (request.url!.startsWith("/api/v1/search")) return void answerSearch(response, rows, end);
    if (tail && request.url!.startsWith("/api/v1/tail")) return answerTail(response, tail, (n) => (sent += n));
    const through = http.request(`${book.url}${request.url}`, { headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    through.on("error", () => response.destroy()).end();
    response.on("close", () => through.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = () => (server.close(), server.closeAllConnections());
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, sent: () => sent, close };
}

async function answerSearch(response: http.ServerResponse, rows: Answers["rows"], end: object): Promise<void> {
  const at = Array.isArray(rows) ? (i: number) => rows[i]! : rows.row;
  for (let i = 0; i < rows.length && !response.destroyed; i += 1000) {
    let text = "";
    for (let k = i; k < Math.min(rows.length, i + 1000); ++k) text += `${JSON.stringify({ row: at(k) })}\n`;
    if (!response.write(text)) await once(response, "drain").catch(() => undefined);
  }
  response.end(`${JSON.stringify({ end })}\n`);
}

// As the book does: what a slow reader does not take waits, so that the rate is no more than it can take.
function answerTail(response: http.ServerResponse, tail: NonNullable<Answers["tail"]>, count: (n: number) => void): void {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  let i = 0;
  const started = performance.now();
  const timer = setInterval(() => {
    if (response.writableLength > 8_000_000) return;
    const due = Math.min(i + tail.perSecond / 5, Math.floor(((performance.now() - started) / 1000) * tail.perSecond));
    let text = "";
    count(Math.max(0, due - i));
    for (; i < due; ++i) text += `event: row\nid: ${i + 1}\ndata: ${JSON.stringify(tail.row(i))}\n\n`;
    response.write(text);
  }, 20);
  response.on("close", () => clearInterval(timer));
}

export interface Connection {
  socket: net.Socket;
  port: number; // internal
  returnedAt: number; // ms since 1970 when connect had returned
}

export async function connect(target: Target): Promise<Connection> {
  const socket = net.connect(target.port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return { socket, port: socket.localPort!, returnedAt: performance.timeOrigin + performance.now() };
}

// The row whose internal port is `port`, in the page's live table.
export const rowOf = (page: Page, port: number) => page.locator(".rows .row[data-index]", { has: page.locator(`.c-int .port:text-is(":${port}")`) }).first();

export function percentile(sorted: number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? NaN;
}
