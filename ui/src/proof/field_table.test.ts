import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fieldTableModule } from "../../scripts/field_table.mjs";
import { fieldTable } from "./field_table";

test("the page's field table is the program's (npm run fields writes it)", () => {
  expect(readFileSync(new URL("field_table.ts", import.meta.url), "utf8")).toBe(fieldTableModule());
  expect(fieldTable.length).toBeGreaterThan(80);
  expect(fieldTable.map((field) => field.key)).toEqual(fieldTable.map((_, index) => index));
});
