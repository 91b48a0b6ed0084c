// Writes src/proof/field_table.ts from the program's own field table, so that there is one list.
// src/proof/field_table.test.ts fails when the two differ.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../", import.meta.url);
const types = {
  kUint: "uint", kSigned: "signed", kTime: "time", kDuration: "duration", kPort: "port",
  kEnum: "enum", kIp: "ip", kText: "text", kId128: "id128", kCbor: "cbor",
};

// The body of PORTBOOK_FIELDS and the enumerations of fields.cc, as the text of the TypeScript module.
export function fieldTableModule() {
  const header = readFileSync(new URL("src/record/fields.h", root), "utf8");
  const source = readFileSync(new URL("src/record/fields.cc", root), "utf8");
  const arrays = new Map();
  for (const [, name, body] of source.matchAll(/constexpr auto (k\w+) =\s*std::to_array<EnumName>\(\s*\{([\s\S]*?)\}\);/g)) {
    arrays.set(name, [...body.matchAll(/\{(\d+), "([^"]+)"\}/g)].map(([, value, text]) => `${value}: "${text}"`));
  }
  const enums = new Map();
  for (const [, field, array] of source.matchAll(/case Field::(\w+): return (k\w+);/g)) enums.set(field, arrays.get(array));
  const lines = [];
  for (const match of header.matchAll(/X\((\d+), (k\w+), "([^"]+)", (k\w+), [^,]+,\s*\\?\s*"((?:[^"\\]|\\.)*)"/g)) {
    const [, key, enumerator, name, type, doc] = match;
    const values = enums.get(enumerator);
    lines.push(
      `  { key: ${key}, name: "${name}", type: "${types[type]}", doc: ${JSON.stringify(doc)}` +
        (values ? `, values: { ${values.join(", ")} }` : "") + " },",
    );
  }
  return [
    "// Written by scripts/field_table.mjs from src/record/fields.h and fields.cc; not by hand.",
    'export type FieldType = "uint" | "signed" | "time" | "duration" | "port" | "enum" | "ip" | "text" | "id128" | "cbor";',
    "export interface FieldInfo {",
    "  key: number; // of the CBOR map; append-only",
    "  name: string;",
    "  type: FieldType;",
    "  doc: string;",
    "  values?: Record<number, string>; // of an enumerated field",
    "}",
    "export const fieldTable: readonly FieldInfo[] = [",
    ...lines,
    "];",
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(new URL("ui/src/proof/field_table.ts", root), fieldTableModule());
}
