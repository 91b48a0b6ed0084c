#!/usr/bin/env python3
"""`trace` over real traffic: client → masquerade of a router → proxy → server, each a process of its own in network namespaces that this
test makes and removes. From either end the path leads to the other: kernel records prove both connections, the step inside the proxy is
possible. Then with two clients at once, and with a proxy that keeps its server connection open (a pool)."""
import contextlib
import json
import signal
import subprocess
import sys

import harness
import truth

SERVER_PORT = 7100
PROXY_PORTS = (truth.KEEPING, truth.RANDOM)

SERVE = """
import socket, sys, threading
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
def serve(peer):
    for data in iter(lambda: peer.recv(100), b""):
        peer.sendall(data)
    peer.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
# One thread for each client; with "pool" one connection to the server for all of them, made before the first client comes.
PROXY = """
import socket, sys, threading
server = (sys.argv[2], int(sys.argv[3]))
pool = socket.create_connection(server) if sys.argv[4] == "pool" else None
listener = socket.create_server(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
def serve(client):
    up = pool or socket.create_connection(server)
    for data in iter(lambda: client.recv(100), b""):
        up.sendall(data)
        client.sendall(up.recv(100))
    client.close()
    if up is not pool:
        up.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
# Connects, exchanges a word, says its own endpoint, and holds the connection until its input ends.
CLIENT = """
import socket, sys
one = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
one.sendall(b"hello")
one.recv(100)
print("%s:%d" % one.getsockname(), flush=True)
sys.stdin.read()
one.close()
"""


@contextlib.contextmanager
def process(namespace, script, *args):
    """A python process in the namespace; yields it with its first line of output."""
    started = subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", script, *map(str, args)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        started.said = started.stdout.readline().strip()
        assert started.said, f"a process in {namespace} said nothing"
        yield started
    finally:
        started.kill()
        started.wait()


def trace(book, question):
    return json.loads(harness.run("trace", question, "--json", data=book.data).stdout)


def path_of(answer):
    """(class, pid, pid) of each edge, and of each node its pid and direction."""
    pid = {node["id"]: node["process"]["pid"] if node["process"] else None for node in answer["nodes"]}
    return sorted((edge["class"], edge["kind"], pid[edge["from"]], pid[edge["to"]]) for edge in answer["edges"])


def wait_for_path(book, question, expected, what):
    """Until the path is the expected one: the last record may be on its way."""
    def arrived():
        seen[:] = [trace(book, question)]
        return path_of(seen[0]) == sorted(expected)
    seen = []
    try:
        harness.wait_for(arrived, what, 5)
    except AssertionError as late:
        raise AssertionError(f"{late}: {path_of(seen[0])}, not {sorted(expected)}; {seen[0]['sentence']} {seen[0]['bounds']}")
    return seen[0]


def check_proxied(book, client, server):
    with process(server, SERVE, truth.SERVER4, SERVER_PORT) as backend, \
            process(server, PROXY, PROXY_PORTS[1], truth.SERVER4, SERVER_PORT, "each") as proxy, \
            process(client, CLIENT, truth.SERVER4, PROXY_PORTS[1]) as first:
        expected = [("proven", "connection", first.pid, proxy.pid), ("possible", "process", proxy.pid, proxy.pid),
                    ("proven", "connection", proxy.pid, backend.pid)]
        answer = wait_for_path(book, first.said, expected, "the path from the client")
        leases = [edge["leases"] for edge in answer["edges"] if edge["leases"]]
        assert len(leases) == 1 and leases[0][0]["internal"] == first.said and leases[0][0]["external"], leases
        assert all(edge["records"] for edge in answer["edges"]), answer["edges"]
        external = leases[0][0]["external"]
        last = next(node for node in answer["nodes"] if node["process"]["pid"] == backend.pid)
        for question in (external, f"#{last['record']}", last["src"]):
            wait_for_path(book, question, expected, f"the path from {question}")
        tree = harness.run("trace", first.said, data=book.data).stdout
        for text in ("led to", "proven", "possible", "lease of", external, "accepted", f" {backend.pid}"):
            assert text in tree, f"{text!r} is not in the tree:\n{tree}"
        # A second client while the first is held: its leg has two candidates, the first one's leg keeps one.
        with process(client, CLIENT, truth.SERVER4, PROXY_PORTS[1]) as second:
            harness.wait_for(lambda: candidates_of_newest_leg(book, proxy.pid, {first.pid, second.pid}), "both candidates", 5)


def candidates_of_newest_leg(book, proxy, clients):
    """Whether the newest connection of the proxy leads back to exactly these clients."""
    rows = harness.rows(harness.run("search", f"pid:{proxy} direction:out", "--json", "-n", "1", data=book.data).stdout)
    if not rows:
        return False
    answer = trace(book, f"#{rows[0]['id']}")
    found = {node["process"]["pid"] for node in answer["nodes"] if node["direction"] == "out" and node["process"]}
    return found == clients | {proxy}


def check_pool(book, client, server):
    with process(server, SERVE, truth.SERVER4, SERVER_PORT + 1) as backend, \
            process(server, PROXY, PROXY_PORTS[0], truth.SERVER4, SERVER_PORT + 1, "pool") as proxy, \
            process(client, CLIENT, truth.SERVER4, PROXY_PORTS[0]) as first:
        answer = wait_for_path(book, first.said, [
            ("proven", "connection", first.pid, proxy.pid), ("possible", "process", proxy.pid, proxy.pid),
            ("proven", "connection", proxy.pid, backend.pid)], "the path through the pool")
        assert any("pool" in edge["method"] for edge in answer["edges"]), answer["edges"]


def main():
    harness.need_root()
    with harness.folder() as folder, truth.network() as (client, _, server), truth.BookRecorder(folder) as recorder:
        check_proxied(recorder.book, client, server)
        check_pool(recorder.book, client, server)
        assert harness.run("trace", "192.0.2.99:4242", data=recorder.book.data, check=False).returncode == 1
    print("ok")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces go in any case
    sys.exit(main())
