import { expect, test } from "vitest";
import type { Row } from "../api/types";
import { onlyThisPage } from "./own";
import { RowList } from "./row_list";

const server = { hostname: "127.0.0.1", port: "7171" };
const list = (...destinations: [string, number][]) => {
  const out = new RowList();
  for (const [i, [ip, port]] of destinations.entries()) {
    out.addLive({ id: i, state: "open", records: [i], record: { "dst.ip": ip, "dst.port": port } } as unknown as Row);
  }
  return out;
};

test("an empty book and one with this page's connections are a first start; any other row ends it", () => {
  expect(onlyThisPage(list(), server)).toBe(true);
  expect(onlyThisPage(list(["127.0.0.1", 7171], ["127.0.0.1", 7171]), server)).toBe(true);
  expect(onlyThisPage(list(["127.0.0.1", 7171], ["192.0.2.1", 443]), server)).toBe(false);
  expect(onlyThisPage(list(["192.0.2.1", 7171]), server)).toBe(false);
  expect(onlyThisPage(list(["::1", 7171]), { hostname: "localhost", port: "7171" })).toBe(true);
});
