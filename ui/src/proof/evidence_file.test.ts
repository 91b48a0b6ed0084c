import { beforeAll, describe, expect, test } from "vitest";
import { concat, fromHex, toHex, utf8 } from "./bytes";
import { checkProofs, readEvidence } from "./evidence_file";
import { sha256 } from "./merkle";
import { parseVkey, type VerifierKey } from "./note";
import { TestBook } from "./test_book";
import { checkNote } from "./verify";

let book: TestBook;
let key: VerifierKey;
let file: Uint8Array;

async function section(name: string, content: string): Promise<Uint8Array> {
  const bytes = utf8(content);
  return concat(utf8(`${name}: ${bytes.length} ${toHex(await sha256(concat(utf8(`${name}\n`), bytes)))}\n`), bytes, utf8("\n"));
}

async function fileOf(answer: string, ids: number[], forge = ""): Promise<Uint8Array> {
  const sections = [await section("asked", "{}"), await section("answer", answer), await section("vkey", book.vkey)];
  for (const id of ids) {
    const { bytes, proof } = await book.answer(id, {});
    sections.push(await section(`record ${id}`, forge || bytes));
    sections.push(await section(`proof ${id}`, ["c2sp.org/tlog-proof@v1", `index ${id}`, ...proof.hashes, "", proof.checkpoint].join("\n")));
  }
  sections.push(await section("report", "<!doctype html>"));
  return concat(utf8("portbook-evidence 1\n"), ...sections, utf8(`end ${sections.length}\n`));
}

const check = async (bytes: Uint8Array) => checkProofs(await readEvidence(bytes), (note) => checkNote(note, key));

beforeAll(async () => {
  book = await TestBook.create();
  for (let port = 40000; port < 40007; ++port) await book.add(fromHex(`a200010a19${port.toString(16)}`));
  key = await parseVkey(book.vkey);
  file = await fileOf('{"records":[2,5]}\n', [2, 5]);
});

describe("an evidence file", () => {
  test("is read, and each proof leads to its checkpoint", async () => {
    const read = await readEvidence(file);
    expect(read).toMatchObject({ vkey: book.vkey, rowsCut: null });
    expect(read.records.map(({ index }) => index)).toEqual([2, 5]);
    expect([...(await check(file)).values()].map(({ size }) => size)).toEqual([7]);
  });

  test("is wrong when one byte of it is changed, and where it is cut", async () => {
    for (let at = 0; at < file.length; ++at) {
      const changed = file.slice();
      changed[at]! ^= 1;
      await expect(check(changed), `byte ${at}`).rejects.toThrow();
      await expect(readEvidence(file.slice(0, at)), `cut at ${at}`).rejects.toThrow();
    }
  });

  test("does not help itself with new digests", async () => {
    await expect(check(await fileOf("{}", [2], "a200010a199c40"))).rejects.toThrow("record 2 does not lead to the root of 7");
    await expect(check(await fileOf("{}", []))).rejects.toThrow("there is no record in it");
    key = await parseVkey((await TestBook.create()).vkey);
    await expect(check(file)).rejects.toThrow("not signed by this book’s key");
    key = await parseVkey(book.vkey);
  });

  test("says when a search was cut", async () => {
    const cut = await fileOf('{"row":{}}\n{"end":{"rows":1,"cursor":"7.2"}}\n', [2]);
    expect((await readEvidence(cut)).rowsCut).toBe(1);
    expect((await readEvidence(await fileOf('{"end":{"rows":1,"cursor":null}}\n', [2]))).rowsCut).toBe(null);
  });
});
