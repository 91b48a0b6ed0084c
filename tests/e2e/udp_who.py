#!/usr/bin/env python3
"""Questions about UDP: who was behind an external port of a masquerade, who serves an endpoint, what search finds. In network namespaces
that this test makes and removes."""
import json
import signal
import subprocess
import sys

import harness
from harness import run
from truth import SERVER4, network, rules

PORT = 7053
SERVER = f"""
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", {PORT}))
print("bound", flush=True)
while True:
    text, peer = server.recvfrom(100)
    server.sendto(b"answer", peer)
    print(peer[0], peer[1], flush=True)
"""
# Not bound and not connected: nothing but its packets say where it sends from.
CLIENT = f"""
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(b"question", ("{SERVER4}", {PORT}))
client.recv(100)
print(client.getsockname()[1], flush=True)
sys.stdin.read()
"""


def start(namespace, program):
    return subprocess.Popen(["ip", "netns", "exec", namespace, sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def who(book, endpoint, *more):
    return json.loads(run("who", endpoint, "--json", *more, data=book.data, check=False).stdout)


def main():
    harness.need_root()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces go in any case
    running = []
    with harness.folder() as folder, network() as (client_space, router, server_space):
        rules(router, f'table inet u {{ chain post {{ type nat hook postrouting priority srcnat; oifname "down2" udp dport {PORT} masquerade fully-random; }}; }}')
        with harness.Book(folder / "book") as book:
            try:
                server = start(server_space, SERVER)
                running.append(server)
                assert server.stdout.readline() == "bound\n"
                clients = []
                for _ in range(3):
                    client = start(client_space, CLIENT)
                    running.append(client)
                    port = int(client.stdout.readline())
                    external_ip, external_port = server.stdout.readline().split()
                    clients.append((client, port, f"{external_ip}:{external_port}"))
                for client, port, external in clients:
                    answer = harness.wait_for(lambda: (lambda a: a if a["verdict"] == "owner" else None)(who(book, external, "--peer", f"{SERVER4}:{PORT}")), "the owner")
                    owners = [one for one in answer["candidates"] if one["verdict"] == "matches" and one["relation"] == "owned"]
                    assert len(owners) == 1 and owners[0]["process"]["pid"] == client.pid, (client.pid, answer)
                    assert owners[0]["internal"] == f"10.77.1.2:{port}" and owners[0]["external"] == external, owners
                    assert owners[0]["lease"] is not None, owners
                    text = run("who", external, "--peer", f"{SERVER4}:{PORT}", data=book.data).stdout
                    assert str(client.pid) in text and "python" in text, text
                served = who(book, f"{SERVER4}:{PORT}")
                assert served["candidates"][0]["relation"] == "listener" and served["candidates"][0]["process"]["pid"] == server.pid, served
                moment = harness.rows(run("search", f"proto:udp src.port:{clients[0][1]} direction:out", "--json", data=book.data).stdout)[0]["record"]["time"]
                clients[0][0].stdin.close()
                clients[0][0].wait(10)
                closed = harness.wait_for(lambda: harness.rows(run("search", f"proto:udp kind:close src.port:{clients[0][1]} direction:out", "--json", data=book.data).stdout),
                                          "the close to be recorded")
                record = closed[0]["record"]
                assert (record["bytes_out"], record["bytes_in"], record["src.ip"], record["dst.port"]) == (8, 6, "10.77.1.2", PORT), record
                later = who(book, f"{clients[0][2]}@{moment}", "--peer", f"{SERVER4}:{PORT}")
                assert [one["process"]["pid"] for one in later["candidates"] if one["verdict"] == "matches" and one["relation"] == "owned"] == [clients[0][0].pid], later
            finally:
                for one in running:
                    one.kill()
                    one.wait()


if __name__ == "__main__":
    sys.exit(main())
