import { beforeAll, describe, expect, test } from "vitest";
import { fromHex, toHex } from "./bytes";
import { connectCheckpoint, extendCheckpoint } from "./memory";
import { parseCheckpoint, parseNote, parseVkey, type VerifierKey } from "./note";
import { TestBook } from "./test_book";
import { verifyRecord } from "./verify";

const record = (port: number) => fromHex(`a20001 0a19${port.toString(16).padStart(4, "0")}`.replace(" ", ""));
const shown = (port: number) => ({ kind: "open", "src.port": port });
const kFirst = 40000;

let book: TestBook;
let key: VerifierKey;
beforeAll(async () => {
  book = await TestBook.create();
  for (let i = 0; i < 13; ++i) await book.add(record(kFirst + i));
  key = await parseVkey(book.vkey);
});

describe("a record's proof", () => {
  test("is checked for each record, and names the checkpoint", async () => {
    for (let id = 0; id < 13; ++id) {
      const verdict = await verifyRecord(await book.answer(id, shown(kFirst + id)), key, id);
      expect(verdict).toMatchObject({ state: "checked", checkpoint: { size: 13 } });
    }
  });

  test("is wrong when any one byte of the answer is changed", async () => {
    const text = JSON.stringify(await book.answer(5, shown(kFirst + 5)));
    let changed = 0;
    for (let at = 0; at < text.length; ++at) {
      const digit = text[at]!;
      const other = digit === "9" ? "8" : /\d/.test(digit) ? "9" : digit === "A" ? "B" : /[A-Za-z]/.test(digit) ? "A" : null;
      if (other === null || inNames(text, at) || (/[a-f]/i.test(digit) && other.toLowerCase() === digit.toLowerCase())) continue;
      if (text[at - 1] === "\\") continue; // no JSON any more
      const answer = JSON.parse(text.slice(0, at) + other + text.slice(at + 1));
      const verdict = await verifyRecord(answer, key, 5);
      expect(verdict.state, `byte ${at} of ${text}`).toBe("wrong");
      ++changed;
    }
    expect(changed).toBeGreaterThan(300);
  });

  test("of another record is wrong", async () => {
    expect((await verifyRecord(await book.answer(4, shown(kFirst + 4)), key, 5)).state).toBe("wrong");
  });

  test("signed by another key is wrong", async () => {
    const other = await parseVkey((await TestBook.create(book.origin)).vkey);
    expect((await verifyRecord(await book.answer(5, shown(kFirst + 5)), other, 5)).state).toBe("wrong");
  });

  test("that is not there yet is waited for", async () => {
    const answer = { ...(await book.answer(5, shown(kFirst + 5))), proof: null };
    expect(await verifyRecord(answer, key, 5)).toEqual({ state: "waiting" });
  });
});

// Whether the byte is inside a member's name, not its value: a name that changes makes the member missing, which other tests cover.
function inNames(text: string, at: number): boolean {
  const quote = text.indexOf('"', at);
  return text[quote + 1] === ":" && !/[\s,:{}]/.test(text.slice(at, quote));
}

describe("the remembered checkpoint", () => {
  const at = async (from: TestBook, size: number) => parseCheckpoint(parseNote(await from.checkpoint(size)).text);

  test("is extended by the book that made it, from every size", async () => {
    for (let size = 0; size <= 13; ++size) {
      expect(await extendCheckpoint(await at(book, size), key, book)).toMatchObject({ state: "extends", checkpoint: { size: 13 } });
    }
  });

  test("is contradicted by a rewritten book with the same key, and by a shorter one", async () => {
    const before = await at(book, 13);
    const rewritten = Object.assign(Object.create(Object.getPrototypeOf(book)), book, { leaves: [], records: [] }) as TestBook;
    for (let i = 0; i < 20; ++i) await rewritten.add(record(kFirst + 1 + i));
    expect(await extendCheckpoint(before, key, rewritten)).toMatchObject({ state: "rewritten" });
    rewritten.leaves = book.leaves.slice(0, 12);
    expect(await extendCheckpoint(before, key, rewritten)).toMatchObject({ state: "rewritten" });
  });

  test("is contradicted by a checkpoint that another key signed", async () => {
    const other = await TestBook.create(book.origin);
    await other.add(...book.records);
    expect(await extendCheckpoint(await at(book, 7), key, other)).toMatchObject({ state: "rewritten" });
  });

  test("and a record's checkpoint belong to one history, or it is said", async () => {
    expect(await connectCheckpoint(await at(book, 9), await at(book, 11), key, book)).toMatchObject({ state: "extends" });
    const forked = { ...(await at(book, 9)), root: new Uint8Array(32) };
    expect(await connectCheckpoint(forked, await at(book, 11), key, book)).toMatchObject({ state: "rewritten" });
  });

  test("hashes of a consistency proof that are not base64 contradict too", async () => {
    const source = { consistency: async () => ({ ...((await book.consistency(3)) as object), hashes: ["%"] }) as never, checkpoint: () => book.checkpoint() };
    expect(await extendCheckpoint(await at(book, 3), key, source)).toMatchObject({ state: "rewritten" });
    expect(toHex((await at(book, 3)).root)).toHaveLength(64);
  });
});
