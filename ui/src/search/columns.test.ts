import { expect, test } from "vitest";
import { columnsOf, columnsText, rememberColumns, rememberedColumns, toggledColumn, tracks } from "./columns";

test("columns are read from the address; what is unknown or doubled is left out, nothing is the usual ones", () => {
  expect(columnsOf("")).toBe(null);
  expect(columnsOf("nonsense")).toBe(null);
  expect(columnsText(columnsOf("host,process,nonsense,host,out")!)).toBe("host,process,out");
  expect(tracks(columnsOf("lasted")!)).toBe("88px 14px 126px 146px 68px 16px");
});

test("a column is added at the end and taken away again", () => {
  const two = columnsOf("process,host")!;
  expect(columnsText(toggledColumn(two, "rtt"))).toBe("process,host,rtt");
  expect(columnsText(toggledColumn(two, "process"))).toBe("host");
  expect(toggledColumn(two, "nonsense")).toBe(two);
});

test("they are remembered, and what is remembered wrongly is nothing", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) } as unknown as Storage;
  expect(rememberedColumns(storage)).toBe("");
  rememberColumns(storage, "host,out");
  expect(rememberedColumns(storage)).toBe("host,out");
  rememberColumns(storage, "");
  expect(kept.size).toBe(0);
  storage.setItem("portbook.columns", "<script>");
  expect(rememberedColumns(storage)).toBe("");
});
