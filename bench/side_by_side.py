#!/usr/bin/env python3
"""`./dev bench side_by_side`, as root: the same traffic, watched by portbook and by others, one after the other.

5,000 short TCP connections of short-lived processes, refused connects and UDP queries, through a real masquerade to a prefork server, in
namespaces of its own; the programs write what they know of themselves, and each watcher's output is compared with that. Before and after
each watched run the same traffic runs unwatched: what the watcher costs is the ratio within these three. Kprobes do not attach on every
kernel: where they do not, the tool's own error is the result, and the same runs on Debian's 6.1 kernel in qemu (--guest 0 leaves that out).
Writes the section "Side by side" of docs/benchmarks.md; --print only prints it.

    side_by_side.py [--connections N] [--guest N] [--only REGEX] [--print]
"""
import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
BUILD = pathlib.Path(os.environ.get("BUILD_DIR", ROOT / "build/release"))
if os.environ.get("KERNEL_GUEST"):
    os.environ.setdefault("PATIENCE", "10")
os.environ.setdefault("PORTBOOK", str(BUILD / "portbook"))
os.environ.setdefault("TRUTH_PEER", str(BUILD / "tests/truth_peer"))
import harness  # noqa: E402: needs the environment above
import truth  # noqa: E402
from watchers import WATCHERS  # noqa: E402

UDP_PORT, UDP_BATCH = 7053, 10
GUEST_MARK = "SIDE BY SIDE: "
GUEST_CONNECTIONS = 200  # the processor is emulated


# --- the traffic -----------------------------------------------------------------------------------------------------------------------

def udp_server(ready):
    """Answers each datagram with the endpoint that it saw."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((truth.SERVER4, UDP_PORT))
    os.write(ready, b"x")
    while True:
        text, peer = server.recvfrom(100)
        server.sendto(json.dumps(peer).encode(), peer)


def udp_clients(out, count):
    """Short-lived processes with ten sockets each, one question a socket; each process writes what it knows."""
    for _ in range(count // UDP_BATCH):
        if os.fork() == 0:
            lines = []
            for _ in range(UDP_BATCH):
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                client.settimeout(20)
                client.connect((truth.SERVER4, UDP_PORT))
                client.send(b"?")
                peer = json.loads(client.recv(100))
                lines.append(json.dumps({"what": "udp", "local": client.getsockname(), "remote": [truth.SERVER4, UDP_PORT], "peer": peer, "pid": os.getpid()}))
            with open(out, "a") as file:
                file.write("".join(line + "\n" for line in lines))
            os._exit(0)
        os.wait()


def in_namespace(name, work):
    """work() in a forked process of the namespace; its pid."""
    child = os.fork()
    if child == 0:
        with open(f"/run/netns/{name}") as namespace:
            libc_setns(namespace.fileno())
        work()
        os._exit(0)
    return child


def libc_setns(fd):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def run_traffic(client, server, out, connections):
    """All of it; returns the seconds of the clock and of CPU that the load itself took, servers included."""
    listens = [str(part) for ip in (truth.SERVER4, truth.SERVER6) for port in (truth.KEEPING, truth.RANDOM) for part in (ip, port)]
    serving = subprocess.Popen(["ip", "netns", "exec", server, truth.PEER, "serve", str(out), str(truth.WORKERS), *listens])
    ready, says = os.pipe()
    udp = in_namespace(server, lambda: udp_server(says))
    os.read(ready, 1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        harness.wait_for(lambda: out.exists() and "listening" in out.read_text(), "the server to listen")
        began = time.monotonic()
        spawn = ["ip", "netns", "exec", client, truth.PEER, "spawn", "4", str(out)]
        places = [truth.SERVER4, truth.KEEPING, truth.SERVER4, truth.RANDOM, truth.SERVER6, truth.KEEPING, truth.SERVER6, truth.RANDOM]
        truth.sh(*spawn, str(connections // 4), "v", *map(str, places))
        truth.sh(*spawn, str(connections // 100), "bad", truth.SERVER4, str(truth.CLOSED), truth.SERVER6, str(truth.CLOSED))
        os.waitpid(in_namespace(client, lambda: udp_clients(out, connections // 10)), 0)
        seconds = time.monotonic() - began
    finally:
        for pid in subprocess.run(["ip", "netns", "pids", server], capture_output=True, text=True).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        serving.wait()
        os.waitpid(udp, 0)
        os.close(ready)
        os.close(says)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@contextlib.contextmanager
def places():
    with truth.network() as (client, router, server):
        truth.rules(router, f'table ip u {{ chain post {{ type nat hook postrouting priority srcnat; oifname "down2" udp dport {UDP_PORT} masquerade fully-random; }}; }}')
        yield client, router, server


# --- comparing -------------------------------------------------------------------------------------------------------------------------

def compare(rows, truth_lines):
    """rows: dicts with side (out, in, flow), proto, src, dst, and where the tool says them pid, external, failed. Counts against the truth."""
    connects = [line for line in truth_lines if line["what"] == "connect"]
    accepts = {line["label"]: line for line in truth_lines if line["what"] == "accept"}
    good = {(tuple(line["local"]), tuple(line["remote"])): line for line in connects if line["errno"] == 0}
    refused = {(tuple(line["local"]), tuple(line["remote"])): line for line in connects if line["errno"] == 111}
    udp = {(tuple(line["local"]), tuple(line["remote"])): line for line in truth_lines if line["what"] == "udp"}
    inbound = {(tuple(accepts[line["label"]]["peer"]), tuple(accepts[line["label"]]["local"])): accepts[line["label"]] for line in good.values()}
    of_key = collections.defaultdict(list)
    portless = collections.Counter()
    for row in rows:
        side = "in" if row["side"] == "in" else "out"
        of_key[side, row["proto"], row["src"], row["dst"]].append(row)
        if row["side"] == "out" and not row["src"][1]:
            portless[row.get("pid"), row["dst"]] += 1

    def processes(expected, side, proto):
        counts = collections.Counter()
        for key, line in expected.items():
            found = of_key[(side, proto, *key)]
            if not found:
                spare = (line["pid"], key[1])
                counts["without port"] += portless[spare] > 0
                portless[spare] -= 1
                continue
            counts["seen"] += 1
            counts["doubled"] += len([row for row in found if not row.get("repeats")]) > 1
            named = {row["pid"] for row in found if row.get("pid")}
            counts["no process" if not named else "right process" if line["pid"] in named else "wrong process"] += 1
        return counts

    external = 0
    for key, line in [*good.items(), *udp.items()]:
        proto = "udp" if line["what"] == "udp" else "tcp"
        told = [row.get("external") for row in of_key[("out", proto, *key)] if row.get("external")]
        external += tuple(line["peer"] if proto == "udp" else accepts[line["label"]]["peer"]) in told
    return {
        "connections": len(good), "refused connects": len(refused), "udp queries": len(udp),
        "out": processes(good, "out", "tcp"), "in": processes(inbound, "in", "tcp"), "udp": processes(udp, "out", "udp"),
        "failed": processes(refused, "out", "tcp"),
        "known as failed": sum(any(row.get("failed") for row in of_key[("out", "tcp", *key)]) for key in refused),
        "external": external, "translated": len(good) + len(udp),
    }


def warm_up(connections):
    """Once, for nothing: what the first run of all finds cold is no watcher's merit."""
    with harness.folder() as folder, places() as (client, _, server):
        run_traffic(client, server, folder / "truth", connections)


def measure(watcher, connections):
    """One unwatched, one watched, one unwatched run; what the watcher told, and what it cost."""
    with harness.folder() as folder:
        def bare(name):
            with places() as (client, _, server):
                return run_traffic(client, server, folder / name, connections)
        before = bare("before")
        with places() as (client, router, server):
            watch = watcher(folder, client, router, server)
            error = watch.start()
            if error:
                return {"name": watcher.name, "error": error}
            try:
                started = watch.cpu()
                watched = run_traffic(client, server, folder / "truth", connections)
                cpu = watch.cpu() - started
                subprocess.run(["ip", "netns", "exec", router, "conntrack", "-F"], capture_output=True)
                watch.settle()
            finally:
                watch.stop()
            rows = list(watch.rows())
        after = bare("after")
        lines = [json.loads(line) for line in (folder / "truth").read_text().splitlines()]
        told = compare(rows, lines)
    unwatched = [(a + b) / 2 for a, b in zip(before, after)]
    return {"name": watcher.name, **told, "tool cpu": cpu, "clock ratio": watched[0] / unwatched[0], "cpu ratio": watched[1] / unwatched[1],
            "load cpu": unwatched[1], "spread": [abs(a - b) / middle for a, b, middle in zip(before, after, unwatched)]}


# --- the page --------------------------------------------------------------------------------------------------------------------------

def share(count, of):
    return f"{count:,}" if count == of else f"{count:,} of {of:,}"


def table(results):
    lines = ["| watcher | connections, exact | process right / wrong / none | acceptor right / wrong / none | refused connects | external port | UDP queries | CPU of the tool without its start, ms per connection | load: clock, CPU |",
             "|---|---|---|---|---|---|---|---|---|"]
    errors = []
    for one in results:
        if "error" in one:
            errors.append(f"- {one['name']}: `{one['error']}`")
            continue
        total, out, inside, udp, failed = one["connections"], one["out"], one["in"], one["udp"], one["failed"]
        three = lambda counts: f"{counts.get('right process', 0):,} / {counts.get('wrong process', 0):,} / {counts.get('no process', 0):,}" if counts.get("seen") else "–"
        exact = share(out.get("seen", 0), total)
        if out.get("without port"):
            exact += f"; {out['without port']:,} without internal port"
        if out.get("doubled"):
            exact += f"; {out['doubled']:,} twice"
        refused = share(failed.get("seen", 0), one["refused connects"])
        if failed.get("seen"):
            refused += ", as refused" if one["known as failed"] == failed["seen"] else ", not as refused" if not one["known as failed"] else f", {one['known as failed']:,} as refused"
        udp_text = share(udp.get("seen", 0), one["udp queries"]) + (f" ({three(udp)})" if udp.get("seen") and udp.get("seen") != udp.get("no process") else "")
        lines.append(f"| {one['name']} | {exact} | {three(out)} | {three(inside)} | {refused} | {share(one['external'], one['translated'])} | {udp_text} "
                     f"| {1000 * one['tool cpu'] / total:.2f} | × {one['clock ratio']:.2f}, × {one['cpu ratio']:.2f} |")
    return "\n".join(lines) + ("\n\nDid not run:\n" + "\n".join(errors) if errors else "")


def versions():
    def first(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        return (done.stdout or done.stderr).strip().splitlines()[0] if done.stdout or done.stderr else ""
    packaged = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", "conntrack", "ulogd2", "bpftrace", "bpfcc-tools", "iproute2"], capture_output=True, text=True).stdout
    return f"portbook {first('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}, {packaged.rstrip(', ')}"


def write_page(here, guest, options):
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    spread = [100 * max((one["spread"][part] for one in here if "spread" in one), default=0) for part in (0, 1)]
    text = f"""## Side by side
`./dev bench side_by_side`: {time.strftime('%Y-%m-%d', time.gmtime())}, {processor.group(1) if processor else 'unknown processor'}, {os.cpu_count()} cores, Linux {os.uname().release}; {versions()}.
{options.connections:,} short TCP connections by {options.connections // 4:,} processes, refused connects and UDP queries through a masquerade (half of the ports kept, half fully random), a prefork
server of four workers. One watcher at a time; the ratios are to the same load unwatched, before and after (these two differed by up to {spread[0]:.0f} % in clock
and {spread[1]:.0f} % in CPU: so much can a ratio be off).

{table(here)}
"""
    if guest:
        text += f"""
The same with {guest[0]['connections']:,} connections on Debian 12's kernel 6.1 in qemu, where kprobes attach. The processor is emulated: CPU figures compare with each other, not with those above.

{table(guest[1:])}
"""
    if options.print:
        print(text)
        return
    page = ROOT / "docs/benchmarks.md"
    old = page.read_text() if page.exists() else "# Benchmarks\n\n"
    reading = "\n### Reading it\n"
    section = re.search(r"## Side by side\n.*?(?=\n### |\n## |\Z)", old, re.S)
    page.write_text(old.replace(section.group(0), text.rstrip("\n") + "\n") if section else old.rstrip("\n") + "\n\n" + text + reading)


def on_guest(options):
    """Boots Debian's kernel and lets it run this program; its results come over the console."""
    done = subprocess.run([sys.executable, ROOT / "tests/kernel/run.py", "--headers", "--program", "bench/side_by_side.py", options.only], capture_output=True, text=True,
                          env={**os.environ, "KERNEL_SECONDS": "3000"})
    marked = [line.removeprefix(GUEST_MARK) for line in done.stdout.splitlines() if line.startswith(GUEST_MARK)]
    if done.returncode != 0 or not marked:
        sys.exit(f"the guest did not finish: {done.stderr.strip()}; its console is in build/kernel/console.log")
    return [json.loads(line) for line in marked]


def within_guest():
    connections = GUEST_CONNECTIONS
    print(GUEST_MARK + json.dumps({"connections": connections}), flush=True)
    failed = 0
    for watcher in WATCHERS:
        if re.search(sys.argv[1], watcher.name):
            result = measure(watcher, connections)
            failed += "error" in result
            print(GUEST_MARK + json.dumps(result), flush=True)
    print("KERNEL TEST: 1 passed, 0 failed", flush=True)


def main():
    if os.geteuid() != 0:
        sys.exit("./dev bench side_by_side needs root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if os.environ.get("KERNEL_GUEST"):
        within_guest()
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--guest", type=int, default=1)
    parser.add_argument("--only", default=".")
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    here = []
    warm_up(options.connections)
    for watcher in WATCHERS:
        if re.search(options.only, watcher.name):
            here.append(measure(watcher, options.connections))
            print(json.dumps(here[-1]), flush=True)
    write_page(here, on_guest(options) if options.guest else None, options)


if __name__ == "__main__":
    main()
