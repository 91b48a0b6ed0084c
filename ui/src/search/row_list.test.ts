import { expect, test } from "vitest";
import type { Row } from "../api/types";
import { RowList } from "./row_list";

const row = (id: number, conn: string | null = `c${id}`, state: Row["state"] = "open", start = `2026-11-22T12:00:00.${String(id).padStart(9, "0")}Z`): Row => ({
  id, state, start, record: conn === null ? {} : { conn }, duration_ns: null, internal: null, external: null, nat: null, nat_reason: null, records: [id],
});
const ids = (list: RowList) => list.slice(0, list.size).map((r) => r.id);

test("pages below, live rows above, newest first", () => {
  const list = new RowList();
  for (const id of [3, 2, 1]) list.addOlder(row(id));
  for (const id of [4, 5]) expect(list.addLive(row(id))).toBe(true);
  list.addOlder(row(0));
  expect(ids(list)).toEqual([5, 4, 3, 2, 1, 0]);
  expect(list.indexOf("c3")).toBe(2);
  expect(list.indexOf("c5")).toBe(0);
  expect(list.indexOf("c9")).toBe(-1);
});

test("a close replaces its open in place, above and below, and is no new row", () => {
  const list = new RowList();
  list.addOlder(row(1));
  list.addLive(row(2));
  list.addLive(row(3));
  expect(list.addLive(row(4, "c1", "closed"))).toBe(false);
  expect(list.addLive(row(5, "c2", "closed"))).toBe(false);
  expect(ids(list)).toEqual([3, 5, 4]);
  list.addLive(row(2));
  expect(list.at(1)!.state).toBe("closed");
});

test("while paused nothing moves, and what waits is counted once", () => {
  const list = new RowList();
  list.addOlder(row(1));
  list.addLive(row(2));
  list.pause();
  list.addLive(row(3));
  list.addLive(row(4));
  list.addLive(row(5, "c3", "closed"));
  expect(ids(list)).toEqual([2, 1]);
  expect(list.waiting).toBe(2);
  expect(list.indexOf("c4")).toBe(-1);
  list.resume();
  expect(ids(list)).toEqual([4, 5, 2, 1]);
});

test("a row that both the page and the stream bring stands once", () => {
  const list = new RowList();
  list.addLive(row(2));
  list.addOlder(row(2));
  list.addOlder(row(1));
  expect(ids(list)).toEqual([2, 1]);
});

test("evidence rows are told apart by their number, not by their connection", () => {
  const list = new RowList();
  list.addLive(row(1, "c1", "record"));
  list.addLive(row(2, "c1", "record"));
  expect(list.size).toBe(2);
});

test("the oldest rows go when there are too many, and places stay right", () => {
  const list = new RowList();
  for (let id = 0; id < 440_000; ++id) {
    list.addLive(row(id));
    if (id % 10_000 === 0) list.trim();
  }
  expect(list.size).toBeLessThanOrEqual(430_000);
  expect(list.at(0)!.id).toBe(439_999);
  expect(list.at(list.indexOf("c439000"))!.id).toBe(439_000);
  expect(list.indexOf("c0")).toBe(-1);
});

test("dates are said where they change, above and below, and not for what waits", () => {
  const on = (id: number, day: string) => row(id, `c${id}`, "closed", `2026-11-${day}T12:00:00.000000000Z`);
  const list = new RowList();
  for (const [id, day] of [[3, "20"], [2, "19"], [1, "18"]] as const) list.addOlder(on(id, day));
  list.addLive(on(4, "21"));
  list.addLive(on(5, "21"));
  list.addLive(on(6, "22"));
  const all = [{ index: 1, date: "2026-11-21" }, { index: 3, date: "2026-11-20" }, { index: 4, date: "2026-11-19" }, { index: 5, date: "2026-11-18" }];
  expect(list.dateBreaks("2026-11-22")).toEqual(all);
  list.pause();
  list.addLive(on(7, "23"));
  expect(list.dateBreaks("2026-11-22")).toEqual(all);
  expect(list.dateBreaks("2026-11-23")).toEqual([{ index: 0, date: "2026-11-22" }, ...all]);
});
