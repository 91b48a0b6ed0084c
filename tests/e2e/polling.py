#!/usr/bin/env python3
"""portbook without rights: as the user nobody, in a network namespace of the test's own, it looks at the open sockets again and again.

That user's connections are recorded with process and both ends; what came and went between two looks is recorded without one; what
cannot be seen is said in words; no answer calls itself complete; --no-cmdline leaves nothing of arguments in the book's files; and
looking at 1,000 and at 10,000 sockets takes no more than its share of a core.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import harness

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
SECRET = "argument-of-nobody-4711"
# What runs as nobody: a listener, a connection to it that stays, one that comes and goes, and a UDP socket; then it says its ports.
PEER = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
kept = socket.create_connection(listener.getsockname()); inside, _ = listener.accept()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.connect(("127.0.0.1", 53))
print(listener.getsockname()[1], kept.getsockname()[1], datagrams.getsockname()[1], flush=True)
sys.stdin.readline()
short = socket.create_connection(listener.getsockname()); other, _ = listener.accept()
print(short.getsockname()[1], flush=True)
short.close(); other.close()
sys.stdin.readline()
kept.send(b"hello"); kept.close(); inside.close()
sys.stdin.readline()
"""
# Many sockets in one process, connected to each other; says when they are there.
MANY = """
import resource, socket, sys
pairs = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * pairs + 64, 2 * pairs + 64))
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
kept = []
for _ in range(pairs):
    kept.append(socket.create_connection(listener.getsockname())); kept.append(listener.accept()[0])
print("ready", flush=True)
sys.stdin.readline()
"""


def rows(data, query):
    done = harness.run("search", f"records:all {query}", "--json", "--limit", "100000", data=data, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [row["record"] for row in harness.rows(done.stdout)]


def python(script, *args):
    return subprocess.Popen([*AS_NOBODY, sys.executable, "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


def start(folder, binary, name, *args):
    data = folder / name
    log = open(folder / "log", "ab")
    process = subprocess.Popen([*AS_NOBODY, binary, "up", "--data", str(data), "--listen", "127.0.0.1:0", *args], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ready():
        assert process.poll() is None, f"up ended with {process.returncode}: {(folder / 'log').read_text()}"
        return (data / "portbook.sock").exists() and any(r["source"].endswith("/polling") for r in rows(data, "kind:source_start"))
    harness.wait_for(ready, "portbook up as nobody")
    return process, data


def check_connections(data, peer):
    listener, kept, datagrams = (int(port) for port in peer.stdout.readline().split())
    opens = harness.wait_for(lambda: [r for r in rows(data, f"kind:open port:{kept}")] if len(rows(data, f"kind:open port:{kept}")) == 2 else None, "both ends of the connection")
    for record in opens:
        assert (record["src.port"], record["dst.port"], record["src.ip"], record["dst.ip"]) == (kept, listener, "127.0.0.1", "127.0.0.1"), record
        assert record["pid"] == peer.pid and record["uid"] == NOBODY and record["source"].endswith("/polling"), record
        assert record["start"] < record["time"] and record["cause"].startswith("polled: began in the "), record
        assert record["nat"] == "unknown" and record["nat_reason"] == "not_permitted", record
    assert {record["direction"] for record in opens} == {"in", "out"}
    assert any(r["dst.port"] == listener and r["pid"] == peer.pid for r in rows(data, f"kind:listen port:{listener}"))
    udp = harness.wait_for(lambda: rows(data, f"kind:open port:{datagrams}"), "the UDP socket")
    assert udp[0]["proto"] == "udp" and udp[0]["dst.port"] == 53 and udp[0]["pid"] == peer.pid, udp
    processes = rows(data, f"kind:process pid:{peer.pid}")
    assert len(processes) == 1 and processes[0]["user"] == "nobody" and processes[0]["ppid"] == os.getpid(), processes
    print(f"ok    {kept} -> {listener}: both ends, process, user, ancestors; UDP {datagrams} -> 53")

    tell(peer)
    short = int(peer.stdout.readline())
    gone = harness.wait_for(lambda: (lambda found: found if len(found) == 2 else None)(rows(data, f"kind:close port:{short}")), "the short connection's ends")
    for record in gone:
        assert (record["src.port"], record["dst.port"]) == (short, listener) and record["start"] < record["end"], record
        assert "pid" in record or "its process is not known" in record["cause"], record
    print(f"ok    {short} -> {listener} came and went: {gone[0]['cause']}")

    who = json.loads(harness.run("who", f"127.0.0.1:{kept}", "--at", "now", "--json", data=data, check=False).stdout.splitlines()[0])
    text = json.dumps(who)
    assert '"complete"' not in text and str(peer.pid) in text, text
    tell(peer)
    close = harness.wait_for(lambda: [r for r in rows(data, f"kind:close port:{kept}") if r["direction"] == "out"], "the close")[0]
    assert close["bytes_out"] == 5 and close["pid"] == peer.pid and close["cause"].startswith("polled: ended in the "), close
    print(f"ok    closed with {close['bytes_out']} bytes sent: {close['cause']}")


def check_words(folder, data):
    started = (folder / "log").read_text()
    assert "Only root may watch the kernel" in started and "sudo portbook up" in started, started
    assert "libbpf" not in started, started
    doctor = harness.run("doctor", data=data, check=False)
    assert doctor.returncode == 1 and "looks every" in doctor.stdout, doctor.stdout
    gaps = [r for r in rows(data, "kind:gap") if r["source"].endswith("/polling") and "end" not in r]
    assert len(gaps) == 1 and "may be missing" in gaps[0]["cause"], gaps
    begin = rows(data, "kind:source_start")
    assert any(r.get("means", "").endswith("polled") and "tcp" in r["covers"] for r in begin), begin
    who = harness.run("who", "127.0.0.1:9", "--at", "now", data=data, check=False).stdout
    assert "Complete." not in who and "ncomplete" in who, who
    print("ok    what is not seen is said: at start, by doctor, as a gap without end, in who")


def holding_arguments(data):
    return [path for path in data.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def check_arguments(folder, binary, data):
    assert not holding_arguments(data), f"{SECRET} is in {holding_arguments(data)}"
    # Without the switch they are there: looking for them can fail.
    process, data = start(folder, binary, "with-arguments")
    peer = python(PEER, SECRET)
    try:
        harness.wait_for(lambda: rows(data, f"kind:process pid:{peer.pid}"), "the process")
        assert SECRET in rows(data, f"kind:process pid:{peer.pid}")[0]["cmdline"]
    finally:
        peer.kill()
        peer.wait()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert holding_arguments(data)
    print("ok    --no-cmdline: nothing of arguments in the book's files; without it they are there")


def cpu_seconds(pid):
    """Processor time of a process and of those that it started, from /proc."""
    parents, ticks = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents[int(stat.parent.name)], ticks[int(stat.parent.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks[one] for one in family if one in ticks) / os.sysconf("SC_CLK_TCK")


def measure(process, data, sockets, seconds):
    """The share of a core that the whole program takes while that many sockets are open, and what it says of its interval."""
    many = python(MANY, str(sockets // 2))
    try:
        assert many.stdout.readline().strip() == "ready"
        harness.wait_for(lambda: harness.run("stats", "--by", "pid", f"kind:open pid:{many.pid}", data=data, check=False).stdout.count("\n") > 1, "the sockets", 60)
        time.sleep(1)  # what was new is resolved; this measures the state that lasts
        before, began = cpu_seconds(process.pid), time.monotonic()
        time.sleep(seconds)
        share = (cpu_seconds(process.pid) - before) / (time.monotonic() - began)
        lines = harness.rows(harness.run("doctor", "--json", data=data, check=False).stdout)
        detail = next(line["detail"] for line in lines if line["what"] == "Connections, by looking")
        print(f"      {sockets} sockets: {100 * share:.1f} % of a core; {detail.split(' at ')[0]}")
        return share
    finally:
        many.kill()
        many.wait()


def inside(options):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.chmod(options.folder, 0o777)
    folder = pathlib.Path(options.folder)
    # The build folder may not be open to everybody.
    binary = shutil.copy(harness.PORTBOOK, folder / "portbook")
    os.chmod(binary, 0o755)
    harness.PORTBOOK = str(binary)
    process, data = start(folder, binary, "book", "--no-cmdline")
    peer = python(PEER, SECRET)
    try:
        check_connections(data, peer)
        check_words(folder, data)
        share = measure(process, data, 1000, 2 if not options.measure else 10)
        assert 0 < share < 0.25, f"1,000 sockets cost {share:.2f} of a core"
        if options.measure:
            measure(process, data, 10_000, 10)
    finally:
        peer.kill()
        peer.wait()
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code == 0, f"up ended with {code}: {(folder / 'log').read_text()}"
    check_arguments(folder, binary, data)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure for longer, and 10,000 sockets too")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    harness.need_root()
    if options.folder:
        inside(options)
        return 0
    with harness.folder() as folder:
        # /usr/bin's python: nobody must be able to run it.
        command = ["unshare", "--net", "/usr/bin/python3", __file__, "--folder", str(folder)] + (["--measure"] if options.measure else [])
        return subprocess.run(command, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
