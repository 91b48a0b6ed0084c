#!/usr/bin/env python3
"""Ten thousand sockets that do what random scripts say, against what was recorded of them.

Programs in four network namespaces connect through a router with real translation (nftables: masquerade that keeps ports, fully random
masquerade, destination NAT; one client's own host translates too), bind or not, succeed, are refused, rejected or never answered, share
sockets by fork, exec and SCM_RIGHTS, end by close, shutdown, reset, kill -9, exec. Each program writes what the kernel told it:
getsockname, getpeername, SO_COOKIE, sock_diag, CLOCK_REALTIME before and after every call; conntrack's own events are kept in both
translating namespaces. Then each record must equal the truth, each truth must have its records, and no record may be left over.

    random_truth.py [--seed N] [--sockets N]      the seed is printed; the same seed writes the same scripts
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import harness
import scripts
import truth
import truth_of_datagrams
from truth import rules, sh
from truth_of_sockets import Truth, compare

PEER = os.environ.get("SCRIPT_PEER", "build/release/tests/script_peer")
WORKERS = 6  # of each client namespace


@contextlib.contextmanager
def network():
    """Clients a and b, router r, server s; yields their names by letter."""
    names = {end: f"pbrandom{os.getpid()}{end}" for end in "abrs"}
    try:
        for name in names.values():
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
            sh("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
        for end, net in (("a", 1), ("s", 2), ("b", 3)):
            name, router = names[end], names["r"]
            sh("ip", "-n", name, "link", "add", "up0", "type", "veth", "peer", "name", f"down{net}", "netns", router)
            for where, device, lasts in ((name, "up0", (2, 3)), (router, f"down{net}", (1,))):
                for last in lasts:
                    sh("ip", "-n", where, "addr", "add", f"10.77.{net}.{last}/24", "dev", device)
                    sh("ip", "-n", where, "addr", "add", f"fd77:{net}::{last}/64", "dev", device, "nodad")
                sh("ip", "-n", where, "link", "set", device, "up")
            introduce(name, "up0", (2, 3), router, f"down{net}", (1,), net)
            sh("ip", "-n", name, "route", "add", "default", "via", f"10.77.{net}.1")
            sh("ip", "-n", name, "-6", "route", "add", "default", "via", f"fd77:{net}::1")
        sh("ip", "netns", "exec", names["r"], "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        server4, server6 = scripts.SERVER["4"], scripts.SERVER["6"]
        rules(names["r"], f"""
            table inet t {{
              chain pre {{ type nat hook prerouting priority dstnat;
                ip daddr {scripts.ROUTER_DNAT["4"]} dnat ip to {server4}; ip6 daddr {scripts.ROUTER_DNAT["6"]} dnat ip6 to {server6}; }}
              chain post {{ type nat hook postrouting priority srcnat;
                oifname "down2" meta l4proto {{ tcp, udp }} th dport {{ {scripts.KEEPING}, {scripts.PASSING}, {scripts.BLIND}, {scripts.DUAL}, {scripts.SILENT} }} masquerade
                oifname "down2" meta l4proto {{ tcp, udp }} th dport {{ {scripts.RANDOM}, {scripts.SELF}, {scripts.SHUTTING} }} masquerade fully-random; }}
              chain forward {{ type filter hook forward priority 0; meta l4proto {{ tcp, udp }} th dport {scripts.UNREACHABLE} reject with icmpx type host-unreachable; }}
            }}""")
        rules(names["a"], f"""
            table inet t {{
              chain out {{ type nat hook output priority -100;
                ip daddr {scripts.OWN_DNAT["4"]} dnat ip to {server4}; ip6 daddr {scripts.OWN_DNAT["6"]} dnat ip6 to {server6}; }}
              chain post {{ type nat hook postrouting priority srcnat; meta l4proto {{ tcp, udp }} th dport {scripts.OWN} masquerade fully-random; }}
            }}""")
        rules(names["s"], f"table inet t {{ chain in {{ type filter hook input priority 0; meta l4proto {{ tcp, udp }} th dport {scripts.SILENT} drop; }}; }}")
        yield names
    finally:
        for name in names.values():
            for pid in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def introduce(one, one_device, one_lasts, other, other_device, other_lasts, net):
    """Tells both ends of a link each other's hardware addresses: a first packet that waits for a neighbour comes out of order."""
    for where, device, there, far_device, lasts in ((one, one_device, other, other_device, other_lasts), (other, other_device, one, one_device, one_lasts)):
        hardware = json.loads(sh("ip", "-n", there, "-j", "link", "show", far_device))[0]["address"]
        for last in lasts:
            for address in (f"10.77.{net}.{last}", f"fd77:{net}::{last}"):
                sh("ip", "-n", where, "neigh", "replace", address, "lladdr", hardware, "dev", device, "nud", "permanent")


class Tracker:
    """The kernel's own account of every translation in a namespace: conntrack_events.py around a block."""

    def __init__(self, name, path):
        self.path = path
        with open(path, "wb") as out:
            self.process = subprocess.Popen(["ip", "netns", "exec", name, sys.executable, pathlib.Path(__file__).with_name("conntrack_events.py")],
                                            stdout=out, stderr=subprocess.PIPE, text=True)
        if self.process.stderr.readline() != "listening\n":
            raise AssertionError(f"conntrack_events.py does not start: {self.process.stderr.read()}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        if self.process.wait(20) != 0:
            raise AssertionError("conntrack's events were lost on the way to the test, so there is no truth to compare with")


def prepare(folder):
    """The file of truth, which every user may append to, and copies of the program under other names."""
    folder.chmod(0o755)
    path = folder / "truth.ndjson"
    path.touch()
    path.chmod(0o666)
    for number in range(scripts.PROGRAMS):
        shutil.copy(PEER, folder / f"program{number}")
    return path


def serve(names, folder, path):
    """Starts the servers; they listen when this returns."""
    four, six = scripts.SERVER["4"], scripts.SERVER["6"]
    both = lambda *ports: [str(part) for port in ports for part in (four, port, six, port)]
    servers = [("s", 10, "header", both(scripts.KEEPING, scripts.RANDOM, scripts.OWN, scripts.PLAIN)), ("s", 0, "header", both(scripts.SELF)),
               ("s", 3, "pass", both(scripts.PASSING)), ("s", 3, "blind", both(scripts.BLIND)), ("s", 2, "idle", both(scripts.IDLE)), ("s", 2, "shut", both(scripts.SHUTTING)),
               ("s", 3, "header", ["::", str(scripts.DUAL)]), ("a", 3, "header", ["127.0.0.1", str(scripts.LOCAL), "::1", str(scripts.LOCAL)])]
    for end, workers, manner, ends in servers:
        subprocess.Popen(["ip", "netns", "exec", names[end], PEER, "serve", str(path), str(folder), str(workers), manner, *ends])
    datagrams = [(2, both(scripts.KEEPING, scripts.RANDOM, scripts.OWN, scripts.PLAIN)), (0, both(scripts.SELF)), (2, ["::", str(scripts.DUAL)])]
    for workers, ends in datagrams:
        subprocess.Popen(["ip", "netns", "exec", names["s"], PEER, "datagrams", str(path), str(folder), str(workers), *ends])
    sockets = sum(len(ends) // 2 for *_, ends in servers + datagrams)
    harness.wait_for(lambda: path.read_text().count('"op":"listen"') + path.read_text().count('"op":"bound"') == sockets, "the servers to listen")


def run_clients(names, folder, path, plans):
    """Runs every plan; a plan's number is its place."""
    running = []
    for end in "ab":
        for slow, workers in ((False, WORKERS), (True, 8)):
            file = folder / f"scripts-{end}-{slow}"
            file.write_text("".join(f"{number} {plan.text}\n" for number, (where, plan) in enumerate(plans) if where == end and plan.slow == slow))
            running.append(subprocess.Popen(["ip", "netns", "exec", names[end], PEER, "run", str(path), str(file), str(workers), str(folder)]))
    for client in running:
        if client.wait(120) != 0:
            raise AssertionError("a program of the test itself failed")


def servers_of(name):
    pids = map(int, subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split())
    found = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "script_peer":
                found.append(pid)
    return found


def stop_servers(names):
    """Kills them; returns the clock before and after."""
    before = time.time_ns()
    for end in "sa":
        for pid in servers_of(names[end]):
            os.kill(pid, signal.SIGKILL)
    harness.wait_for(lambda: not any(servers_of(names[end]) for end in "sa"), "the servers to end")
    return before, time.time_ns()


def all_records(recorder, told, seconds=30):
    """What is recorded, once it is whole or does not become so in time: then the comparison tells what is missing."""
    deadline = time.monotonic() + seconds
    while True:
        records = recorder.records()
        if told.whole(records) or time.monotonic() > deadline:
            return records


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--via", choices=["dump", "book"], default="book")
    options = parser.parse_args()
    harness.need_root()
    print(f"seed {options.seed}; the same again: random_truth.py --seed {options.seed} --sockets {options.sockets}", flush=True)
    chance = random.Random(options.seed)
    plans = [(end, plan) for end in "ab" for plan in scripts.write(end, options.sockets // 2, chance)]
    with harness.folder() as folder, network() as names:
        path = prepare(folder)
        namespaces = {end: os.stat(f"/run/netns/{name}").st_ino for end, name in names.items()}
        with (truth.DumpRecorder if options.via == "dump" else truth.BookRecorder)(folder) as recorder:
            trackers = {end: Tracker(names[end], folder / f"conntrack-{end}") for end in "ra"}
            began = time.monotonic()
            serve(names, folder, path)
            run_clients(names, folder, path, plans)
            stopped = stop_servers(names)
            print(f"traffic took {time.monotonic() - began:.1f} s", flush=True)
            listed = {end: sh("ip", "netns", "exec", names[end], "conntrack", "-L", "-o", "id") for end in "ra"}
            # Ends every lease at once instead of after two minutes.
            for end in "ra":
                sh("ip", "netns", "exec", names[end], "conntrack", "-F")
            for tracker in trackers.values():
                tracker.stop()
            told = Truth(path, {end: tracker.path for end, tracker in trackers.items()}, listed, namespaces, plans, stopped)
            records = all_records(recorder, told)
        good = compare(told, records, truth_of_datagrams.compare)
        print(f"took {time.monotonic() - began:.1f} s with the comparison")
    return 0 if good else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces go in any case
    sys.exit(main())
