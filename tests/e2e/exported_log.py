"""An exported log, read without portbook: the entries, their records, and roots by the naive definition of RFC 6962."""
import functools
import hashlib
import re
import struct
import sys

import harness


def read_entries(folder):
    """Every record's bytes of an exported log, in order (C2SP tlog-tiles: u16 big-endian length, bytes)."""
    entries = {}
    for path in (folder / "tile" / "entries").rglob("*"):
        if not path.is_file():
            continue
        parts = str(path.relative_to(folder / "tile" / "entries")).replace(".p", "").split("/")
        partial = path.parent.name.endswith(".p")
        digits = parts[:-1] if partial else parts
        number = int("".join(part.lstrip("x") for part in digits))
        data, at, bundle = path.read_bytes(), 0, []
        while at < len(data):
            (length,) = struct.unpack_from(">H", data, at)
            bundle.append(data[at + 2 : at + 2 + length])
            at += 2 + length
        if len(bundle) > len(entries.get(number, [])):
            entries[number] = bundle
    return [entry for number in sorted(entries) for entry in entries[number]]


def roots(leaves, sizes):
    """MTH of RFC 6962 section 2.1 for each size; whole subtrees are computed once."""
    @functools.lru_cache(maxsize=None)
    def whole(start, height):
        if height == 0:
            return leaves[start]
        half = 1 << (height - 1)
        return hashlib.sha256(b"\1" + whole(start, height - 1) + whole(start + half, height - 1)).digest()

    def tree(start, end):
        count = end - start
        if count & (count - 1) == 0:
            return whole(start, count.bit_length() - 1)
        split = 1 << ((count - 1).bit_length() - 1)
        return hashlib.sha256(b"\1" + tree(start, start + split) + tree(start + split, end)).digest()

    sys.setrecursionlimit(10_000)
    return {size: tree(0, size) for size in sizes}


def field_names():
    """Key to name, from the table in docs/formats/record.md."""
    text = (harness.SOURCE_DIR / "docs/formats/record.md").read_text()
    return {int(key): name for key, name in re.findall(r"^\| (\d+) \| `([\w.]+)` \|", text, re.MULTILINE)}


def decode(entry, names):
    """A record's map (RFC 8949: unsigned numbers, negative ones, byte strings, text) by name; nested maps stay bytes."""
    at = 1
    count = entry[0] & 31
    if entry[0] == 0xB8:
        count, at = entry[1], 2
    values = []
    for _ in range(2 * count):
        major, small = entry[at] >> 5, entry[at] & 31
        at += 1
        if small >= 24:
            width = 1 << (small - 24)
            small, at = int.from_bytes(entry[at : at + width], "big"), at + width
        if major in (2, 3):
            value, at = entry[at : at + small], at + small
            values.append(value.decode(errors="replace") if major == 3 else value)
        else:
            values.append(small if major == 0 else -1 - small)
    return {names[key]: value for key, value in zip(values[::2], values[1::2])}
