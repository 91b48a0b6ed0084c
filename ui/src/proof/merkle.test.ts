import { expect, test } from "vitest";
import { fromBase64, toBase64, toHex, utf8 } from "./bytes";
import { emptyRoot, leafHash, nodeHash, verifyConsistency, verifyInclusion } from "./merkle";
import { consistencyPath, inclusionPath, treeRoot } from "./test_book";

const leaves = (n: number) => Promise.all(Array.from({ length: n }, (_, i) => leafHash(utf8(`record ${i}`))));

test("hashes equal the published golden values", async () => {
  expect(toHex(await emptyRoot())).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect(toHex(await leafHash(utf8("L123456")))).toBe("395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
  expect(toHex(await nodeHash(utf8("N123"), utf8("N456")))).toBe("aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb");
  const three = await Promise.all(["one", "two", "three"].map((text) => leafHash(utf8(text))));
  expect(toBase64(await treeRoot(three))).toBe("Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=");
});

test("every leaf of every tree up to 28 is proven, and by no other index, size or root", async () => {
  const all = await leaves(28);
  for (let n = 1; n <= 28; ++n) {
    const tree = all.slice(0, n);
    const root = await treeRoot(tree);
    for (let i = 0; i < n; ++i) {
      const path = await inclusionPath(i, tree);
      expect(await verifyInclusion(i, n, all[i]!, path, root)).toBe(true);
      expect(await verifyInclusion(i + 1, n, all[i]!, path, root)).toBe(false);
      expect(await verifyInclusion(i, n, all[(i + 1) % 28]!, path, root)).toBe(false);
      expect(await verifyInclusion(i, n, all[i]!, [...path, root], root)).toBe(false);
      if (path.length > 0) expect(await verifyInclusion(i, n, all[i]!, path.slice(1), root)).toBe(false);
    }
  }
});

test("every pair of sizes up to 20 is consistent, and a changed first tree is not", async () => {
  const all = await leaves(20);
  const changed = [...all];
  changed[0] = await leafHash(utf8("another record 0"));
  for (let second = 1; second <= 20; ++second) {
    const root = await treeRoot(all.slice(0, second));
    for (let first = 1; first <= second; ++first) {
      const path = await consistencyPath(first, all.slice(0, second));
      expect(await verifyConsistency(first, second, path, await treeRoot(all.slice(0, first)), root)).toBe(true);
      expect(await verifyConsistency(first, second, path, await treeRoot(changed.slice(0, first)), root)).toBe(false);
      expect(await verifyConsistency(first, second, [...path, root], await treeRoot(all.slice(0, first)), root)).toBe(false);
    }
  }
});

test("sizes and hashes out of shape are refused", async () => {
  const [a, b] = await leaves(2);
  const root = await treeRoot([a!, b!]);
  expect(await verifyConsistency(0, 2, [], await emptyRoot(), root)).toBe(false);
  expect(await verifyConsistency(2, 1, [], root, a!)).toBe(false);
  expect(await verifyInclusion(0, 2, a!, [b!.slice(1)], root)).toBe(false);
  expect(await verifyInclusion(0, 1.5, a!, [b!], root)).toBe(false);
  expect(await verifyInclusion(-1, 2, a!, [b!], root)).toBe(false);
  expect(fromBase64(toBase64(root))).toEqual(root);
});
