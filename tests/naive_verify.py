#!/usr/bin/env python3
"""Checks an exported log the slow and obvious way, from the text of the standards alone: RFC 6962 section 2.1 (tree), RFC 9162 section
2.1.3.2 (inclusion), C2SP signed-note, tlog-checkpoint, tlog-tiles and tlog-proof.

usage: naive_verify.py DIR [VKEY]      DIR holds checkpoint, vkey and tile/; proofs are read from DIR/../proofs
"""
import base64
import functools
import hashlib
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def expect(holds, what):
    if not holds:
        sys.exit(f"naive_verify: {what}")


def leaf_hash(data):
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def read_vkey(text):
    name, key_id, key = text.strip().split("+", 2)
    raw = base64.b64decode(key, validate=True)
    expect(raw[0] == 1 and len(raw) == 33, "the key is not Ed25519")
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    expect(expected.hex() == key_id, "the key's id does not recompute")
    return name, expected, raw[1:]


def open_checkpoint(note, vkey):
    """Origin, size and root of a signed checkpoint."""
    name, key_id, key = vkey
    split = note.rindex("\n\n")
    text, signatures = note[: split + 1], note[split + 2 :]
    expect(signatures.endswith("\n"), "the signatures do not end in a newline")
    good = False
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        raw = base64.b64decode(blob, validate=True)
        if dash != "\u2014" or signer != name or raw[:4] != key_id:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(raw[4:], text.encode())
        except InvalidSignature:
            expect(False, "the signature does not verify")
        good = True
    expect(good, "no signature of the key")
    lines = text.splitlines()
    expect(lines[0] == name and str(int(lines[1])) == lines[1], "the checkpoint is malformed")
    root = base64.b64decode(lines[2], validate=True)
    expect(len(root) == 32, "the root is not 32 bytes")
    return int(lines[1]), root


def tile_name(index, width):
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return "/".join(groups) + (f".p/{width}" if width < 256 else "")


def read_entries(folder, size):
    entries = []
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        data = (folder / "tile/entries" / tile_name(index, width)).read_bytes()
        at = 0
        for _ in range(width):
            (length,) = struct.unpack_from(">H", data, at)
            entries.append(data[at + 2 : at + 2 + length])
            expect(len(entries[-1]) == length, f"entry bundle {index} is cut short")
            at += 2 + length
        expect(at == len(data), f"entry bundle {index} has bytes behind its last entry")
    return entries


class Tree:
    """MTH of RFC 6962, remembered so that it ends today."""

    def __init__(self, entries):
        self.leaves = [leaf_hash(entry) for entry in entries]

    @functools.lru_cache(maxsize=None)
    def mth(self, begin, end):
        if end == begin:
            return hashlib.sha256(b"").digest()
        if end - begin == 1:
            return self.leaves[begin]
        k = 1
        while k * 2 < end - begin:
            k *= 2
        return node_hash(self.mth(begin, begin + k), self.mth(begin + k, end))


def check_tiles(folder, tree, size):
    tiles = 0
    for level in range(8):
        hashes = size // 256**level
        for index in range((hashes + 255) // 256):
            width = min(256, hashes - index * 256)
            data = (folder / f"tile/{level}" / tile_name(index, width)).read_bytes()
            span = 256**level
            first = index * 256
            expected = b"".join(tree.mth((first + i) * span, (first + i + 1) * span) for i in range(width))
            expect(data == expected, f"tile {level}/{index} is wrong")
            tiles += 1
    return tiles


def inclusion_holds(leaf, index, size, proof, root):
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if len(p) != 32 or sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root


def check_proofs(folder, entries, vkey):
    count = 0
    for path in sorted((folder.parent / "proofs").glob("*.tlog-proof")):
        head, _, note = path.read_text().partition("\n\n")
        lines = head.split("\n")
        expect(lines[0] == "c2sp.org/tlog-proof@v1" and lines[1].startswith("index "), f"{path.name} is no proof file")
        index = int(lines[1][6:])
        proof = [base64.b64decode(line, validate=True) for line in lines[2:]]
        size, root = open_checkpoint(note, vkey)
        expect(inclusion_holds(leaf_hash(entries[index]), index, size, proof, root), f"{path.name} does not hold")
        expect(not inclusion_holds(leaf_hash(entries[index] + b"x"), index, size, proof, root), f"{path.name} proves anything")
        count += 1
    return count


def main():
    expect(len(sys.argv) in (2, 3), __doc__)
    folder = pathlib.Path(sys.argv[1])
    vkey = read_vkey(sys.argv[2] if len(sys.argv) == 3 else (folder / "vkey").read_text())
    size, root = open_checkpoint((folder / "checkpoint").read_text(), vkey)
    entries = read_entries(folder, size)
    tree = Tree(entries)
    sys.setrecursionlimit(10000)
    expect(tree.mth(0, size) == root, "the entries do not hash to the checkpoint's root")
    tiles = check_tiles(folder, tree, size)
    proofs = check_proofs(folder, entries, vkey)
    print(f"naive_verify: {size} records, {tiles} tiles and {proofs} proofs hold")


if __name__ == "__main__":
    main()
