// The tree of RFC 6962 section 2.1, and the two verifications of RFC 9162 (sections 2.1.3.2 and 2.1.4.2).
// Sizes and indices are plain numbers: a book of 2^53 records does not fit a disk.
import { concat, equal } from "./bytes";

export type Hash = Uint8Array; // 32 bytes

export async function sha256(bytes: Uint8Array): Promise<Hash> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
}

export function leafHash(record: Uint8Array): Promise<Hash> {
  return sha256(concat(Uint8Array.of(0), record));
}

export function nodeHash(left: Hash, right: Hash): Promise<Hash> {
  return sha256(concat(Uint8Array.of(1), left, right));
}

export function emptyRoot(): Promise<Hash> {
  return sha256(new Uint8Array());
}

const half = (n: number) => Math.floor(n / 2);
const odd = (n: number) => n % 2 === 1;
const isSize = (n: number) => Number.isSafeInteger(n) && n >= 0;
const wellFormed = (hashes: Hash[], root: Hash) => root.length === 32 && hashes.every((hash) => hash.length === 32);

// Whether `hashes` lead from `leaf` at `index` to `root` of a tree of `size` leaves.
export async function verifyInclusion(index: number, size: number, leaf: Hash, hashes: Hash[], root: Hash): Promise<boolean> {
  if (!isSize(index) || !isSize(size) || index >= size || leaf.length !== 32 || !wellFormed(hashes, root)) return false;
  let fn = index;
  let sn = size - 1;
  let r = leaf;
  for (const p of hashes) {
    if (sn === 0) return false;
    if (odd(fn) || fn === sn) {
      r = await nodeHash(p, r);
      if (!odd(fn)) {
        do {
          fn = half(fn);
          sn = half(sn);
        } while (!odd(fn) && fn !== 0);
      }
    } else {
      r = await nodeHash(r, p);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equal(r, root);
}

// Whether the tree of `second` leaves begins with the tree of `first` leaves. `first` must be above 0: an empty tree proves nothing.
export async function verifyConsistency(first: number, second: number, hashes: Hash[], firstRoot: Hash, secondRoot: Hash): Promise<boolean> {
  if (!isSize(first) || !isSize(second) || first === 0 || first > second) return false;
  if (!wellFormed(hashes, firstRoot) || secondRoot.length !== 32) return false;
  if (first === second) return hashes.length === 0 && equal(firstRoot, secondRoot);
  if (hashes.length === 0) return false;
  let fn = first - 1;
  let sn = second - 1;
  while (odd(fn)) {
    fn = half(fn);
    sn = half(sn);
  }
  const path = [...hashes];
  const start = fn === 0 ? firstRoot : path.shift()!; // fn is 0 here only when first is a power of two
  let fr = start;
  let sr = start;
  for (const c of path) {
    if (sn === 0) return false;
    if (odd(fn) || fn === sn) {
      fr = await nodeHash(c, fr);
      sr = await nodeHash(c, sr);
      if (!odd(fn)) {
        do {
          fn = half(fn);
          sn = half(sn);
        } while (!odd(fn) && fn !== 0);
      }
    } else {
      sr = await nodeHash(sr, c);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equal(fr, firstRoot) && equal(sr, secondRoot);
}
