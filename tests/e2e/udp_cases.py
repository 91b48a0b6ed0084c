#!/usr/bin/env python3
"""UDP as capture sees it: both ends with the local address of unbound sockets, exact counts, many peers, silence, errors, sockets that
change hands, and translation by this host and by a router. Each case is one run of capture_dump; what it recorded is compared with
what the sockets say of themselves."""
import array
import collections
import contextlib
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

import harness
from capture_cases import Dump
from truth import network, rules

UDP_SEGMENT = 103
PEERS_PER_SOCKET_MAX = 65536


def udp(family=socket.AF_INET, bind=None, to=None):
    made = socket.socket(family, socket.SOCK_DGRAM)
    made.settimeout(5)
    if bind:
        made.bind(bind)
    if to:
        made.connect(to)
    return made


def answer(server, count=1, text=b"world!!"):
    for _ in range(count):
        _, sender = server.recvfrom(4096)
        server.sendto(text, sender)


def only(found):
    assert len(found) == 1, found
    return found[0]


def ends(record):
    return (record["src.ip"], record["src.port"]), (record["dst.ip"], record["dst.port"])


def counts(record):
    return record["packets_out"], record["packets_in"], record["bytes_out"], record["bytes_in"]


def of_flow(dump, kind, direction, client_port, server_port):
    return dump.of(kind, proto="udp", direction=direction, src_port=client_port, dst_port=server_port)


def case_both_ends_and_counts():
    """Bound or not, connected or not, IPv4, IPv6 and mapped: the local address is never 0.0.0.0, the counts are exact."""
    made = []
    with Dump() as dump:
        for family, place, asked in ((socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "::1"),
                                     (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1")):
            for connected in (True, False):
                server = udp(family, ("0.0.0.0" if family == socket.AF_INET else "::", 0))
                server_port = server.getsockname()[1]
                client = udp(socket.AF_INET6 if ":" in asked else socket.AF_INET)
                if connected:
                    client.connect((asked, server_port))
                    client.send(b"hello")
                else:
                    client.sendto(b"hello", (asked, server_port))
                answer(server)
                client.recv(100)
                if connected:
                    client.send(b"more")
                else:
                    client.sendto(b"more", (asked, server_port))
                server.recv(100)
                made.append((place, client.getsockname()[1], server_port, asked.startswith("::ffff")))
                client.close()
                server.close()
    for place, client_port, server_port, mapped in made:
        for direction in ("out", "in"):
            opened = only(of_flow(dump, "open", direction, client_port, server_port))
            closed = only(of_flow(dump, "close", direction, client_port, server_port))
            assert ends(opened) == ends(closed) == ((place, client_port), (place, server_port)), (opened, closed)
            assert opened["conn"] == closed["conn"] and opened["pid"] == closed["pid"] == os.getpid(), (opened, closed)
            assert counts(closed) == ((2, 1, 9, 7) if direction == "out" else (1, 2, 7, 9)), closed
            assert closed["start"] == opened["time"] <= closed["end"] and closed["outcome"] == "ok", (opened, closed)
            assert ("family" in opened) == (mapped and direction == "out"), opened
        listens = dump.of("listen", proto="udp", dst_port=server_port)
        assert ["end" in one for one in listens] == [False, True] and listens[0]["conn"] == listens[1]["conn"], listens
    assert not [record for record in dump.records if record.get("proto") == "udp" and record["kind"] != "listen"
                and ("0.0.0.0" in (record.get("src.ip"), record.get("dst.ip")))], "0.0.0.0 is no address of a flow"


def case_many_ways_to_send():
    """Segmentation offload: each segment is a packet."""
    with Dump() as dump:
        server, client = udp(bind=("127.0.0.1", 0)), udp()
        client.connect(server.getsockname())
        client.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1000)
        client.send(b"x" * 2500)
        sizes = [len(server.recv(4096)) for _ in range(3)]
        ports = client.getsockname()[1], server.getsockname()[1]
        client.close()
        server.close()
    assert sizes == [1000, 1000, 500], sizes
    assert counts(only(of_flow(dump, "close", "out", *ports))) == (3, 0, 2500, 0), dump.of("close", proto="udp")
    assert counts(only(of_flow(dump, "close", "in", *ports))) == (0, 3, 0, 2500), dump.of("close", proto="udp")


def case_many_short_sockets():
    """As DNS: a socket for each question."""
    count = 400
    with Dump() as dump:
        server = udp(bind=("127.0.0.1", 0))
        server_port = server.getsockname()[1]
        ports = []
        for _ in range(count):
            client = udp(to=("127.0.0.1", server_port))
            client.send(b"?")
            answer(server, text=b"!!")
            client.recv(10)
            ports.append(client.getsockname()[1])
            client.close()
        server.close()
    # A port that the kernel gave out twice is the same peer for the server.
    for direction, expected in (("out", collections.Counter(ports)), ("in", collections.Counter(set(ports)))):
        for kind in ("open", "close"):
            found = collections.Counter(one["src.port"] for one in dump.of(kind, proto="udp", direction=direction, dst_port=server_port))
            assert found == expected, (kind, direction, len(found))
    closes = dump.of("close", proto="udp", direction="out", dst_port=server_port)
    assert all(counts(one) == (1, 1, 1, 2) for one in closes), closes[:2]
    assert dump.total("lost") == 0 and not dump.of("gap"), dump.log


def case_one_socket_many_peers():
    """As QUIC: one server socket, each peer with its own counts; all end with the socket."""
    count = 300
    with Dump() as dump:
        server = udp(bind=("127.0.0.1", 0))
        server_port = server.getsockname()[1]
        clients = [udp(to=("127.0.0.1", server_port)) for _ in range(count)]
        for number, client in enumerate(clients):
            for _ in range(number % 3 + 1):
                client.send(b"q" * 10)
                answer(server)
        server.close()
        ports = [client.getsockname()[1] for client in clients]
        for client in clients:
            client.close()
    conns = set()
    for number, port in enumerate(ports):
        closed = only(of_flow(dump, "close", "in", port, server_port))
        packets = number % 3 + 1
        assert counts(closed) == (packets, packets, 7 * packets, 10 * packets), closed
        assert "cause" not in closed and closed["role"] == "listener", closed
        conns.add(only(of_flow(dump, "open", "in", port, server_port))["conn"])
    assert len(conns) == count, "every peer is its own connection"


def case_more_peers_than_are_told_apart():
    over = 500
    with Dump() as dump:
        client = udp(bind=("127.0.0.1", 0))
        client_port = client.getsockname()[1]
        for number in range(PEERS_PER_SOCKET_MAX + 1 + over):
            # Refused by nobody: the addresses are the host's own, the errors do not reach an unconnected socket.
            client.sendto(b"x", (f"127.{1 + number // 60000}.0.1", 1024 + number % 60000))
        client.close()
    opened = {ends(one)[1] for one in dump.of("open", proto="udp", direction="out", src_port=client_port)}
    closed = dump.of("close", proto="udp", direction="out", src_port=client_port)
    gaps = [gap for gap in dump.of("gap") if "peers at a UDP socket" in gap["cause"]]
    assert dump.total("lost") == 0, dump.log
    # While it is crowded silent peers make room, so that more than the maximum may be told apart in all.
    assert len(opened) == len(closed) >= PEERS_PER_SOCKET_MAX + 1, (len(opened), len(closed))
    missing = PEERS_PER_SOCKET_MAX + 1 + over - len(opened)
    assert missing == sum(gap["count"] for gap in gaps), (missing, gaps)
    assert missing > 0 and all(gap["pid"] == os.getpid() and gap["start"] <= gap["end"] for gap in gaps), (missing, gaps)


def with_headers(count, source_port, port, text):
    """An IPv6 packet over loopback with so many headers in front of its UDP header."""
    ends_of_it = socket.inet_pton(socket.AF_INET6, "::1") * 2
    datagram = struct.pack("!HHHH", source_port, port, 8 + len(text), 0) + text
    total = sum(struct.unpack(f"!{len(datagram + ends_of_it) // 2}H", ends_of_it + datagram)) + len(datagram) + socket.IPPROTO_UDP
    total = (total & 0xffff) + (total >> 16)
    datagram = datagram[:6] + struct.pack("!H", ~total & 0xffff) + text
    # Each has one option of padding, and names the next one.
    headers = b"".join(bytes([socket.IPPROTO_UDP if i == count - 1 else socket.IPPROTO_DSTOPTS, 0, 1, 4, 0, 0, 0, 0]) for i in range(count))
    return struct.pack("!IHBB", 6 << 28, len(headers + datagram), socket.IPPROTO_DSTOPTS, 64) + ends_of_it + headers + datagram


def case_headers_in_front():
    """As many as are followed, and more: those are counted."""
    with Dump() as dump:
        server = udp(socket.AF_INET6, ("::1", 0))
        port = server.getsockname()[1]
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for count in (8, 9, 9):
            raw.sendto(with_headers(count, 1000 + count, port, b"four"), ("::1", 0))
            assert server.recvfrom(100)[0] == b"four"
        raw.close()
        server.close()
    closed = only(dump.of("close", proto="udp", dst_port=port))
    assert ends(closed) == (("::1", 1008), ("::1", port)) and counts(closed) == (0, 1, 0, 4), closed
    assert sum(gap["count"] for gap in dump.of("gap") if "what is not followed" in gap["cause"]) == 2, dump.of("gap")


def case_silence_closes_a_peer():
    with environment(CAPTURE_DUMP_UDP_IDLE_MS="400"):
        with Dump() as dump:
            server, client, other = udp(bind=("127.0.0.1", 0)), udp(), udp()
            place = server.getsockname()
            for one in (client, other):
                one.sendto(b"a", place)
                answer(server)
            harness.wait_for(lambda: dump.text(dump.out).count("no packet for") >= 4, "four peers to be closed")
            # Now the server speaks first, but who spoke first at first is still the client.
            server.sendto(b"late", ("127.0.0.1", client.getsockname()[1]))
            ports = client.getsockname()[1], place[1]
            for one in (client, other, server):
                one.close()
    closes = of_flow(dump, "close", "out", *ports)
    assert len(closes) == 2 and "no packet for" in closes[0]["cause"] and "cause" not in closes[1], closes
    assert closes[0]["end"] < closes[0]["time"] and counts(closes[0]) == (1, 1, 1, 7), closes
    assert closes[0]["conn"] != closes[1]["conn"] and counts(closes[1]) == (0, 1, 0, 4), closes
    assert len(of_flow(dump, "close", "in", *ports)) >= 1, dump.of("close", proto="udp")


def case_refused():
    with Dump() as dump:
        made = []
        for family, place in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            client = udp(family, to=(place, 1))
            client.send(b"?")
            try:
                client.recv(1)
                raise AssertionError("somebody answers at port 1")
            except ConnectionRefusedError:
                pass
            made.append((place, client.getsockname()[1]))
            client.close()
    for place, port in made:
        closed = only(of_flow(dump, "close", "out", port, 1))
        assert closed["outcome"] == "refused" and closed["errno"] == 111 and closed["src.ip"] == place, closed


def case_there_before():
    server, client = udp(bind=("127.0.0.1", 0)), udp()
    client.connect(server.getsockname())
    client.send(b"before")
    server.recv(10)
    ports = client.getsockname()[1], server.getsockname()[1]
    with Dump() as dump:
        client.send(b"after")
        server.recv(10)
        client.close()
        server.close()
    existing = only(of_flow(dump, "existing", "out", *ports))
    assert existing["pid"] == os.getpid() and "start" not in existing, existing
    closed = only(of_flow(dump, "close", "out", *ports))
    assert closed["conn"] == existing["conn"] and "start" not in closed and counts(closed) == (1, 0, 5, 0), closed
    assert not of_flow(dump, "open", "out", *ports)
    listens = dump.of("listen", proto="udp", dst_port=ports[1])
    assert [("cause" in one, "end" in one) for one in listens] == [(True, False), (False, True)], listens


def in_child(work):
    """Runs work() in a forked process; returns its pid once it has ended well."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the child failed"
    return child


def case_changing_hands():
    """Who made, bound, sent, received and closed are kept apart."""
    with Dump() as dump:
        server = udp()
        binder = in_child(lambda: server.bind(("127.0.0.1", 0)))
        place = server.getsockname()
        client = udp()
        sender = in_child(lambda: client.sendto(b"first", place))
        receiver = in_child(lambda: server.recv(10))
        answerer = in_child(lambda: server.sendto(b"answer", client.getsockname()))
        # By descriptor over a unix socket, with no common parent's table.
        ours, theirs = socket.socketpair(socket.AF_UNIX)

        def receive_and_send():
            fds = array.array("i")
            _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
            fds.frombytes(ancillary[0][2])
            socket.socket(fileno=fds[0]).sendto(b"passed", place)

        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])
        passed = in_child(receive_and_send)
        ports = client.getsockname()[1], place[1]
        # The last to hold a socket closes it.
        closer = os.fork()
        if closer == 0:
            ours.close()
            theirs.recv(1)
            os._exit(0)
        client.close()
        server.close()
        ours.send(b"x")
        os.waitpid(closer, 0)
    opened = only(of_flow(dump, "open", "out", *ports))
    assert (opened["pid"], opened["role"]) == (sender, "user"), opened
    uses = {(one["pid"], one["role"]) for one in of_flow(dump, "used_by", "out", *ports)}
    assert uses == {(os.getpid(), "creator"), (passed, "user"), (closer, "closer")}, uses
    listens = dump.of("listen", proto="udp", dst_port=place[1])
    assert listens[0]["pid"] == binder, listens
    uses = {(one["pid"], one["role"]) for one in dump.of("used_by", proto="udp", direction="in", dst_port=place[1])}
    assert {(os.getpid(), "creator"), (receiver, "user"), (answerer, "user"), (closer, "closer")} == uses, (uses, receiver, answerer, closer)


@contextlib.contextmanager
def own_translation():
    """A namespace whose packets to two ports are translated on the host itself."""
    name = f"pbudp{os.getpid()}"
    try:
        for words in (["netns", "add", name], ["-n", name, "link", "set", "lo", "up"], ["-n", name, "addr", "add", "10.88.0.1/24", "dev", "lo"],
                      ["-n", name, "addr", "add", "10.88.0.2/24", "dev", "lo"]):
            subprocess.run(["ip", *words], check=True)
        rules(name, """table inet t {
            chain out { type nat hook output priority -100; ip daddr 10.88.0.9 udp dport 53 dnat ip to 10.88.0.2:5353; };
            chain post { type nat hook postrouting priority srcnat; udp dport 5353 snat ip to 10.88.0.1:40000-40999 fully-random; }; }""")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


OWN_TRANSLATION = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("10.88.0.2", 5353)); server.settimeout(5)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.settimeout(5)
if sys.argv[1] == "connected":
    client.connect(("10.88.0.9", 53)); client.send(b"hello")
else:
    client.sendto(b"hello", ("10.88.0.9", 53))
_, outside = server.recvfrom(100)
server.sendto(b"world!!", outside)
print(client.getsockname()[1], outside[0], outside[1], client.recvfrom(100)[1][0])
"""


def case_translated_on_this_host():
    """An outgoing packet is seen after translation; the record has what the socket asked for, and the translation beside it: also of
    the first packet that the namespace ever tracks, and of sockets that live a millisecond."""
    made = []
    with own_translation() as name, Dump() as dump:
        for manner in ("connected", "unconnected") * 4:
            done = subprocess.run(["ip", "netns", "exec", name, sys.executable, "-c", OWN_TRANSLATION, manner], capture_output=True, text=True, check=True)
            port, outside_ip, outside_port, answered_by = done.stdout.split()
            assert answered_by == "10.88.0.9" and 40000 <= int(outside_port) < 41000, done.stdout
            made.append((int(port), (outside_ip, int(outside_port))))
    for port, outside in made:
        closed = only(dump.of("close", proto="udp", direction="out", src_port=port, dst_port=53))
        assert closed["dst.ip"] == "10.88.0.9" and counts(closed) == (1, 1, 5, 7), closed
        assert closed["src.ip"] not in ("0.0.0.0", "10.88.0.9"), closed
        assert closed["nat"] == "translated" and (closed["src.nat.ip"], closed["src.nat.port"]) == outside, closed
        assert (closed["dst.nat.ip"], closed["dst.nat.port"]) == ("10.88.0.2", 5353), closed
        opened = only(dump.of("open", proto="udp", direction="out", src_port=port, dst_port=53))
        assert opened["nat"] == "translated" and opened["src.nat.port"] == outside[1], opened
        served = only(dump.of("close", proto="udp", direction="in", src_port=outside[1], dst_port=5353))
        assert served["src.ip"] == outside[0] and served["nat"] == "translated" and counts(served) == (1, 1, 7, 5), served
        lease = only(dump.of("nat_open", proto="udp", src_port=port))
        assert (lease["src.nat.ip"], lease["src.nat.port"]) == outside, lease


@contextlib.contextmanager
def held(dump):
    """Capture is stopped meanwhile, so that what is small in the kernel overflows."""
    dump.process.send_signal(signal.SIGSTOP)
    threads = pathlib.Path(f"/proc/{dump.process.pid}/task")
    states = lambda: {(thread / "stat").read_text().rpartition(")")[2].split()[0] for thread in threads.iterdir()}
    try:
        harness.wait_for(lambda: states() == {"T"}, "capture to stand still")
        yield
    finally:
        dump.process.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def environment(**names):
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]


def case_gaps_count_exactly_what_is_missing():
    """Of sockets that each send one packet, an open and a close are recorded, or counted in a gap; one that stays is made good."""
    count = 2000

    def flood():
        for _ in range(count):
            with udp(to=("127.0.0.1", 1)) as one:
                one.send(b"x")

    # Others on this machine may lose events of their own meanwhile, which are counted as well: then it is tried again.
    for attempt in range(3):
        with environment(CAPTURE_DUMP_UDP_RING="16384"), Dump(64 << 20, 16 << 20, 16384) as dump:
            staying = udp(to=("127.0.0.1", 1))  # has its port before the flood looks for some
            with held(dump):
                flooder = in_child(flood)
                staying.send(b"x")
            harness.wait_for(lambda: "UDP events were full" in dump.text(dump.out), "the gap")
            harness.wait_for(lambda: f'"src.port":{staying.getsockname()[1]}' in dump.text(dump.out), "the snapshot after it")
            port = staying.getsockname()[1]
            staying.close()
        recorded = [one for kind in ("open", "close") for one in dump.of(kind, proto="udp", pid=flooder)]
        assert max(collections.Counter((one["kind"], one["conn"]) for one in recorded).values()) == 1, "told twice"
        gaps = [gap for gap in dump.of("gap") if "UDP events" in gap["cause"]]
        counted = sum(gap["count"] for gap in gaps)
        assert counted == dump.total("lost") > 0, (counted, dump.log)
        assert len(recorded) + counted >= 2 * count, (len(recorded), counted)
        assert all(gap["start"] <= gap["end"] and gap["about"] == "test/socket" for gap in gaps), gaps
        if len(recorded) + counted == 2 * count:
            break
    else:
        raise AssertionError(f"{2 * count} happened, {len(recorded)} are recorded and {counted} counted as missing")
    opened, closed = (only(dump.of(kind, proto="udp", src_port=port, dst_port=1)) for kind in ("open", "close"))
    assert opened["time"] == closed["start"] < gaps[0]["end"] <= closed["end"] and counts(closed)[0] == 1, (opened, closed, gaps)


MANY_TRANSLATED = """
import socket, subprocess, sys
def flows(count):
    for _ in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.sendto(b"x", ("10.88.0.9", 53))
        print(one.getsockname()[1])
flows(300)
subprocess.run(["conntrack", "-D", "-p", "udp"], capture_output=True, check=True)
flows(300)
"""


def case_a_conntrack_overflow_is_a_gap_and_then_whole():
    """Leases that came and went while the buffer was full lie in the gap; those that are there after it are recorded."""
    with own_translation() as name, environment(CAPTURE_DUMP_CONNTRACK_BYTES="8192"), Dump() as dump:
        with held(dump):
            began = time_now()
            done = subprocess.run(["ip", "netns", "exec", name, sys.executable, "-c", MANY_TRANSLATED], capture_output=True, text=True, check=True)
            ended = time_now()
        harness.wait_for(lambda: "conntrack socket's buffer was full" in dump.text(dump.out), "the gap")
    ports = [int(word) for word in done.stdout.split()]
    leased = {one["src.port"]: one for one in dump.of("nat_open", proto="udp", direction="forward", dst_port=53)}
    assert set(ports[300:]) <= set(leased), "the table was read anew after the gap"
    gap = only([one for one in dump.of("gap") if "conntrack" in one["cause"]])
    assert gap["about"] == "test/nat" and gap["start"] <= began and gap["end"] >= ended, (gap, began, ended)
    missing = set(ports[:300]) - set(leased)
    assert missing, "the buffer was never full: the case shows nothing"
    assert all(began <= one["time"] <= ended for port, one in leased.items() if port in ports), "each has the kernel's own time"


def time_now():
    """Now, as records write it."""
    nanoseconds = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(nanoseconds // 10**9)) + f".{nanoseconds % 10**9:09}Z"


# In a namespace without a name, that lives as long as this.
SHORT_NAMESPACE = """
set -e
ip link set lo up; ip addr add 10.88.0.1/24 dev lo; ip addr add 10.88.0.2/24 dev lo
nft -f - <<END
table inet t {
  chain out { type nat hook output priority -100; ip daddr 10.88.0.9 udp dport 53 dnat ip to 10.88.0.2:5353; };
  chain post { type nat hook postrouting priority srcnat; udp dport 5353 snat ip to 10.88.0.1:40000-40999 fully-random; };
}
END
readlink /proc/self/ns/net
exec "$0" -c "$1" connected
"""


def unshared(*command):
    return subprocess.run(["unshare", "-n", *command], capture_output=True, text=True, check=True).stdout


def number_of_namespace(link):
    return int(link.strip().removeprefix("net:[").removesuffix("]"))


def case_namespaces_that_come_and_go():
    """One that lives for a tenth of a second has its leases; of one that is gone before anybody could look, a gap says so."""
    made, gone = [], []
    with Dump() as dump:
        for _ in range(4):
            link, flow = unshared("sh", "-c", SHORT_NAMESPACE, sys.executable, OWN_TRANSLATION).splitlines()
            port, _, outside_port, _ = flow.split()
            made.append((number_of_namespace(link), int(port), int(outside_port)))
        for _ in range(10):
            gone.append(number_of_namespace(unshared("readlink", "/proc/self/ns/net")))
        harness.wait_for(lambda: "was gone before" in dump.text(dump.out), "a gap")
    gaps = [gap for gap in dump.of("gap") if "was gone before" in gap["cause"]]
    assert all(gap["about"] == "test/nat" and gap["start"] < gap["end"] for gap in gaps), gaps
    assert {gap["netns"] for gap in gaps} & set(gone), (gaps, gone)
    for netns, port, outside_port in made:
        closed = only(dump.of("close", proto="udp", direction="out", src_port=port, dst_port=53))
        leases = [one for kind in ("nat_open", "existing") for one in dump.of(kind, proto="udp", direction="forward", src_port=port, netns=netns)]
        if leases:
            assert only(leases)["src.nat.port"] == outside_port, leases
            assert (closed["nat"], closed["src.nat.port"]) == ("translated", outside_port), closed
        else:
            assert [gap for gap in gaps if gap["netns"] == netns and gap["start"] <= closed["start"] and closed["end"] <= gap["end"]], (closed, gaps)
    assert dump.of("nat_open", direction="forward") or dump.of("existing", direction="forward"), "none of them was watched"


def main():
    harness.need_root()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = sys.argv[1:]
    failed = 0
    for name, case in list(globals().items()):
        if not name.startswith("case_") or (chosen and name not in chosen):
            continue
        try:
            case()
            print("ok   ", name)
        except Exception as wrong:  # the next case still has something to say
            failed += 1
            print("WRONG", name, "at line", wrong.__traceback__.tb_next.tb_lineno, str(wrong)[:1500])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
