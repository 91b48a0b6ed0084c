#!/usr/bin/env python3
"""`portbook up` under load, killed with SIGKILL a hundred times (or argv[1]): what was acknowledged is there afterwards, nothing is
invented, and the next start says what it found.

Before each kill the test remembers a signed checkpoint and some records' bytes as the API gave them. At the end the whole log is
exported: the root of every remembered size must be the remembered root, by the naive definition of RFC 6962.
"""
import base64
import functools
import hashlib
import http.client
import json
import random
import struct
import subprocess
import sys
import time

import harness

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 100
LOAD = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=512)
def serve():
    while True:
        listener.accept()[0].close()
threading.Thread(target=serve, daemon=True).start()
while True:
    socket.create_connection(listener.getsockname()).close()
"""


def get(port, path):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path)
    answer = client.getresponse()
    assert answer.status == 200, f"{path}: {answer.status} {answer.read()[:200]}"
    return answer.read().decode()


def size_and_root(note):
    lines = note.split("\n")
    return int(lines[1]), lines[2]


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


def main():
    harness.need_root()
    chance = random.Random(7)
    remembered, records, recovered, first = [], {}, 0, None
    with harness.folder() as folder:
        load = subprocess.Popen(["nice", "/usr/bin/python3", "-c", LOAD])
        try:
            for _ in range(ROUNDS):
                with harness.Book(folder / "book") as book:
                    time.sleep(chance.random() * 0.15)  # not waiting for anything: the kill comes at any moment
                    size, root = size_and_root(get(book.port, "/api/v1/checkpoint"))
                    remembered.append((size, root))
                    for index in (size - 1, chance.randrange(size)):
                        records[index] = bytes.fromhex(json.loads(get(book.port, f"/api/v1/records/{index}"))["bytes"])
                    book.kill()
            load.kill()
            with harness.Book(folder / "book") as book:
                said = json.loads(get(book.port, "/api/v1/status"))
                recovered = len(harness.rows(harness.run("search", "kind:admin action:*recover*", "--json", "--limit", "1000", data=book.data).stdout))
                assert not said["read_only"], said["read_only"]
        finally:
            load.kill()
            load.wait()
        done = harness.run("verify", data=folder / "book")
        harness.run("export", "--tlog", folder / "log", data=folder / "book")
        entries = read_entries(folder / "log")
    assert len(entries) >= max(size for size, _ in remembered), "the exported log is shorter than what was acknowledged"
    for index, data in records.items():
        assert entries[index] == data, f"record {index} is not what was acknowledged"
    leaves = [hashlib.sha256(b"\0" + entry).digest() for entry in entries]
    computed = roots(leaves, {size for size, _ in remembered})
    for size, root in remembered:
        assert base64.b64encode(computed[size]).decode() == root, f"the tree of {size} records is not the one that was signed"
    assert recovered > 0, "not one start said that it recovered something"
    print(f"{ROUNDS} kills: {len(entries)} records, {len(remembered)} acknowledged checkpoints and {len(records)} records all there; "
          f"{recovered} starts took in what a kill had left; {done.stdout.splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(main())
