import { expect, test } from "vitest";
import { FormatError } from "./bytes";
import { parseCheckpoint, parseNote, parseVkey, verifyNote } from "./note";
import { TestBook } from "./test_book";
import { utf8 } from "./bytes";

test("the published verifier key reads, and its id must recompute", async () => {
  const key = await parseVkey("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k");
  expect(key.name).toBe("example.com/foo");
  expect(key.key).toHaveLength(32);
  await expect(parseVkey("example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")).rejects.toThrow(FormatError);
  await expect(parseVkey("example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")).rejects.toThrow(FormatError);
  await expect(parseVkey("example.com/foo+530d903a")).rejects.toThrow(FormatError);
});

test("a signed checkpoint verifies, and no byte of its text may change", async () => {
  const book = await TestBook.create();
  await book.add(utf8("one"), utf8("two"));
  const key = await parseVkey(book.vkey);
  const text = await book.checkpoint();
  const note = parseNote(text);
  expect(parseCheckpoint(note.text)).toMatchObject({ origin: book.origin, size: 2 });
  expect(await verifyNote(note, key)).toBe("good");
  expect(await verifyNote(parseNote(text.replace("\n2\n", "\n3\n")), key)).toBe("bad");
});

test("another key's signature alone rejects the note; beside ours it is ignored", async () => {
  const [book, other] = [await TestBook.create(), await TestBook.create("other.example.org")];
  const note = parseNote(await book.checkpoint());
  expect(await verifyNote(note, await parseVkey(other.vkey))).toBe("bad");
  const both = { ...note, signatures: [...parseNote(await other.checkpoint()).signatures, ...note.signatures] };
  expect(await verifyNote(both, await parseVkey(book.vkey))).toBe("good");
});

test("one good and one failing signature of our key reject the note", async () => {
  const book = await TestBook.create();
  const note = parseNote(await book.checkpoint());
  const failing = { ...note.signatures[0]!, signature: new Uint8Array(64) };
  expect(await verifyNote({ ...note, signatures: [...note.signatures, failing] }, await parseVkey(book.vkey))).toBe("bad");
});

test.each([
  ["no empty line", "a\n1\nx\n"],
  ["no final newline", "a\n\n— a AAAAAAAA"],
  ["a control character", "a\tb\n\n— a AAAAAAAA\n"],
  ["no dash", "a\n\n- a AAAAAAAA\n"],
  ["signature not base64", "a\n\n— a %%%%\n"],
])("a note with %s is refused", (_, text) => {
  expect(() => parseNote(text)).toThrow(FormatError);
});

test.each(["a\n01\nAAAA\n", "a\n-1\nAAAA\n", "a\n1\nAAAA\n", "\n1\nAAAA\n", "a\n"])("checkpoint %j is refused", (text) => {
  expect(() => parseCheckpoint(text)).toThrow(FormatError);
});
