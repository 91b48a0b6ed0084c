// Where the boxes and lines of the hop graph stand. Columns follow the chain of causes from left to right; in a column boxes stand
// beside what leads to them. The same answer always gives the same drawing.
import type { EdgeClass, TraceAnswer, TraceEdge, TraceNode } from "../api/types";
import { parseEndpoint } from "../format/endpoints";
import { beyondWord, farEnd, ownEnd, placeText, processText } from "./words";

export interface Pin {
  node: number | null; // the connection; null on a translation
  lease: { edge: number; index: number } | null;
  kind: "internal" | "external" | "plain"; // dot, ring, square
  port: string;
  ip: string;
}
export interface Row {
  left: Pin | null;
  right: Pin | null;
}
export interface Box {
  key: string;
  kind: "process" | "lease" | "outside";
  title: string;
  sub: string;
  about: string; // the whole reason, for a box of what is not known
  side: "left" | "right" | null; // of an outside box: where it ends
  above: string; // ancestors, outermost first
  nodes: number[];
  rows: Row[];
  more: number; // rows that are not drawn
  started: boolean; // the question named one of its connections
  column: number;
  x: number;
  y: number;
  width: number;
  height: number;
}
export interface Line {
  edge: number | null; // of the answer; null: towards an end that is not known
  node: number;
  class: EdgeClass;
  word: string; // beneath the class: "2 ends", "lease", "1 end", "login"
  inside: boolean; // within a box
  path: string;
  arrow: { x: number; y: number } | null;
  label: { x: number; y: number } | null;
}
export interface Drawing {
  boxes: Box[];
  lines: Line[];
  width: number;
  height: number;
  left: number; // connections that are not drawn; the list has them
}

export const kRowsMax = 12; // rows of one box
const kColumnGap = 62;
const kTop = 48;
const kRowHeight = 54;
const kFirstPin = 76;
const kBoxGap = 44;
const kMargin = 16;
const kWidths = { process: 204, lease: 196, outside: 134 };

interface Link {
  from: string;
  to: string;
  back: boolean; // closes a loop: drawn around, and no column follows from it
  same: boolean; // inside a process and its children: one column
}

export function drawingOf(answer: TraceAnswer): Drawing {
  const graph = new Boxes(answer);
  const boxes = [...graph.boxes.values()];
  setColumns(boxes, graph.links);
  for (const box of boxes) measure(box);
  setPlaces(boxes, graph.links);
  const lines = graph.lines();
  const right = Math.max(0, ...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(0, ...boxes.map((box) => box.y + box.height));
  const around = graph.links.some((link) => link.back) ? 44 : 0;
  return { boxes, lines, width: right + kMargin, height: bottom + around + 20, left: boxes.reduce((sum, box) => sum + box.more, 0) };
}

class Boxes {
  readonly boxes = new Map<string, Box>();
  readonly links: Link[] = [];
  private readonly boxOf = new Map<number, string>(); // node → its process box
  private readonly chains = new Map<number, string[]>(); // edge → boxes of its translations
  private readonly ends = new Map<number, string[]>(); // node → translation, if any, and outside box of its unknown end

  constructor(private readonly answer: TraceAnswer) {
    for (const node of answer.nodes) this.addProcess(node);
    answer.edges.forEach((edge, i) => this.addEdge(edge, i));
    for (const node of answer.nodes) if (node.beyond !== null) this.addBeyond(node);
    this.markAsked();
    this.closeLoops();
  }

  // An external endpoint was asked about where it was leased, not at either end.
  private markAsked(): void {
    const { endpoint } = this.answer.question;
    const leased = this.answer.edges.flatMap((edge, i) => (edge.leases.some((lease) => lease.external === endpoint) ? (this.chains.get(i) ?? []) : []));
    if (endpoint === null || leased.length === 0) return;
    for (const box of this.boxes.values()) box.started = leased.includes(box.key);
  }

  private box(key: string, kind: Box["kind"], title: string, sub: string): Box {
    let box = this.boxes.get(key);
    if (!box) {
      box = { key, kind, title, sub, about: "", side: null, above: "", nodes: [], rows: [], more: 0, started: false, column: 0, x: 0, y: 0, width: kWidths[kind], height: 0 };
      this.boxes.set(key, box);
    }
    return box;
  }

  private addProcess(node: TraceNode): void {
    const { process } = node;
    const key = process ? `process ${node.host} ${process.pid} ${process.start}` : `process ${node.host} #${node.record}`;
    const box = this.box(key, "process", processText(process), placeText(node));
    box.nodes.push(node.id);
    box.started ||= node.start;
    if (box.above === "" && node.ancestors.length > 0) box.above = `${[...node.ancestors].reverse().map(processText).join(" › ")} ›`;
    this.boxOf.set(node.id, key);
    const { ip, port } = parseEndpoint(ownEnd(node));
    addPin(box, node.direction === "out" ? "right" : "left", { node: node.id, lease: null, kind: node.direction === "out" ? "internal" : "plain", port: `:${port}`, ip });
  }

  private addEdge(edge: TraceEdge, index: number): void {
    const [from, to] = [this.boxOf.get(edge.from)!, this.boxOf.get(edge.to)!];
    if (edge.kind === "process") {
      if (from !== to) this.links.push({ from, to, back: false, same: true });
      return;
    }
    const chain = edge.leases.map((lease, at) => {
      const key = `lease ${lease.host} ${from} ${to} ${at}`;
      const box = this.box(key, "lease", lease.host, "lease");
      const inside = parseEndpoint(lease.internal);
      const outside = parseEndpoint(lease.external ?? lease.internal);
      const server = lease.server ? parseEndpoint(lease.server) : null;
      const ref = { edge: index, index: at };
      box.rows.push({
        left: { node: null, lease: ref, kind: "internal", port: `:${inside.port}`, ip: inside.ip },
        right: server && !lease.external
          ? { node: null, lease: ref, kind: "plain", port: `:${server.port}`, ip: server.ip }
          : { node: null, lease: ref, kind: "external", port: `:${outside.port}`, ip: outside.ip },
      });
      return key;
    });
    this.chains.set(index, chain);
    this.join([from, ...chain, to]);
  }

  private addBeyond(node: TraceNode): void {
    const own = this.boxOf.get(node.id)!;
    const far = parseEndpoint(farEnd(node));
    const out = node.direction === "out";
    const chain: string[] = [];
    if (out && node.external !== null && node.external !== node.src) {
      const box = this.box(`translation ${own}`, "lease", node.host ?? "translated", "translated here");
      const [inside, outside] = [parseEndpoint(node.src), parseEndpoint(node.external)];
      box.rows.push({
        left: { node: node.id, lease: null, kind: "internal", port: `:${inside.port}`, ip: inside.ip },
        right: { node: node.id, lease: null, kind: "external", port: `:${outside.port}`, ip: outside.ip },
      });
      chain.push(box.key);
    }
    const word = beyondWord(node);
    const box = this.box(`outside ${out} ${far.ip} ${word}`, "outside", far.ip, word);
    box.side = out ? "right" : "left";
    box.about ||= node.beyond ?? "";
    addPin(box, out ? "left" : "right", { node: node.id, lease: null, kind: "plain", port: `:${far.port}`, ip: "" });
    this.ends.set(node.id, [...chain, box.key]);
    this.join(out ? [own, ...chain, box.key] : [box.key, own]);
  }

  private join(keys: string[]): void {
    for (let i = 1; i < keys.length; ++i) this.links.push({ from: keys[i - 1]!, to: keys[i]!, back: false, same: false });
  }

  // Marks the links that lead back to a box on the way there, so that the rest has an order.
  private closeLoops(): void {
    const outward = new Map<string, Link[]>();
    for (const link of this.links) outward.set(link.from, [...(outward.get(link.from) ?? []), link]);
    const state = new Map<string, "on the way" | "done">();
    for (const start of this.boxes.keys()) {
      if (state.has(start)) continue;
      const way: { key: string; next: number }[] = [{ key: start, next: 0 }];
      state.set(start, "on the way");
      while (way.length > 0) {
        const here = way.at(-1)!;
        const link = (outward.get(here.key) ?? [])[here.next++];
        if (!link) {
          state.set(here.key, "done");
          way.pop();
        } else if (state.get(link.to) === "on the way") {
          link.back = true;
        } else if (!state.has(link.to)) {
          state.set(link.to, "on the way");
          way.push({ key: link.to, next: 0 });
        }
      }
    }
  }

  lines(): Line[] {
    const out: Line[] = [];
    const { edges, nodes } = this.answer;
    edges.forEach((edge, i) => {
      if (edge.kind === "process") {
        const [a, b] = [this.pin(edge.from), this.pin(edge.to)];
        if (a && b) out.push(within(i, edge, a, b));
        return;
      }
      const stops = [this.pin(edge.from), ...this.leasePins(i), this.pin(edge.to)].filter((stop) => stop !== null);
      const whole = this.pin(edge.from) !== null && this.pin(edge.to) !== null;
      if (!whole) return;
      for (let s = 0; s + 1 < stops.length; ++s) {
        if (s % 2 === 1) out.push(within(i, edge, stops[s]!, stops[s + 1]!));
        else out.push(between(i, edge.from, edge.class, s + 2 < stops.length ? "lease" : "2 ends", stops[s]!, stops[s + 1]!));
      }
    });
    for (const node of nodes) {
      if (node.beyond === null) continue;
      const own = this.pin(node.id);
      const [last, translation] = [...this.ends.get(node.id)!].reverse();
      const far = this.pinIn(last!, node.id, node.direction === "out" ? "left" : "right");
      if (!own || !far) continue;
      if (node.direction === "in") out.push(between(null, node.id, "proven", "1 end", far, own));
      else if (translation === undefined) out.push(between(null, node.id, "proven", "1 end", own, far));
      else {
        const [inside, outside] = [this.pinIn(translation, node.id, "left"), this.pinIn(translation, node.id, "right")];
        if (!inside || !outside) continue;
        out.push(between(null, node.id, "proven", "translated", own, inside), { ...within(null, { class: "proven", from: node.id }, inside, outside) }, between(null, node.id, "proven", "1 end", outside, far));
      }
    }
    return out;
  }

  private pin(id: number): Point | null {
    const node = this.answer.nodes[id]!;
    return this.pinIn(this.boxOf.get(id)!, id, node.direction === "out" ? "right" : "left");
  }

  private pinIn(key: string, node: number, side: "left" | "right"): Point | null {
    const box = this.boxes.get(key)!;
    const row = box.rows.findIndex((one) => one[side]?.node === node);
    return row < 0 ? null : pointOf(box, row, side);
  }

  private leasePins(edge: number): (Point | null)[] {
    return (this.chains.get(edge) ?? []).flatMap((key, at) => {
      const box = this.boxes.get(key)!;
      const row = box.rows.findIndex(({ left }) => left?.lease?.edge === edge && left.lease.index === at);
      return row < 0 ? [null, null] : [pointOf(box, row, "left"), pointOf(box, row, "right")];
    });
  }
}

interface Point {
  x: number;
  y: number;
}
const pointOf = (box: Box, row: number, side: "left" | "right"): Point => ({ x: side === "left" ? box.x : box.x + box.width, y: box.y + kFirstPin + row * kRowHeight });

function addPin(box: Box, side: "left" | "right", pin: Pin): void {
  const free = box.rows.find((row) => row[side] === null);
  if (free) free[side] = pin;
  else box.rows.push(side === "left" ? { left: pin, right: null } : { left: null, right: pin });
}

// Rows beyond the limit are counted and not drawn.
function measure(box: Box): void {
  box.more = Math.max(0, box.rows.length - kRowsMax);
  box.rows.length -= box.more;
  box.height = kFirstPin + 28 + (Math.max(1, box.rows.length) - 1) * kRowHeight + (box.more > 0 ? 20 : 0);
}

function setColumns(boxes: Box[], links: Link[]): void {
  const byKey = new Map(boxes.map((box) => [box.key, box]));
  const forward = links.filter((link) => !link.back);
  for (let round = 0, changed = true; changed && round <= boxes.length; ++round) {
    changed = false;
    for (const { from, to, same } of forward) {
      const least = byKey.get(from)!.column + (same ? 0 : 1);
      if (byKey.get(to)!.column < least) {
        byKey.get(to)!.column = least;
        changed = true;
      }
    }
  }
  // What nothing leads to stands right before what it leads to.
  for (const box of boxes) {
    if (forward.some(({ to }) => to === box.key)) continue;
    const next = forward.filter(({ from, same }) => from === box.key && !same).map(({ to }) => byKey.get(to)!.column);
    if (next.length > 0) box.column = Math.max(0, Math.min(...next) - 1);
  }
}

function setPlaces(boxes: Box[], links: Link[]): void {
  const columns: Box[][] = [];
  for (const box of boxes) (columns[box.column] ??= []).push(box);
  let x = kMargin;
  for (const column of columns) {
    if (!column) continue;
    const width = Math.max(...column.map((box) => box.width));
    for (const box of column) {
      box.x = x;
      box.width = width;
    }
    x += width + kColumnGap;
  }
  const order = new Map(boxes.map((box, i) => [box.key, i]));
  const middle = (keys: string[]) => {
    const tops = keys.map((key) => boxes[order.get(key)!]!.y);
    return tops.reduce((sum, y) => sum + y, 0) / tops.length;
  };
  const stack = (column: Box[], wish: (box: Box) => number) => {
    const wished = new Map(column.map((box) => [box, wish(box)]));
    column.sort((a, b) => wished.get(a)! - wished.get(b)! || order.get(a.key)! - order.get(b.key)!);
    let free = kTop;
    for (const box of column) {
      box.y = Math.max(free, Math.round(wished.get(box)!));
      free = box.y + box.height + kBoxGap;
    }
  };
  for (const column of columns) {
    if (!column) continue;
    stack(column, (box) => {
      const before = links.filter(({ to, back, same }) => to === box.key && !back && !same).map(({ from }) => from);
      return before.length > 0 ? middle(before) : kTop;
    });
  }
  // What nothing leads to moves beside what it leads to.
  for (const column of [...columns].reverse()) {
    if (!column?.some((box) => !links.some(({ to }) => to === box.key))) continue;
    stack(column, (box) => {
      if (links.some(({ to, back }) => to === box.key && !back)) return box.y;
      const after = links.filter(({ from, back, same }) => from === box.key && !back && !same).map(({ to }) => to);
      return after.length > 0 ? middle(after) : box.y;
    });
  }
}

function within(edge: number | null, { class: certainty, from }: { class: EdgeClass; from: number }, a: Point, b: Point): Line {
  const bend = Math.max(40, Math.abs(b.x - a.x) / 2);
  const path = a.y === b.y ? `M${a.x} ${a.y}H${b.x}` : `M${a.x} ${a.y}C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
  return { edge, node: from, class: certainty, word: "", inside: true, path, arrow: null, label: null };
}

function between(edge: number | null, node: number, certainty: EdgeClass, word: string, a: Point, b: Point): Line {
  const end = b.x - 5;
  const arrow = { x: b.x - 4, y: b.y };
  let path: string;
  let label = { x: (a.x + b.x) / 2, y: a.y };
  if (b.x <= a.x) {
    const floor = Math.max(a.y, b.y) + 64; // back to the left: around, below both ends
    path = `M${a.x} ${a.y}C${a.x + 40} ${a.y} ${a.x + 40} ${floor} ${a.x - 20} ${floor}H${b.x + 20}C${b.x - 44} ${floor} ${b.x - 44} ${b.y} ${end} ${b.y}`;
    label = { x: (a.x + b.x) / 2, y: floor };
  } else if (a.y === b.y) {
    path = `M${a.x} ${a.y}H${end}`;
  } else {
    const turn = Math.min(b.x - a.x, kColumnGap) / 2; // straight on to the last gap, so that it crosses no label
    const from = b.x - 2 * turn;
    path = `M${a.x} ${a.y}H${from}C${from + turn} ${a.y} ${b.x - turn} ${b.y} ${end} ${b.y}`;
    label = { x: (from + b.x) / 2, y: (a.y + b.y) / 2 };
  }
  return { edge, node, class: certainty, word, inside: false, path, arrow, label };
}
