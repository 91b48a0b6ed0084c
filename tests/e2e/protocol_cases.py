#!/usr/bin/env python3
"""Ways to connect that are not the usual one, each right or not seen as docs/capture.md says: MPTCP, fast open, simultaneous open, no
free port, no route, io_uring, SCTP, raw and packet sockets; and TCP sockets that change hands. Each case is one run of capture_dump."""
import array
import contextlib
import ctypes
import errno
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys

import harness
from capture_cases import Dump, listening
from udp_cases import ends, in_child, only

IPPROTO_MPTCP = 262
TCP_FASTOPEN, MSG_FASTOPEN = 23, 0x20000000


def case_mptcp():
    """The records are of the subflow, which is what other hosts see."""
    with Dump() as dump:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        client.sendall(b"x" * 10)
        accepted.recv(10)
        both = client.getsockname(), listener.getsockname()
        for one in (client, accepted, listener):
            one.close()
        # The kernel ends the subflows by itself, after the process has closed.
        is_close = lambda line: '"kind":"close"' in line and f'"src.port":{both[0][1]},' in line
        harness.wait_for(lambda: sum(map(is_close, dump.text(dump.out).splitlines())) == 2, "both ends to be closed")
    for direction in ("out", "in"):
        opened = only(dump.of("open", direction=direction, src_port=both[0][1]))
        closed = only(dump.of("close", direction=direction, src_port=both[0][1]))
        assert ends(opened) == both and opened["pid"] == os.getpid() and closed["conn"] == opened["conn"], (opened, closed)
        assert closed["bytes_out" if direction == "out" else "bytes_in"] == 10, closed


def case_fast_open():
    """Data in the SYN: the first connection asks for the cookie, the second uses it."""
    listener = socket.socket()
    listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    setting = open("/proc/sys/net/ipv4/tcp_fastopen", "r+")
    before = setting.read()
    try:
        setting.write("3")
        setting.flush()
        with Dump() as dump:
            ports = []
            for _ in range(2):
                client = socket.socket()
                client.sendto(b"hello", MSG_FASTOPEN, listener.getsockname())
                accepted, _ = listener.accept()
                assert accepted.recv(10) == b"hello"
                accepted.sendall(b"ok")
                client.recv(5)
                ports.append(client.getsockname()[1])
                client.close()
                accepted.close()
    finally:
        setting.seek(0)
        setting.write(before)
        setting.close()
    place = listener.getsockname()
    listener.close()
    for port in ports:
        for direction, sent, got in (("out", 5, 2), ("in", 2, 5)):
            opened = only(dump.of("open", direction=direction, src_port=port, dst_port=place[1]))
            closed = only(dump.of("close", direction=direction, src_port=port, dst_port=place[1]))
            assert opened["conn"] == closed["conn"] and opened["pid"] == os.getpid(), (opened, closed)
            assert (closed["bytes_out"], closed["bytes_in"]) == (sent, got), closed


def case_simultaneous_open():
    """A socket that connects to itself is the simplest: it called connect(), so it went out, though the kernel takes the passive way."""
    with Dump() as dump:
        one = socket.socket()
        one.bind(("127.0.0.1", 0))
        one.connect(one.getsockname())
        one.send(b"self")
        one.recv(4)
        port = one.getsockname()[1]
        one.close()
    opened = only(dump.of("open", src_port=port))
    assert opened["direction"] == "out" and opened["role"] == "creator" and opened["pid"] == os.getpid(), opened
    closed = only(dump.of("close", src_port=port))
    assert (closed["direction"], closed["bytes_out"], closed["bytes_in"]) == ("out", 4, 4), closed


NO_PORT = """
import os, socket
listener = socket.create_server(("127.0.0.1", 9000))
first = socket.create_connection(("127.0.0.1", 9000))
second = socket.socket()
try:
    second.connect(("127.0.0.1", 9000))
except OSError as error:
    print(os.getpid(), error.errno)
"""


@contextlib.contextmanager
def namespace():
    name = f"pbprotocol{os.getpid()}"
    try:
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


def case_no_free_port():
    with namespace() as name, Dump() as dump:
        command = f"echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range && exec {sys.executable} -c '{NO_PORT}'"
        done = subprocess.run(["ip", "netns", "exec", name, "sh", "-c", command], capture_output=True, text=True, check=True)
        pid, error = map(int, done.stdout.split())
    assert error == errno.EADDRNOTAVAIL, done.stdout
    failed = only(dump.of("failed", pid=pid, dst_port=9000))
    assert failed["outcome"] == "error" and "before a packet left" in failed["cause"] and "src.port" not in failed, failed
    assert len(dump.of("open", pid=pid, direction="out")) == 1, dump.of("open", pid=pid)


def case_not_seen():
    """Without a route there is no hook; SCTP, raw and packet sockets have none. doctor says so."""
    with namespace() as name, Dump() as dump:
        program = ("import os, socket\nprint(os.getpid())\ntry:\n  socket.create_connection(('192.0.2.1', 9))\nexcept OSError as error:\n  print(error.errno)\n"
                   "for kind in ((socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), (socket.AF_PACKET, socket.SOCK_RAW, 0)): socket.socket(*kind).close()\n")
        pid, error = map(int, subprocess.run(["ip", "netns", "exec", name, sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split())
    assert error == errno.ENETUNREACH, error
    assert not [record for record in dump.records if record.get("pid") == pid and record["kind"] != "process"]
    seen = [line for line in dump.log.splitlines() if "Never seen" in line]
    for word in ("aw and packet sockets", "SCTP", "no route"):
        assert seen and word in seen[0], (word, seen)


class IoUring:
    """Just enough of io_uring to make one call at a time, by system calls alone."""

    SETUP, ENTER = 425, 426

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        parameters = (ctypes.c_uint32 * 30)()
        self.fd = self.libc.syscall(self.SETUP, 4, ctypes.byref(parameters))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        words = list(parameters)
        self.sq, self.cq = words[10:20], words[20:30]
        self.sq_ring = mmap.mmap(self.fd, self.sq[6] + 4 * words[0], offset=0)
        self.cq_ring = mmap.mmap(self.fd, self.cq[5] + 16 * words[1], offset=0x8000000)
        self.entries = mmap.mmap(self.fd, 64 * words[0], offset=0x10000000)

    def call(self, operation, fd, address=0, length=0, offset=0, flags=0):
        """The result of one operation; negative is an error number."""
        self.entries[:64] = struct.pack("<BBHiQQIIQ24x", operation, 0, 0, fd, offset, address, length, flags, 0)
        tail, = struct.unpack_from("<I", self.sq_ring, self.sq[1])
        mask, = struct.unpack_from("<I", self.sq_ring, self.sq[2])
        struct.pack_into("<I", self.sq_ring, self.sq[6] + 4 * (tail & mask), 0)
        struct.pack_into("<I", self.sq_ring, self.sq[1], tail + 1)
        if self.libc.syscall(self.ENTER, self.fd, 1, 1, 1, 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        head, = struct.unpack_from("<I", self.cq_ring, self.cq[0])
        mask, = struct.unpack_from("<I", self.cq_ring, self.cq[2])
        result, = struct.unpack_from("<i", self.cq_ring, self.cq[5] + 16 * (head & mask) + 8)
        struct.pack_into("<I", self.cq_ring, self.cq[0], head + 1)
        return result

    def close(self):
        for ring in (self.sq_ring, self.cq_ring, self.entries):
            ring.close()
        os.close(self.fd)


def case_io_uring():
    """connect, accept, send and receive past the system calls: sockets' hooks are not passed by."""
    accept, connect, send, receive = 13, 16, 26, 27
    listener, port = listening()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    ring = IoUring()
    place = lambda number: ctypes.create_string_buffer(struct.pack("<H", socket.AF_INET) + struct.pack(">H", number) + socket.inet_aton("127.0.0.1") + bytes(8), 16)
    with Dump() as dump:
        client, datagrams = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        address = place(port)
        assert ring.call(connect, client.fileno(), ctypes.addressof(address), 0, 16) == 0
        accepted = ring.call(accept, listener.fileno())
        assert accepted >= 0, accepted
        text = ctypes.create_string_buffer(b"hello", 16)
        assert ring.call(send, client.fileno(), ctypes.addressof(text), 5) == 5
        assert ring.call(receive, accepted, ctypes.addressof(text), 16) == 5
        to = place(server.getsockname()[1])
        assert ring.call(connect, datagrams.fileno(), ctypes.addressof(to), 0, 16) == 0
        assert ring.call(send, datagrams.fileno(), ctypes.addressof(text), 5) == 5
        server.recv(10)
        ports = client.getsockname()[1], datagrams.getsockname()[1]
        client.close()
        datagrams.close()
        os.close(accepted)
    ring.close()
    for one in (listener, server):
        one.close()
    for direction in ("out", "in"):
        closed = only(dump.of("close", direction=direction, src_port=ports[0], dst_port=port))
        assert closed["pid"] == os.getpid() and closed["bytes_out" if direction == "out" else "bytes_in"] == 5, closed
    closed = only(dump.of("close", proto="udp", direction="out", src_port=ports[1]))
    assert closed["pid"] == os.getpid() and closed["bytes_out"] == 5, closed


def case_tcp_changes_hands():
    """Who connected, who inherited over fork and exec, who got it by descriptor, who closed."""
    listener, port = listening()
    with Dump() as dump:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.send(b"x")
        program = f"import os, socket; s = socket.socket(fileno={client.fileno()}); s.send(b'inherited'); s.detach(); print(os.getpid())"
        heir = int(subprocess.run([sys.executable, "-c", program], pass_fds=[client.fileno()], capture_output=True, text=True, check=True).stdout)
        ours, theirs = socket.socketpair(socket.AF_UNIX)

        def receive_and_send():
            _, ancillary, _, _ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
            fds = array.array("i")
            fds.frombytes(ancillary[0][2])
            socket.socket(fileno=fds[0]).send(b"passed")

        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])
        passed = in_child(receive_and_send)
        closer = os.fork()
        if closer == 0:
            ours.close()
            accepted.close()
            theirs.recv(1)
            os._exit(0)
        client_port = client.getsockname()[1]
        client.close()
        ours.send(b"x")
        os.waitpid(closer, 0)
        accepted.close()
    listener.close()
    opened = only(dump.of("open", direction="out", src_port=client_port))
    assert (opened["pid"], opened["role"]) == (os.getpid(), "creator"), opened
    uses = {(one["pid"], one["role"]) for one in dump.of("used_by", direction="out", src_port=client_port)}
    assert uses == {(heir, "user"), (passed, "user"), (closer, "closer")}, (uses, heir, passed, closer)
    exe = only(dump.of("used_by", direction="out", src_port=client_port, pid=heir))["exe"]
    assert os.path.realpath(exe) == os.path.realpath(sys.executable), exe


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
