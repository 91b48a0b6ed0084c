#!/usr/bin/env python3
"""Which end is whose: the remote end of an inbound connection is "seen by", never "owned by"; an address that no source claims is
"not covered", never "nobody"; the local end belongs to the process that opened or accepted it."""
import json
import os
import subprocess
import sys

import harness
from harness import run

SERVER = """
import socket, sys
listener = socket.create_server(("10.199.7.1", 0))
print(listener.getsockname()[1], flush=True)
connection, _ = listener.accept()
connection.recv(1)
print("got", flush=True)
sys.stdin.read()
"""
CLIENT = """
import socket, sys
connection = socket.create_connection(("10.199.7.1", int(sys.argv[1])))
connection.sendall(b"x")
print(connection.getsockname()[1], flush=True)
sys.stdin.read()
"""


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def who(book, endpoint, *more):
    return json.loads(run("who", endpoint, "--json", *more, data=book.data, check=False).stdout)


def main():
    harness.need_root()
    space = f"pb-ends-{os.getpid()}"
    with harness.folder() as folder:
        try:
            # The client stands in a namespace; capture sees both, but only what is asked about the server's end is tested from the host.
            ip("netns", "add", space)
            ip("link", "add", "pbends0", "type", "veth", "peer", "name", "pbends1", "netns", space)
            ip("addr", "add", "10.199.7.1/24", "dev", "pbends0")
            ip("link", "set", "pbends0", "up")
            ip("-n", space, "addr", "add", "10.199.7.2/24", "dev", "pbends1")
            ip("-n", space, "link", "set", "pbends1", "up")
            with harness.Book(folder / "book") as book:
                server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                port = server.stdout.readline().strip()
                client = subprocess.Popen(["ip", "netns", "exec", space, sys.executable, "-c", CLIENT, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                client_port = client.stdout.readline().strip()
                assert server.stdout.readline().strip() == "got"
                client_end, server_end = f"10.199.7.2:{client_port}", f"10.199.7.1:{port}"

                answer = harness.wait_for(lambda: (lambda a: a if any(c["relation"] == "owned" for c in a["candidates"]) else None)(who(book, client_end, "--peer", server_end)),
                                          "the client's end to be owned")
                owners = [c for c in answer["candidates"] if c["relation"] == "owned" and c["verdict"] == "matches"]
                assert len(owners) == 1 and owners[0]["process"]["pid"] == client.pid, owners
                for candidate in answer["candidates"]:
                    if candidate["process"] and candidate["process"]["pid"] == server.pid:
                        assert candidate["relation"] == "seen_by", f"the server only saw the client's end: {candidate}"

                answer = harness.wait_for(lambda: (lambda a: a if a["candidates"] else None)(who(book, server_end)), "the server's end")
                first = answer["candidates"][0]
                assert first["relation"] == "listener" and first["process"]["pid"] == server.pid, first
                assert not any(c["relation"] == "owned" and c["process"] and c["process"]["pid"] == client.pid for c in answer["candidates"]), answer

                answer = who(book, "203.0.113.77:4444")
                assert answer["verdict"] == "not_covered" and answer["completeness"]["state"] == "not_covered", answer
                assert "nobody" not in answer["sentence"].lower(), answer["sentence"]

                answer = who(book, "10.199.7.1:9")
                assert answer["verdict"] == "nobody" and answer["completeness"]["state"] in ("complete", "clock_not_synchronised"), answer
                text = run("who", client_end, "--peer", server_end, data=book.data).stdout
                assert "python" in text and str(client.pid) in text, text
                for process in (client, server):
                    process.stdin.close()
                    process.wait(10)
        finally:
            subprocess.run(["ip", "link", "del", "pbends0"], stderr=subprocess.DEVNULL)
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
