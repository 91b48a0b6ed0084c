#!/usr/bin/env python3
"""`portbook up` under load, killed with SIGKILL a hundred times (or argv[1]): what was acknowledged is there afterwards, nothing is
invented, and the next start says what it found.

Before each kill the test remembers a signed checkpoint and some records' bytes as the API gave them. At the end the whole log is
exported: the root of every remembered size must be the remembered root, by the naive definition of RFC 6962.
"""
import base64
import hashlib
import http.client
import json
import random
import subprocess
import sys
import time

import harness
from exported_log import read_entries, roots

UNSETTLED = 10  # exit code of verify
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


def main():
    harness.need_root()
    chance = random.Random(7)
    remembered, records, recovered, unsettled = [], {}, 0, 0
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
                # Until the next start: what is signed holds, and what the kill left behind it is no tampering.
                verified = harness.run("verify", data=folder / "book", check=False)
                assert verified.returncode in (0, UNSETTLED), (verified.returncode, verified.stdout, verified.stderr)
                if verified.returncode == UNSETTLED:
                    unsettled += 1
                    assert "signed records hold. Behind them lies what a crash or a kill leaves" in verified.stdout, verified.stdout
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
    assert unsettled > 0, "not one kill left anything behind what is signed"
    print(f"{ROUNDS} kills: {len(entries)} records, {len(remembered)} acknowledged checkpoints and {len(records)} records all there; "
          f"{recovered} starts took in what a kill had left, verify saw it {unsettled} times; {done.stdout.splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(main())
