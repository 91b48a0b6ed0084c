#!/usr/bin/env python3
"""Capture where it is hard: what was there before it, containers of both control group versions, sockets that change hands, rings that
are too small, rights and kernel features that are missing. Each case is one run of capture_dump and one look at its records."""
import collections
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

import harness

DUMP = os.environ.get("CAPTURE_DUMP", "build/release/src/capture/capture_dump")
LOAD = os.environ.get("CAPTURE_LOAD", "build/release/src/capture/capture_load")
CONTAINER = "8f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09ab7f3e1558f2c41d09a"


class Dump:
    """capture_dump around a block; its records and its last words afterwards."""

    def __init__(self, *args, before=()):
        self.command = [*before, DUMP, *map(str, args)]

    def __enter__(self):
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=self.out, stderr=self.err)
        harness.wait_for(lambda: "ready" in self.text(self.err) or self.process.poll() is not None, "capture to start")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.code = self.process.wait(30)
        self.log = self.text(self.err)
        self.records = harness.rows(self.text(self.out))

    @staticmethod
    def text(file):
        return os.pread(file.fileno(), 1 << 30, 0).decode()

    def of(self, kind, **fields):
        wanted = {name.replace("_", ".", 1) if name.startswith(("src_", "dst_")) else name: value for name, value in fields.items()}
        return [record for record in self.records if record["kind"] == kind and all(record.get(name) == value for name, value in wanted.items())]

    def total(self, name):
        words = self.log.split("\n")[-2].split()
        return int(words[words.index(name) + 1])


def listening():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener, listener.getsockname()[1]


def case_there_before():
    listener, port = listening()
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = listener.accept()
    client_port = client.getsockname()[1]
    with Dump() as dump:
        client.sendall(b"x" * 10)
        accepted.recv(10)
        for one in (client, accepted, listener):
            one.close()
    listens = dump.of("listen", dst_port=port)
    assert [("cause" in one, "end" in one) for one in listens] == [(True, False), (False, True)], listens
    for direction in ("out", "in"):
        found = dump.of("existing", direction=direction, src_port=client_port, dst_port=port)
        assert len(found) == 1 and found[0]["pid"] == os.getpid() and "start" not in found[0], found
        closes = dump.of("close", direction=direction, src_port=client_port)
        assert len(closes) == 1 and closes[0]["conn"] == found[0]["conn"] and "start" not in closes[0], closes
    assert not dump.of("open", src_port=client_port), "one that was there before is not opened again"


def connect_in_group(folder, port):
    """A process that enters the group, then runs another program that connects; its port."""
    pathlib.Path(folder).mkdir(parents=True)
    program = f"import socket; s = socket.create_connection(('127.0.0.1', {port})); print(s.getsockname()[1])"
    shell = f"echo $$ > {folder}/cgroup.procs && exec {sys.executable} -c \"{program}\""
    return int(subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout)


def remove_groups(*folders):
    for folder in folders:
        path = pathlib.Path(folder)
        while path.name.startswith(("docker-", "pbtest")) or path.name == CONTAINER:
            harness.wait_for(lambda: not path.exists() or not (path / "cgroup.procs").read_text(), "the group to be empty")
            if path.exists():
                path.rmdir()
            path = path.parent


def cgroup_roots():
    """Mount points of cgroup2 and of a version 1 memory or pids hierarchy, where there are."""
    two, one = None, None
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            two = two or fields.split()[4]
        if kind == "cgroup" and "memory" in options.split()[-1].split(","):
            one = fields.split()[4]
    return two, one


def case_containers():
    listener, port = listening()
    two, one = cgroup_roots()
    name = f"pbtest{os.getpid()}"
    groups = {root: folder for root, folder in ((two, f"{two}/{name}/docker-{CONTAINER}.scope"), (one, f"{one}/{name}/{CONTAINER}")) if root}
    try:
        with Dump() as dump:
            # Made while capture runs, gone before anybody could look.
            ports = {root: connect_in_group(folder, port) for root, folder in groups.items()}
            remove_groups(*groups.values())
    finally:
        remove_groups(*groups.values())
    for root, client_port in ports.items():
        opened = dump.of("open", direction="out", src_port=client_port)
        assert len(opened) == 1 and opened[0].get("container") == CONTAINER, (root, opened)
        process = dump.of("process", pid=opened[0]["pid"])[-1]
        assert CONTAINER in process["cgroup"] and process["container"] == CONTAINER, process
    listener.close()


def case_changing_hands():
    listener, port = listening()
    with Dump() as dump:
        made_here = socket.socket()
        child = os.fork()
        if child == 0:
            made_here.connect(("127.0.0.1", port))
            os._exit(0)
        os.waitpid(child, 0)
        client_port = made_here.getsockname()[1]
        accepted, _ = listener.accept()
        worker = os.fork()
        if worker == 0:
            accepted.send(b"x")
            os._exit(0)
        os.waitpid(worker, 0)
        made_here.recv(1)
        accepted.close()
        made_here.close()
    out = dump.of("open", direction="out", src_port=client_port)
    assert [(one["pid"], one["role"]) for one in out] == [(child, "user")], out
    uses = collections.defaultdict(list)
    for use in dump.of("used_by", src_port=client_port):
        uses[use["direction"]].append((use["pid"], use["role"]))
    assert uses["out"] == [(os.getpid(), "creator")], uses
    assert uses["in"] == [(worker, "acceptor")], uses
    assert dump.of("open", direction="in", src_port=client_port)[0]["role"] == "listener"
    assert dump.of("close", direction="in", src_port=client_port)[0]["pid"] == worker
    listener.close()


def case_accepted_and_idle():
    """Who accepted is known before it uses or closes the socket, from its question for the peer's address."""
    listener, port = listening()
    has_accepted, says = os.pipe()
    worker = None
    try:
        with Dump() as dump:
            client = socket.create_connection(("127.0.0.1", port))
            client_port = client.getsockname()[1]
            worker = os.fork()
            if worker == 0:
                os.close(dump.process.stdin.fileno())
                accepted = listener.accept()
                os.write(says, b"x")
                signal.pause()
            os.read(has_accepted, 1)
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    uses = dump.of("used_by", src_port=client_port, direction="in")
    assert [(use["pid"], use["role"]) for use in uses] == [(worker, "acceptor")], uses
    assert not dump.of("close", src_port=client_port, direction="in")
    client.close()
    listener.close()


def case_asking_is_not_accepting():
    """A process that is handed an accepted socket and asks for the peer's name did not accept it: who uses it first is named."""
    listener, port = listening()
    libc = ctypes.CDLL(None, use_errno=True)
    with Dump() as dump:
        client = socket.create_connection(("127.0.0.1", port))
        client_port = client.getsockname()[1]
        accepted = socket.socket(fileno=libc.accept(listener.fileno(), None, None))
        asks = os.fork()
        if asks == 0:
            os._exit(0 if accepted.getpeername()[1] == client_port else 1)
        assert os.waitpid(asks, 0)[1] == 0
        uses = os.fork()
        if uses == 0:
            accepted.send(b"x")
            os._exit(0)
        os.waitpid(uses, 0)
        accepted.close()
        client.close()
    named = [(use["pid"], use["role"]) for use in dump.of("used_by", src_port=client_port, direction="in")]
    assert named == [(uses, "acceptor")], (asks, named)
    listener.close()


def case_one_socket_connects_twice():
    listener, port = listening()
    with Dump() as dump:
        client = socket.socket()
        try:
            client.connect(("127.0.0.1", 1))
        except ConnectionRefusedError:
            pass
        client.connect(("127.0.0.1", port))
        client_port = client.getsockname()[1]
        client.close()
    opened = dump.of("open", direction="out", src_port=client_port)
    assert len(opened) == 1, opened
    failed = dump.of("failed", pid=os.getpid(), dst_port=1)
    assert len(failed) == 1 and failed[0]["conn"] != opened[0]["conn"], (failed, opened)
    assert failed[0]["conn"][21:] == opened[0]["conn"][21:], "the same socket"
    listener.close()


def held_load(seconds, *rings):
    """capture_load under a capture that is stopped meanwhile: how many connections it made, and the dump."""
    with Dump(*rings) as dump:
        dump.process.send_signal(signal.SIGSTOP)
        try:
            made = int(subprocess.run([LOAD, str(seconds)], capture_output=True, text=True, check=True).stdout.split()[0])
        finally:
            dump.process.send_signal(signal.SIGCONT)
    return made, dump


def facts_of(dump, pid):
    """Openings, ends and listens that were seen as they happened; what a sweep found missing has a cause and is none."""
    kinds = collections.Counter()
    seen = collections.Counter()
    for record in dump.records:
        if record["kind"] in ("open", "close", "listen") and record.get("pid") == pid and "cause" not in record:
            kinds[record["kind"]] += 1
            seen[record["kind"], record["conn"], "end" in record] += 1
    assert max(seen.values()) == 1, [one for one, count in seen.items() if count > 1][:5]
    return kinds


def case_every_parked_event_arrives():
    # Beginnings stay with their sockets, ends have a ring of their own: with room there nothing is lost.
    made, dump = held_load(0.3, 16384, 16 << 20, 64 << 20)
    load = dump.of("process", comm="capture_load")[0]["pid"]
    facts = facts_of(dump, load)
    assert facts == {"open": 2 * made, "close": 2 * made, "listen": 2}, (made, facts)
    assert not dump.of("gap") and dump.total("lost") == 0, dump.of("gap")
    assert dump.total("parked") > 0, "the ring was never full: the case shows nothing"


def all_facts(dump):
    """As facts_of(), of every process, each with its moment; uses as well, which are lost where ends are."""
    found = {}
    for record in dump.records:
        if record["kind"] in ("open", "close", "failed", "listen", "used_by") and record.get("proto") == "tcp" and "cause" not in record:
            use = (record.get("pid"), record.get("role")) if record["kind"] == "used_by" else ()
            found[record["kind"], record["conn"], "end" in record, *use] = record["time"]
    return found


def case_gaps_count_exactly_what_is_missing():
    # What others on this machine lose meanwhile is counted as well: a second capture, with room for everything, knows it.
    with Dump() as whole:
        made, dump = held_load(0.3, 16384, 16 << 20, 16384)
    assert whole.total("lost") == 0 and not whole.of("gap"), whole.log
    load = whole.of("process", comm="capture_load")[0]["pid"]
    assert sum(facts_of(whole, load).values()) == 4 * made + 2, (made, facts_of(whole, load))
    facts_of(dump, load)  # each once
    gaps = [gap for gap in dump.of("gap") if "socket events" in gap["cause"]]
    counted = sum(gap["count"] for gap in gaps)
    assert counted == dump.total("lost") and counted > 0, (made, counted, dump.log)
    assert all(gap["start"] <= gap["end"] and gap["about"] == "test/socket" for gap in gaps), gaps
    first, last = min(gap["start"] for gap in gaps), max(gap["end"] for gap in gaps)
    happened, recorded = all_facts(whole), all_facts(dump)
    missing = [fact for fact, moment in happened.items() if first <= moment <= last and fact not in recorded]
    assert counted == len(missing), (counted, len(missing), collections.Counter(fact[0] for fact in missing))
    of_load = {record["conn"] for record in whole.records if record.get("pid") == load and record["kind"] in ("open", "listen")}
    outside = [fact for fact, moment in happened.items() if fact[1] in of_load and fact not in recorded and not first <= moment <= last]
    assert not outside, (first, last, outside[:5])


def case_many_older_sockets():
    # More than the kernel hands over at a time: each exactly once.
    listener, port = listening()
    ends = []
    for _ in range(400):
        ends.append(socket.create_connection(("127.0.0.1", port)))
        ends.append(listener.accept()[0])
    with Dump() as dump:
        pass
    found = collections.Counter(one["conn"] for one in dump.of("existing", dst_port=port))
    assert len(found) == 800 and set(found.values()) == {1}, (len(found), found.most_common(3))
    for one in ends:
        one.close()
    listener.close()


def case_process_ring_too_small():
    with Dump(64 << 20, 4096) as dump:
        # The reader is held, so that the ring fills however slow this machine is.
        dump.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(40):
                subprocess.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do (:) & done; wait"], check=True)
        finally:
            dump.process.send_signal(signal.SIGCONT)
    gaps = dump.of("gap")
    assert dump.total("lost") > 0, "the ring was never full: the case shows nothing"
    assert sum(gap["count"] for gap in gaps) == dump.total("lost"), (gaps, dump.log)
    assert all(gap["start"] <= gap["end"] and gap["about"] == "test/socket" for gap in gaps), gaps


def detach(program):
    """As an administrator's mistake would: the program's link loses its control group."""
    def ask(*words):
        return json.loads(subprocess.run(["bpftool", "-j", *words], capture_output=True, text=True, check=True).stdout)
    ids = {one["id"] for one in ask("prog", "show") if one.get("name") == program}
    links = [one["id"] for one in ask("link", "show") if one.get("prog_id") in ids and one.get("cgroup_id")]
    # Another portbook may run on this machine: the newest link is this case's.
    subprocess.run(["bpftool", "link", "detach", "id", str(max(links))], check=True, capture_output=True)


def case_detached_program():
    listener, port = listening()
    with Dump() as dump:
        detach("on_socket")
        unseen = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        unseen_port = unseen.getsockname()[1]
        harness.wait_for(lambda: "was detached by somebody" in dump.text(dump.out), "the gap")
        harness.wait_for(lambda: f'"src.port":{unseen_port}' in dump.text(dump.out), "the snapshot after it")
        after = socket.create_connection(("127.0.0.1", port))
        after_port = after.getsockname()[1]
        for one in (unseen, accepted, after):
            one.close()
    gaps = dump.of("gap")
    assert len(gaps) == 1 and "on_socket" in gaps[0]["cause"] and gaps[0]["start"] <= gaps[0]["end"], gaps
    for direction in ("out", "in"):
        found = dump.of("existing", direction=direction, src_port=unseen_port)
        assert len(found) == 1 and not dump.of("open", src_port=unseen_port), found
        assert found[0]["pid"] == os.getpid() and found[0]["time"] >= gaps[0]["start"], found
        closes = dump.of("close", direction=direction, src_port=unseen_port)
        assert len(closes) == 1 and closes[0]["conn"] == found[0]["conn"], closes
        assert len(dump.of("open", direction=direction, src_port=after_port)) == 1
    listener.close()


def case_without_privilege():
    with Dump(before=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]) as dump:
        pass
    assert dump.code == 0, dump.log
    assert "off  TCP connections as they happen: Only root may watch the kernel." in dump.log, dump.log
    assert "warn Connections, by looking:" in dump.log, dump.log
    standing = [gap for gap in dump.of("gap") if "end" not in gap]
    assert standing and "polled: connections" in standing[0]["cause"], standing


def case_helper_gone():
    with Dump(before=["env", "CAPTURE_DUMP_APART=1"]) as dump:
        helper = int(re.search(r"^helper (\d+)$", dump.text(dump.err), re.M).group(1))
        with open(f"/proc/{helper}/status", encoding="ascii") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["CapBnd"] == "0" * 16, status
        assert status["Uid"].split()[0] != "0" and status["CapEff"] == status["CapPrm"], status
        os.kill(helper, signal.SIGKILL)
        # The stream goes on by itself: the gap comes within a second or two.
        harness.wait_for(lambda: "privileged helper is gone" in dump.text(dump.out), "the gap")
    assert dump.code == 0, dump.log
    gaps = [gap for gap in dump.of("gap") if "end" not in gap]
    assert gaps and "privileged helper is gone" in gaps[0]["cause"], gaps


def case_without_btf():
    hide = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\""
    with Dump(before=["unshare", "-m", "sh", "-c", hide]) as dump:
        pass
    assert dump.code == 0, dump.log
    assert "TCP connections" in dump.log and "off" in dump.log, dump.log
    assert [gap for gap in dump.of("gap") if "end" not in gap], dump.records


def case_without_cgroup2():
    unmount = "grep ' - cgroup2 ' /proc/self/mountinfo | while read -r _ _ _ _ at _; do umount \"$at\"; done; exec \"$0\""
    with Dump(before=["unshare", "-m", "sh", "-c", unmount]) as dump:
        pass
    assert dump.code == 0, dump.log
    assert "cgroup2 is not mounted" in dump.log, dump.log
    assert [gap for gap in dump.of("gap") if "end" not in gap], dump.records


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
        except AssertionError as wrong:
            failed += 1
            print("WRONG", name, "at line", wrong.__traceback__.tb_next.tb_lineno, str(wrong)[:1500])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
