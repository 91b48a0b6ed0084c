import { beforeEach, expect, test } from "vitest";
import { forgetView, savedViews, saveView } from "./views";

const kept = new Map<string, string>();
const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) } as unknown as Storage;
beforeEach(() => kept.clear());

test("a view is saved under its name, the newest first, and forgotten", () => {
  saveView(storage, "failures", "/?q=outcome%3Arefused");
  saveView(storage, " estate ", "/map?window=1h");
  expect(savedViews(storage).map((view) => view.name)).toEqual(["estate", "failures"]);
  saveView(storage, "failures", "/?q=outcome%3Atimeout");
  expect(savedViews(storage)[0]).toEqual({ name: "failures", href: "/?q=outcome%3Atimeout" });
  expect(forgetView(storage, "failures").map((view) => view.name)).toEqual(["estate"]);
  expect(saveView(storage, "  ", "/").length).toBe(1);
});

test("what leads elsewhere or is not ours is not a view", () => {
  storage.setItem("portbook.views", JSON.stringify([{ name: "a", href: "//evil.example" }, { name: "b", href: "javascript:1" }, null, { name: "c", href: "/who" }]));
  expect(savedViews(storage).map((view) => view.name)).toEqual(["c"]);
  storage.setItem("portbook.views", "{");
  expect(savedViews(storage)).toEqual([]);
});
