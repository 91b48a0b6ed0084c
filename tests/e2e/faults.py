#!/usr/bin/env python3
"""The whole program under steady load while it is treated badly, at random moments: agent, book and helper are killed with SIGKILL, the agent
is held for ten seconds, the disk is filled, conntrack events are made to overflow, a kernel program is detached. Afterwards every connection
of the load is recorded with its ports and its process, or lies in a gap of its source; every acknowledged checkpoint stands; `portbook
verify` passes; memory did not grow; nothing is left behind.

    faults.py [--seed N] [--seconds S] [--quick]      the seed is printed; ten minutes: --seconds 600; --quick: each fault once, soon after the other
"""
import argparse
import base64
import collections
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import time

import exported_log
import harness
import truth
from truth import sh

LOAD = os.environ.get("STEADY_LOAD", "build/release/tests/steady_load")
RATE = 40                       # connections per second of each of three loads
DISK_BYTES = 768 << 20          # of the test's own tmpfs, which holds the book and the spool
LONG_SECONDS = 300              # in shorter runs memory has only begun to be used, and is not judged
KINDS = {1: "open", 2: "close", 3: "failed", 6: "existing", 8: "nat_open", 14: "gap", 15: "source_start"}
MS = 1_000_000
FOREVER = 1 << 63
RECORDED_SHARE_MIN = 0.5        # of connections; else gaps excuse too much for the test to show anything
# Each restart of the book reads every block back and keeps what fits: so little that the first third of the run fills it. Of what then
# grows, the open block and the one being sealed, some 25 MiB each, come and go.
CACHE_MAX = "32MiB"
GROWTH_BYTES_MAX = 64 << 20     # of a process's memory, from the first third of the run to the last


class Program:
    """`portbook up` on a disk of its own, and its processes by what they are."""

    def __init__(self, disk):
        self.data, self.port = disk / "book", harness.free_port()
        self.log = disk.parent / "up.log"
        command = [harness.PORTBOOK, "up", "--no-logs", "--data", str(self.data), "--spool", str(disk / "spool"), "--cache-max", CACHE_MAX,
                   "--listen", f"127.0.0.1:{self.port}"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def processes(self):
        """Role to pid: supervisor, book, agent, helper (a child of the agent)."""
        found = {"supervisor": self.process.pid}
        for pid in children(self.process.pid):
            words = words_of(pid)
            role = "book" if "serve" in words else "agent" if "agent" in words else None
            if role:
                found[role] = pid
        for pid in children(found.get("agent", 0)):
            found["helper"] = pid
        return found

    def wait_whole(self):
        """Every part runs; the helper too, for without it the agent's fault says nothing."""
        roles = {"book", "agent", "helper"}
        harness.wait_for(lambda: self.process.poll() is not None or roles <= set(self.processes()), f"{sorted(roles)} to run", 60)
        assert self.process.poll() is None, f"portbook up ended:\n{self.log.read_text()}"

    def wait_delivered(self):
        """The agent captures, and the book has everything that it kept."""
        status = {}

        def delivered():
            with contextlib.suppress(OSError, AssertionError):
                status.update(harness.get_json(self.port, "/api/v1/status"))
                return any(one["state"] == "capturing" and not one["behind_since"] for one in status["agents"])
            return False
        try:
            harness.wait_for(delivered, "the agent to deliver everything", 60)
        except AssertionError:
            print(json.dumps(status, indent=1), self.log.read_text()[-4000:], sh("df", str(self.data)), sep="\n")
            raise

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def children(pid):
    try:
        return [int(child) for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []


def words_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return []


def links_of(pids, kind=""):
    """Ids of the kernel program links that these processes hold."""
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for file in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
                with contextlib.suppress(OSError):
                    match = re.search(rf"^link_type:\s+{kind}.*\nlink_id:\s+(\d+)", file.read_text(), re.MULTILINE)
                    found |= {int(match[1])} if match else set()
    return found


def resident(pid):
    """Memory of its own: the kernel's rings, which it maps, are as large as they are."""
    with contextlib.suppress(OSError, AttributeError):
        return int(re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) << 10
    return None


class Watch:
    """What is remembered beside the faults: memory each second, and checkpoints as they are acknowledged."""

    def __init__(self, program):
        self.program, self.memory, self.checkpoints = program, collections.defaultdict(list), {}

    def look(self):
        for role, pid in self.program.processes().items():
            if (bytes_ := resident(pid)) is not None:
                self.memory[role].append((time.monotonic(), bytes_))
        with contextlib.suppress(OSError, AssertionError):
            status, body = harness.get(self.program.port, "/api/v1/checkpoint")
            if status == 200:
                lines = body.decode().split("\n")
                self.checkpoints[int(lines[1])] = lines[2]

    def pause(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.look()
            time.sleep(max(0, min(1, until - time.monotonic())))


def kill(role):
    def fault(program, watch, world):
        pid = program.processes()[role]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        harness.wait_for(lambda: program.processes().get(role, pid) != pid, f"another {role}", 40)
    fault.__name__ = f"kill_{role}"
    return fault


def hold_agent(program, watch, world):
    pid = program.processes()["agent"]
    os.kill(pid, signal.SIGSTOP)
    try:
        watch.pause(2 if world.quick else 10)
    finally:
        os.kill(pid, signal.SIGCONT)


def fill_disk(program, watch, world):
    filler = program.data.parent / "filler"
    try:
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        watch.pause(2 if world.quick else 6)
    finally:
        filler.unlink(missing_ok=True)


def overflow_conntrack(program, watch, world):
    """More new entries than fit into a socket's buffer while nobody reads it."""
    pid = program.processes()["agent"]
    os.kill(pid, signal.SIGSTOP)
    try:
        sh("ip", "netns", "exec", world.client, LOAD, "flood", truth.SERVER4, "40000")
    finally:
        os.kill(pid, signal.SIGCONT)


def detach_program(program, watch, world):
    """One of the cgroup links that this program's own processes hold; it is attached again within a second."""
    program.wait_delivered()  # an agent that has just begun has not attached all of them
    links = links_of(program.processes().values(), "cgroup")
    assert links, "no link of this program is found"
    sh("bpftool", "link", "detach", "id", str(world.chance.choice(sorted(links))))
    harness.wait_for(lambda: len(links_of(program.processes().values(), "cgroup")) >= len(links), "the program to be attached again")


FAULTS = [kill("agent"), kill("book"), kill("helper"), hold_agent, fill_disk, overflow_conntrack, detach_program]


class World:
    def __init__(self, client, router, server, chance, quick):
        self.client, self.router, self.server, self.chance, self.quick = client, router, server, chance, quick
        self.netns = {name: os.stat(f"/run/netns/{name}").st_ino for name in (client, router, server)}


@contextlib.contextmanager
def steady_load(world, path):
    """Three loads through the router: masqueraded IPv4, masqueraded IPv6, and translated by the client's own host."""
    places = [(truth.SERVER4, truth.KEEPING), (truth.SERVER6, truth.RANDOM), (truth.SERVER4, truth.OWN)]
    running = [subprocess.Popen(["ip", "netns", "exec", world.server, LOAD, "serve", str(path), ip, str(port)]) for ip, port in places]
    try:
        harness.wait_for(lambda: path.exists() and path.read_text().count('"op":"listen"') == 2 * len(places), "the servers to listen")
        loads = [subprocess.Popen(["ip", "netns", "exec", world.client, LOAD, "run", str(path), str(RATE), ip, str(port)]) for ip, port in places]
        running += loads
        yield
        for load in loads:
            load.terminate()
            assert load.wait(30) == 0, "a program of the test itself failed"
    finally:
        for process in running:
            process.kill()
            process.wait()


@contextlib.contextmanager
def small_disk(folder):
    disk = folder / "disk"
    disk.mkdir()
    sh("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "none", str(disk))
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def text_of(ip):
    return socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)


class Recorded:
    """The exported log, by the ends of connections, and the gaps of each source."""

    def __init__(self, entries, world):
        names = exported_log.field_names()
        self.by_ends = collections.defaultdict(list)
        self.gaps = collections.defaultdict(list)
        self.kinds = collections.Counter()
        self.without_start = []
        protos = {6: "tcp", 17: "udp"}
        for entry in entries:
            record = exported_log.decode(entry, names)
            kind = KINDS.get(record["kind"])
            source = record.get("about") or record.get("source", "")
            if kind == "gap":
                self.gaps[source.rpartition("/")[2]].append((record.get("start", 0), record.get("end", FOREVER), record.get("cause", ""), record.get("count")))
                if "start" not in record:
                    self.without_start.append(record)
            elif kind == "source_start":
                # What was to last until capture begins anew did.
                gaps = self.gaps[source.rpartition("/")[2]]
                gaps[:] = [(start, min(end, max(start, record["time"])) if end == FOREVER else end, *rest) for start, end, *rest in gaps]
            if kind in ("open", "close", "failed", "existing", "nat_open") and record.get("netns") in world.netns.values() and "src.port" in record and "dst.port" in record:
                self.kinds[kind] += 1
                ends = (text_of(record["src.ip"]), record["src.port"]), (text_of(record["dst.ip"]), record["dst.port"])
                vantage = "nat" if kind == "nat_open" or record["vantage"] == 2 else "socket"
                self.by_ends[record["netns"], vantage, protos.get(record["proto"]), *ends].append((record["time"], kind, record))

    def in_gap(self, source, first, last):
        return any(start <= last and first <= end for start, end, *_ in self.gaps[source])


class Verdict:
    def __init__(self):
        self.count, self.wrong, self.example = collections.Counter(), collections.Counter(), {}

    def __call__(self, what):
        self.count[what] += 1

    def bad(self, what, *story):
        self.wrong[what] += 1
        self.example.setdefault(what, story)

    def take(self, other):
        self.wrong += other.wrong
        self.example.update(other.example)


def is_of(line, moment, kind, record):
    """Whether a record with these ends speaks of this connection: another one may have the same ends soon before or after it. A server
    may be slow to accept what the kernel has opened."""
    first = line["before"] - (5_000 * MS if line["op"] == "took" else MS)
    if kind == "close":
        return first <= record.get("start", first) <= line["after"] + MS and first <= moment <= line["after"] + 5_000 * MS
    return first <= moment <= line["after"] + MS


def judge_end(verdict, recorded, where, line, ends, direction):
    """One side of a connection: its records are right, and what is missing is in a gap."""
    netns, proto = where, line["proto"]
    opened, closing = line.get("opened", line["after"]), line.get("closing", line["before"])
    records = [(kind, record) for moment, kind, record in recorded.by_ends.get((netns, "socket", proto, *ends), []) if is_of(line, moment, kind, record)]
    kinds = collections.Counter(kind for kind, _ in records)
    for kind, record in records:
        if direction == "out" and record.get("pid") is None:  # unknown is not another: the agent began between its opening and its close
            if not recorded.in_gap("socket", line["before"], opened):
                verdict.bad("the process that connected is unknown, and no gap at its beginning", line, record)
        elif direction == "out" and record["pid"] != line["pid"]:
            verdict.bad("another process than the one that connected", line, record)
        if record["direction"] != {"out": 1, "in": 2}[direction]:
            verdict.bad("direction", line, record)
    for kind in ("open", "close", "existing"):
        if kinds[kind] > 1 and len({record["conn"] for of, record in records if of == kind}) < kinds[kind]:
            verdict.bad(f"two {kind} records of one connection", line, *records)
    if kinds["open"] or kinds["existing"] or kinds["close"]:
        verdict("recorded")
        if not kinds["close"] and not recorded.in_gap("socket", closing, line["after"] + 1_000 * MS):
            verdict.bad(f"{direction} {proto}: no close and no gap at its end", line, *records)
    elif recorded.in_gap("socket", line["before"] - (5_000 * MS if direction == "in" else 0), opened):
        verdict("in a gap")
    else:
        verdict.bad(f"{direction} {proto}: neither recorded nor in a gap", line, *nearest(recorded, opened))


def nearest(recorded, moment):
    found = sorted(recorded.gaps["socket"], key=lambda gap: min(abs(gap[0] - moment), abs(gap[1] - moment)))[:2]
    return [f"gap from {(start - moment) / 1e9:+.3f} s to {(end - moment) / 1e9:+.3f} s: {cause}" for start, end, cause, _ in found]


def judge_lease(verdict, recorded, world, line):
    ends = tuple(line["local"]), tuple(line["peer"])
    where = world.netns[world.client if line["peer"][1] == truth.OWN else world.router]
    found = recorded.by_ends.get((where, "nat", line["proto"], *ends))
    if found:
        verdict("lease recorded")
    elif recorded.in_gap("nat", line["before"], line["opened"]):
        verdict("lease in a gap")
    else:
        verdict.bad("lease neither recorded nor in a gap", line, *recorded.gaps["nat"][:4])


def judge(recorded, world, lines):
    verdict = Verdict()
    for line in lines:
        if line["op"] == "made" and line["errno"] == 0:
            ends = tuple(line["local"]), tuple(line["peer"])
            judge_end(verdict, recorded, world.netns[world.client], line, ends, "out")
            if line["proto"] == "tcp":
                judge_lease(verdict, recorded, world, line)
        elif line["op"] == "made":
            verdict("failed")
        elif line["op"] == "took":
            judge_end(verdict, recorded, world.netns[world.server], line, (tuple(line["peer"]), tuple(line["local"])), "in")
    if recorded.without_start:
        verdict.bad("a gap that does not say when it began", len(recorded.without_start), recorded.without_start[0])
    if verdict.count["recorded"] < RECORDED_SHARE_MIN * (verdict.count["recorded"] + verdict.count["in a gap"]):
        verdict.bad("so much is in gaps that the test shows nothing", dict(verdict.count))
    return verdict


def judge_log(verdict, entries, checkpoints):
    if not checkpoints or max(checkpoints) > len(entries):
        verdict.bad("an acknowledged checkpoint is larger than the log", max(checkpoints, default=0), len(entries))
        return
    computed = exported_log.roots([hashlib.sha256(b"\0" + entry).digest() for entry in entries], set(checkpoints))
    for size, root in checkpoints.items():
        if base64.b64encode(computed[size]).decode() != root:
            verdict.bad("the tree of that size is not the one that was acknowledged", size)


def judge_memory(verdict, watch, seconds):
    """Medians, so that a process that has just begun does not count."""
    median = lambda values: sorted(values)[len(values) // 2]
    for role, samples in watch.memory.items():
        begun = samples[0][0]
        thirds = [[size for moment, size in samples if low <= (moment - begun) / seconds < low + 1 / 3] for low in (0, 2 / 3)]
        if all(thirds):
            first, last = map(median, thirds)
            print(f"memory of the {role}: {first >> 20} MiB, then {last >> 20} MiB, at most {max(size for _, size in samples) >> 20} MiB")
            if seconds >= LONG_SECONDS and last - first > GROWTH_BYTES_MAX:
                verdict.bad(f"the {role}'s memory grew", first, last)


def run_faults(program, watch, world, seconds):
    """Random faults with calm between, so that there is something that each can break; returns what was done when."""
    done, until = [], time.monotonic() + seconds
    left = list(FAULTS)
    world.chance.shuffle(left)
    while left or time.monotonic() < until:
        watch.pause(world.chance.uniform(1, 2) if world.quick else world.chance.uniform(3, 8))
        fault = left.pop() if left else world.chance.choice(FAULTS)  # each once before one comes again
        done.append((fault.__name__, time.time_ns()))
        print(f"  {time.strftime('%H:%M:%S')} {fault.__name__}", flush=True)
        fault(program, watch, world)
        program.wait_whole()
    program.wait_delivered()
    watch.pause(3)  # of calm, under load, at the end
    return done


def check_said(verdict, program):
    """What the program says of its translations while it runs: every namespace is watched; the router and the client, which translate, track connections."""
    line = next(line for line in harness.get_json(program.port, "/api/v1/status")["capture"] if line["what"] == "Address translation")
    said = re.fullmatch(r"(\d+) of (\d+) network namespaces watched, (\d+) of them track connections now \((\d+) entries\)\.", line["detail"])
    if line["state"] != "ok" or not said or said[1] != said[2] or int(said[3]) < 2 or int(said[4]) == 0:
        verdict.bad("what is said of address translation", line)


def check_overflows(verdict, recorded, done):
    """Each flood of conntrack's events is a gap of the namespaces where it was, in these words."""
    floods = sum(name == "overflow_conntrack" for name, _ in done)
    told = [gap for gap in recorded.gaps["nat"] if gap[2] == "the conntrack socket's buffer was full"]
    if len(told) < floods:
        verdict.bad("a flood that no gap tells of", floods, recorded.gaps["nat"])


def check_nothing_left(verdict, processes, links):
    for role, pid in processes.items():
        if pathlib.Path(f"/proc/{pid}").exists():
            verdict.bad(f"the {role} is left behind", pid)
    left = links & {link["id"] for link in json.loads(sh("bpftool", "-j", "link", "show"))}
    if left or not links:
        verdict.bad("kernel programs are left behind", left)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    harness.need_root()
    how = "--quick" if options.quick else f"--seconds {options.seconds}"
    print(f"seed {options.seed}; the same again: faults.py --seed {options.seed} {how}", flush=True)
    with harness.folder() as folder, truth.network() as names, small_disk(folder) as disk:
        world = World(*names, random.Random(options.seed), options.quick)
        path = folder / "truth.ndjson"
        program = Program(disk)
        said = Verdict()
        try:
            program.wait_whole()
            harness.wait_for(lambda: "is recording" in program.log.read_text(), "the welcome", 30)
            watch = Watch(program)
            watch.pause(3)
            with steady_load(world, path):
                done = run_faults(program, watch, world, 0 if options.quick else options.seconds)
                check_said(said, program)
            program.wait_delivered()
            processes = program.processes()
            links = links_of(processes.values())
            code = program.stop()
        finally:
            if program.process.poll() is None:
                for pid in program.processes().values():
                    os.kill(pid, signal.SIGKILL)
        verified = harness.run("verify", data=program.data, check=False)
        harness.run("export", "--tlog", folder / "log", data=program.data)
        entries = exported_log.read_entries(folder / "log")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        recorded = Recorded(entries, world)
        verdict = judge(recorded, world, lines)
        verdict.take(said)
        check_overflows(verdict, recorded, done)
        judge_log(verdict, entries, watch.checkpoints)
        judge_memory(verdict, watch, options.seconds)
        check_nothing_left(verdict, processes, links)
        if code != 0:
            verdict.bad("portbook up did not end well", code, program.log.read_text()[-2000:])
        if verified.returncode != 0:
            verdict.bad("verify", verified.stdout[-2000:], verified.stderr[-2000:])
        return report(verdict, recorded, done, entries, watch, program)


def report(verdict, recorded, done, entries, watch, program):
    for source, gaps in recorded.gaps.items():
        total = sum(end - start for start, end, *_ in gaps if end != FOREVER and start > 0) / 1e9
        print(f"{len(gaps)} gaps of {source}, {total:.1f} s in all; without end: {[cause for _, end, cause, _ in gaps if end == FOREVER]}")
    print(f"{len(done)} faults: {dict(collections.Counter(name for name, _ in done))}")
    print(f"{len(entries)} records; {len(watch.checkpoints)} acknowledged checkpoints; {dict(verdict.count)}")
    for what, count in verdict.wrong.most_common():
        print(f"WRONG {count} x {what}; the first:")
        for part in verdict.example[what]:
            print("   ", part)
    if verdict.wrong:
        print(program.log.read_text()[-4000:])
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces and the disk go in any case
    sys.exit(main())
