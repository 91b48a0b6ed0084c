#!/usr/bin/env python3
"""Syslog received from real senders: logger over UDP, TCP and a unix socket, and a flood, which is cut, counted, and keeps nobody else out;
with --rsyslog that daemon over TCP, while the receiver is stopped and started and the book is killed.
"""
import contextlib
import shutil
import signal
import socket
import subprocess
import sys

import harness
from harness import wait_for


def rows_of(data, words):
    done = harness.run("search", f"records:all {words}", "-n", "10000", "--json", data=data, check=False)
    return [row["record"] for row in harness.rows(done.stdout)]


class Receiver:
    """`portbook receive` on a port of its own for UDP and TCP, and a unix socket."""

    def __init__(self, folder, data, *more):
        self.port = harness.free_port()
        self.unix = folder / "syslog.sock"
        self.log = folder / "receive.log"
        self.command = [harness.PORTBOOK, "receive", "--syslog-udp", f"127.0.0.1:{self.port}", "--syslog-tcp", f"127.0.0.1:{self.port}", "--syslog-unix", str(self.unix),
                        "--data", str(data), "--zone", "UTC", *more]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: self.process.poll() is not None or harness.listens(self.port), "the receiver", 60)
        assert self.process.poll() is None, self.log.read_text()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60 * harness.PATIENCE) == 0, self.log.read_text()


def logger_is_received(data, receiver):
    ways = {"udp5424": ["-d", "--rfc5424"], "udp3164": ["-d", "--rfc3164"], "tcp5424": ["-T", "--octet-count", "--rfc5424"], "tcp3164": ["-T", "--rfc3164"]}
    for tag, words in ways.items():
        subprocess.run(["logger", "-n", "127.0.0.1", "-P", str(receiver.port), *words, "-t", tag, f"hello of {tag}"], check=True)
    subprocess.run(["logger", "-u", str(receiver.unix), "-t", "local", "hello of local"], check=True)
    line = "Accepted publickey for alice from 10.8.1.4 port 40112 ssh2: ED25519 SHA256:abc"
    subprocess.run(["logger", "-n", "127.0.0.1", "-P", str(receiver.port), "-d", "--rfc5424", "-t", "sshd", line], check=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<999>no header \xff at all", ("127.0.0.1", receiver.port))
    for tag in [*ways, "local"]:
        found = wait_for(lambda tag=tag: [one for one in rows_of(data, "kind:note") if one.get("app") == tag], f"the message of {tag}", 60)
        assert len(found) == 1 and found[0]["message"] == f"hello of {tag}" and "cause" not in found[0], found
        assert found[0]["attrs"]["from"].startswith("pid " if tag == "local" else "127.0.0.1:"), found
        assert (found[0]["attrs"].get("header_time") == "zone assumed") == (tag in ("udp3164", "tcp3164", "local")), found
    login = wait_for(lambda: rows_of(data, "principal:alice"), "the login", 60)
    assert login[0]["src.port"] == 40112 and login[0]["vantage"] == "app", login
    mangled = wait_for(lambda: rows_of(data, 'cause:"not understood"'), "what is no syslog", 60)
    assert len(mangled) == 1 and mangled[0]["attrs"]["header_time"] == "none", mangled
    print("ok: logger over UDP, TCP and a unix socket")


@contextlib.contextmanager
def rsyslog(folder, port):
    """A daemon of our own that forwards what comes to its socket; yields that."""
    inward = folder / "rsyslog.sock"
    (folder / "rsyslog.conf").write_text(
        f'module(load="imuxsock" SysSock.Use="off")\ninput(type="imuxsock" Socket="{inward}" CreatePath="off" RateLimit.Interval="0")\n'
        f'global(workDirectory="{folder}")\n'
        f'*.* action(type="omfwd" Target="127.0.0.1" Port="{port}" Protocol="tcp" TCP_Framing="octet-counted" Template="RSYSLOG_SyslogProtocol23Format" '
        'action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="LinkedList" queue.size="100000")\n')
    with open(folder / "rsyslog.log", "ab") as log:
        daemon = subprocess.Popen(["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "rsyslog.pid")], stdout=log, stderr=log)
    try:
        wait_for(inward.exists, "rsyslog", 60)
        yield inward
    finally:
        daemon.terminate()
        daemon.wait(60)


def restarts_lose_nothing(folder, data, receiver, book):
    sent = 0
    with rsyslog(folder, receiver.port) as inward, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(inward))

        def send(count):
            nonlocal sent
            for _ in range(count):
                sender.send(f"<134>Nov 24 12:00:00 stream: number {sent}.".encode())
                sent += 1

        def arrived():
            found = [one for one in rows_of(data, "kind:note") if one.get("app") == "stream"]
            return sorted(int(one["message"].split()[1][:-1]) for one in found)

        def all_arrived():
            numbers = arrived()
            return numbers if len(numbers) >= sent else None

        send(200)
        wait_for(all_arrived, "the first messages", 60)
        send(300)
        receiver.stop()
        send(300)
        receiver.start()
        send(300)
        book.kill()
        send(300)
        with harness.Book(data):
            send(300)
            try:
                numbers = wait_for(all_arrived, f"{sent} messages", 120)
            except AssertionError as error:
                lacking = sorted(set(range(sent)) - set(arrived()))
                raise AssertionError(f"{error}; lacking {lacking[:10]} and more, {len(lacking)} of them") from error
            assert numbers == list(range(sent)), "messages are lost or doubled"
            receiver.stop()
    print(f"ok: {sent} messages of rsyslog once each, over restarts of receiver and book")


def flood_is_cut(data, receiver):
    """Ten times the limit from one sender, while another sends one message."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as calm:
        flood.connect(("127.0.0.1", receiver.port))
        calm.connect(("127.0.0.1", receiver.port))
        for number in range(10_000):
            flood.send(f"<134>1 2026-11-24T12:00:00Z h flood - - - {number}".encode())
        calm.send(b"<134>1 2026-11-24T12:00:00Z h calm - - - here")

    def counted():
        lost = sum(one.get("count", 0) for one in rows_of(data, "kind:gap") if one.get("about", "").endswith("/syslog/udp"))
        return lost + sum(one.get("app") == "flood" for one in rows_of(data, "app:flood")) if lost else 0
    wait_for(lambda: counted() == 10_000, "each message of the flood to be there or counted", 60)
    assert wait_for(lambda: rows_of(data, "app:calm"), "the other sender's message", 60)
    gap = next(one for one in rows_of(data, "kind:gap") if "within a second from 127.0.0.1:" in one.get("cause", ""))
    assert gap["start"] <= gap["end"], gap
    print("ok: a flood is cut and counted")


def refusals(data):
    for words, said in ((["--syslog-udp", "0.0.0.0:5514"], "not loopback"), ([], "nothing to receive on"), (["--syslog-tcp", "x"], "no address")):
        done = harness.run("receive", *words, data=data, check=False)
        assert done.returncode == 2 and said in done.stderr, done


def main():
    harness.need_root()
    with_rsyslog = "--rsyslog" in sys.argv
    if with_rsyslog and not shutil.which("rsyslogd"):
        print("SKIPPED: needs rsyslogd, which is not installed for this, since it would begin to log")
        return 77
    with harness.folder() as folder:
        data = folder / "book"
        book = harness.Book(data)
        with book:
            receiver = Receiver(folder, data, "--rate", "1000")
            try:
                if with_rsyslog:
                    restarts_lose_nothing(folder, data, receiver, book)
                    return 0
                logger_is_received(data, receiver)
                wait_for(lambda: "1 not understood" in harness.run("doctor", data=data, check=False).stdout, "doctor to tell of it", 60)
                refusals(data)
                flood_is_cut(data, receiver)
                receiver.stop()
            finally:
                if receiver.process.poll() is None:
                    receiver.process.kill()
                    receiver.process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
