#!/usr/bin/env python3
"""What is captured against what the programs themselves know: 2,000 TCP connections by 500 short-lived processes through a real
nftables masquerade (keeping ports and fully random, IPv4 and IPv6), to a prefork server, and connects that are refused, rejected or
never answered. In network namespaces that this test makes and removes.

    truth.py --via dump     reads the records of capture alone, from capture_dump
    truth.py --via book     reads them from `portbook up`, with `portbook search records:all`
"""
import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import harness
import untold_ends

PEER = os.environ.get("TRUTH_PEER", "build/release/tests/truth_peer")
DUMP = os.environ.get("CAPTURE_DUMP", "build/release/src/capture/capture_dump")
PROCESSES = int(os.environ.get("TRUTH_PROCESSES", "500"))  # each with one connection to each of four places
WORKERS = 4
KEEPING, RANDOM, OWN = 7001, 7002, 7003  # masqueraded by the router keeping ports, fully random; translated by the client's own host
UNREACHABLE, SILENT, CLOSED = 7997, 7998, 7999
SERVER4, SERVER6 = "10.77.2.2", "fd77:2::2"


def sh(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def network():
    """client - router - server, each a namespace; yields their names."""
    names = [f"pbtruth{os.getpid()}{end}" for end in "crs"]
    client, router, server = names
    def remove():
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
    try:
        for name in names:
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        for left, right, net in ((client, router, 1), (server, router, 2)):
            sh("ip", "-n", left, "link", "add", "up0", "type", "veth", "peer", "name", f"down{net}", "netns", right)
            for name, device, last in ((left, "up0", 2), (right, f"down{net}", 1)):
                sh("ip", "-n", name, "addr", "add", f"10.77.{net}.{last}/24", "dev", device)
                sh("ip", "-n", name, "addr", "add", f"fd77:{net}::{last}/64", "dev", device, "nodad")
                sh("ip", "-n", name, "link", "set", device, "up")
            sh("ip", "-n", left, "route", "add", "default", "via", f"10.77.{net}.1")
            sh("ip", "-n", left, "-6", "route", "add", "default", "via", f"fd77:{net}::1")
        sh("ip", "netns", "exec", router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        rules(router, f"""
            table inet t {{
              chain post {{ type nat hook postrouting priority srcnat;
                oifname "down2" tcp dport {KEEPING} masquerade
                oifname "down2" tcp dport {RANDOM} masquerade fully-random; }}
              chain forward {{ type filter hook forward priority 0; tcp dport {UNREACHABLE} reject with icmpx type host-unreachable; }}
            }}""")
        rules(client, f"table inet t {{ chain post {{ type nat hook postrouting priority srcnat; tcp dport {OWN} masquerade fully-random; }}; }}")
        rules(server, f"table inet t {{ chain in {{ type filter hook input priority 0; tcp dport {SILENT} drop; }}; }}")
        yield client, router, server
    finally:
        remove()


def rules(namespace, text):
    done = subprocess.run(["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"nft in {namespace}: {done.stderr}")


class DumpRecorder:
    """Records of capture alone."""

    def __init__(self, folder):
        self.path = folder / "records.ndjson"
        self.log = folder / "dump.log"

    def __enter__(self):
        with open(self.path, "wb") as out, open(self.log, "wb") as log:
            self.process = subprocess.Popen([DUMP], stdin=subprocess.PIPE, stdout=out, stderr=log)
        harness.wait_for(lambda: "ready" in self.log.read_text(), "capture to start")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        if self.process.wait(30) != 0:
            raise AssertionError(f"capture_dump ended with {self.process.returncode}: {self.log.read_text()}")

    def records(self):
        return harness.rows(self.path.read_text().rpartition("\n")[0])


class BookRecorder:
    """Records through the whole program."""

    def __init__(self, folder):
        self.book = harness.Book(folder / "book")

    def __enter__(self):
        self.book.__enter__()
        harness.wait_for(lambda: "is recording" in self.book.log.read_text(), "capture to start")
        return self

    def __exit__(self, *failure):
        self.book.__exit__(*failure)

    def records(self):
        text = harness.run("search", "records:all", "--json", "--limit", "1000000", data=self.book.data).stdout
        return [row.get("record", row.get("row", {}).get("record", row)) for row in harness.rows(text)]


def seconds_of(time_text):
    """RFC 3339 with nine digits as epoch seconds."""
    base, fraction = time_text.rstrip("Z").split(".")
    whole = datetime.datetime.fromisoformat(base).replace(tzinfo=datetime.timezone.utc).timestamp()
    return whole + float("0." + fraction)


def endpoint(record, name):
    return (record.get(f"{name}.ip"), record.get(f"{name}.port"))


class Checks:
    """Collects what is wrong, so that one run shows all of it."""

    def __init__(self):
        self.wrong = collections.Counter()
        self.example = {}
        self.done = 0

    def __call__(self, good, what, *example):
        self.done += 1
        if not good:
            self.wrong[what] += 1
            self.example.setdefault(what, example)

    def report(self):
        for what, count in self.wrong.most_common():
            print(f"WRONG {count} x {what}")
            for part in self.example[what]:
                print("   ", part)
        print(f"{self.done} checks, {sum(self.wrong.values())} wrong")
        return not self.wrong


def run_traffic(client, server, truth):
    """Starts the server, makes all connections, returns when every program has ended."""
    listens = [str(part) for ip in (SERVER4, SERVER6) for port in (KEEPING, RANDOM, OWN) for part in (ip, port)]
    serving = subprocess.Popen(["ip", "netns", "exec", server, PEER, "serve", str(truth), str(WORKERS), *listens])
    try:
        harness.wait_for(lambda: truth.exists() and "listening" in truth.read_text(), "the server to listen")
        def spawn(parallel, count, label, *places):
            sh("ip", "netns", "exec", client, PEER, "spawn", str(parallel), str(truth), str(count), label, *map(str, places))
        spawn(8, PROCESSES, "v", SERVER4, KEEPING, SERVER4, RANDOM, SERVER6, KEEPING, SERVER6, RANDOM)
        spawn(4, 20, "own", SERVER4, OWN, SERVER6, OWN)
        spawn(4, 10, "bad", SERVER4, CLOSED, SERVER6, CLOSED, SERVER4, UNREACHABLE, SERVER6, UNREACHABLE, SERVER4, f"{SILENT}:giveup")
        spawn(4, 4, "slow", SERVER4, f"{SILENT}:wait")
    finally:
        # The server's workers are in its process group's session; the namespace's processes are all ours.
        for pid in subprocess.run(["ip", "netns", "pids", server], capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        serving.wait()


def compare(records, truth, namespaces, check):
    lines = [json.loads(line) for line in truth.read_text().splitlines()]
    connects = [line for line in lines if line["what"] == "connect"]
    accepts = {line["label"]: line for line in lines if line["what"] == "accept"}
    spawners = {line["pid"]: line for line in lines if line["what"] == "spawner"}
    listener = next(line for line in lines if line["what"] == "listening")
    good = [line for line in connects if line["errno"] == 0]
    offset = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)

    of_kind = collections.defaultdict(list)
    for record in records:
        # Capture sees every namespace of the machine; what others do there is not of this test.
        if record.get("netns", 0) in namespaces or record["kind"] in ("process", "gap"):
            of_kind[record["kind"]].append(record)
    ours = lambda record: endpoint(record, "dst")[0] in (SERVER4, SERVER6)
    index = collections.defaultdict(list)
    for kind in ("open", "close", "failed"):
        for record in filter(ours, of_kind[kind]):
            index[kind, record["direction"], endpoint(record, "src"), endpoint(record, "dst")].append(record)
    used = collections.defaultdict(list)
    for record in of_kind["used_by"]:
        used[record["conn"]].append(record)
    leases = collections.defaultdict(list)
    for kind in ("nat_open", "nat_close"):
        for record in filter(ours, of_kind[kind]):
            leases[kind, endpoint(record, "src"), endpoint(record, "dst")].append(record)
    processes = {(record["pid"], record["process_start"]): record for record in of_kind["process"]}

    def started(line, text):
        """The kernel counts a start in hundredths of a second, rounded down."""
        return -0.002 <= seconds_of(text) - (line["start_ticks"] / 100 + offset) <= 0.012

    def check_process(record, line, what):
        check(record.get("pid") == line["pid"], f"{what}: pid", record, line)
        check("process_start" in record and started(line, record["process_start"]), f"{what}: process start", record, line)
        check(record.get("exe", "").endswith("/truth_peer"), f"{what}: exe", record)
        process = processes.get((record.get("pid"), record.get("process_start")))
        check(process is not None, f"{what}: has a process record", record)
        return process or {}

    untold = []

    def is_untold(record):
        if not untold_ends.is_untold(record):
            return False
        untold.append(record)
        check(untold_ends.claims_nothing(record), "an untold end claims nothing", record)
        return True

    seen_conns = collections.Counter()
    late = 0
    for line in connects:
        key = tuple(line["local"]), tuple(line["remote"])
        label = line["label"]
        if line["errno"] != 0:
            found = index["failed", "out", *key]
            check(len(found) == 1, "a failed connect has exactly one record", line, found)
            check(not index["open", "out", *key], "a failed connect has no open", line)
            for record in found:
                check_process(record, line, "failed")
                if is_untold(record):
                    continue
                outcome = {111: "refused", 113: "unreachable", 110: "timeout", 115: "timeout"}.get(line["errno"])
                check(record["outcome"] == outcome, f"failed: outcome {outcome}", record, line)
                check(record.get("errno") == (None if line["errno"] == 115 else line["errno"]), "failed: errno", record, line)
            continue
        opens, closes = index["open", "out", *key], index["close", "out", *key]
        check(len(opens) == 1, "exactly one open", line, opens)
        check(len(closes) == 1, "exactly one close", line, closes)
        for record in opens:
            seen_conns[record["conn"]] += 1
            process = check_process(record, line, "open")
            check(f"connect {truth} {label.rpartition('-')[0]}" in process.get("cmdline", ""), "open: arguments", process, line)
            check(process.get("ppid") in spawners and process.get("ppid") == line["ppid"], "open: parent", process, line)
            parent = processes.get((process.get("ppid"), process.get("parent_start")))
            check(parent is not None and started(spawners.get(line["ppid"], {"start_ticks": 0}), parent["process_start"]), "open: parent's record", process)
        for record in closes:
            check(record["conn"] == (opens[0]["conn"] if opens else None), "close: same conn as its open", record)
            if is_untold(record):
                continue
            check((record["bytes_out"], record["bytes_in"]) == (len(label), 2), "close: payload bytes", record, line)
            check(record.get("start", "~") <= record["end"] and record["outcome"] == "ok", "close: start, end, outcome", record)
            check_process(record, line, "close")
        accepted = accepts.get(label)
        check(accepted is not None, "the server accepted it", line)
        if accepted is None:
            continue
        external, real = tuple(accepted["peer"]), tuple(accepted["local"])
        if key[1][1] == OWN:
            for record in closes:
                check(record["nat"] == "translated" and endpoint(record, "src.nat") == external, "own host's NAT: external port in close", record, accepted)
            for record in opens:
                # An open waits 20 ms for its translation, which a busy machine may miss; never is it a wrong one.
                late += record["nat"] == "unknown"
                check(record["nat"] == "unknown" or endpoint(record, "src.nat") == external, "own host's NAT: external port in open", record, accepted)
        lease = leases["nat_open", *key]
        check(len(lease) == 1, "exactly one lease", line, lease)
        for record in lease:
            check(endpoint(record, "src.nat") == external, "lease: external end is the server's getpeername", record, accepted)
        ended = leases["nat_close", *key]
        check(len(ended) == 1 and lease and ended[0]["conn"] == lease[0]["conn"] and ended[0].get("bytes_out", 0) > 0, "lease: ended once, same conn, bytes",
              line, lease, ended)
        inbound = index["open", "in", external, real]
        check(len(inbound) == 1, "exactly one inbound open", accepted, inbound)
        for record in inbound:
            check_process(record, listener, "inbound open: the listener")
            seen_conns[record["conn"]] += 1
            uses = used[record["conn"]]
            check(len(uses) == 1 and uses[0]["role"] == "acceptor", "exactly one acceptor", record, uses)
            for use in uses:
                check_process(use, accepted, "acceptor")
        for record in index["close", "in", external, real]:
            if is_untold(record):
                continue
            check_process(record, accepted, "inbound close: the acceptor")
            check((record["bytes_out"], record["bytes_in"]) == (2, len(label)), "inbound close: payload bytes", record)
        check(len(index["close", "in", external, real]) == 1, "exactly one inbound close", accepted)

    check(late <= 20, "own host's NAT: at most half of the opens miss it", late)
    check(max(seen_conns.values(), default=0) == 1, "every conn is unique")
    count = lambda kind, direction: sum(len(found) for key, found in index.items() if key[0] == kind and key[1] == direction)
    check(count("open", "out") == len(good), "no open beyond those made", count("open", "out"), len(good))
    check(count("open", "in") == len(good), "no inbound open beyond those made", count("open", "in"), len(good))
    check(count("failed", "out") == len(connects) - len(good), "no failure beyond those made", count("failed", "out"))
    check(len(good) >= 4 * PROCESSES + 40, "all connections were made", len(good))
    for fine, what, *examples in untold_ends.judge(untold, of_kind["gap"], len(connects)):
        check(fine, what, *examples)
    by_source = collections.defaultdict(list)
    for record in records:
        if record.get("source") and "source_seq" in record:
            by_source[record["source"]].append(record["source_seq"])
    for source, numbers in by_source.items():
        check(sorted(numbers) == list(range(min(numbers), max(numbers) + 1)), f"sequence of {source} without a gap or double")
    print(f"{len(good)} connections, {len(connects) - len(good)} failed connects, {len(of_kind['process'])} process records, {len(records)} records, {len(untold)} ends untold")


def settled(recorder, truth, namespaces):
    """True once as many closes and leases' ends are there as connections were made."""
    connects = sum('"connect"' in line and '"errno":0' in line for line in truth.read_text().splitlines())
    found = collections.Counter()
    for record in recorder.records():
        if record.get("dst.ip") in (SERVER4, SERVER6) and record.get("netns") in namespaces:
            found[record["kind"]] += 1
    return found["close"] >= 2 * connects and found["nat_close"] >= connects


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--via", choices=["dump", "book"], default="dump")
    via = parser.parse_args().via
    harness.need_root()
    check = Checks()
    with harness.folder() as folder, network() as (client, router, server):
        truth = folder / "truth.ndjson"
        namespaces = {os.stat(f"/run/netns/{name}").st_ino for name in (client, router, server)}
        with (DumpRecorder if via == "dump" else BookRecorder)(folder) as recorder:
            began = time.monotonic()
            run_traffic(client, server, truth)
            print(f"traffic took {time.monotonic() - began:.1f} s")
            # Ends every lease at once instead of after two minutes.
            for name in (router, client):
                sh("ip", "netns", "exec", name, "conntrack", "-F")
            try:
                harness.wait_for(lambda: settled(recorder, truth, namespaces), "all closes to be recorded", 30)
            except AssertionError as late:
                check(False, str(late))
            records = recorder.records()
        compare(records, truth, namespaces, check)
    return 0 if check.report() else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces go in any case
    sys.exit(main())
