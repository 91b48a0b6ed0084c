"""Who watches in `./dev bench side_by_side`: how each is started, and what its output says.

A watcher gives rows: dicts with `side` (out: the end that connects; in: the end that accepts; flow: seen on the way), `proto`, `src`, `dst`, and
`pid`, `external` (the source after translation), `failed`, `repeats` (one of several lines about the same connection) where it tells them.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import harness

START_SECONDS = 60  # times PATIENCE; bcc compiles a program against the kernel's headers first


class Watcher:
    """A program whose standard output is what it tells."""
    name = ""
    ready = None  # a text in its output that says that it watches

    def __init__(self, folder, client, router, server):
        self.folder, self.client, self.router, self.server = folder, client, router, server
        self.out, self.err = folder / "watcher.out", folder / "watcher.err"

    def command(self):
        raise NotImplementedError

    def start(self):
        """Nothing, or why it does not run."""
        command = [str(part) for part in self.command()]
        tool = command[4] if command[:2] == ["ip", "netns"] else command[0]
        if not shutil.which(tool):
            return f"{tool} is not installed"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            harness.wait_for(lambda: self.process.poll() is not None or self.is_ready(), f"{self.name} to start", START_SECONDS)
        except AssertionError as late:
            self.process.kill()
            self.process.wait()
            return str(late)
        if self.process.poll() is not None:
            said = [line for line in (self.err.read_text() + self.out.read_text()).splitlines() if line.strip()]
            error = [line for line in said if re.search(r"ERROR|No such file|[Ff]ailed|Unable|Exception", line) and "RLIMIT" not in line]
            return "; ".join(dict.fromkeys(line.strip() for line in error[:3])) or f"ended with {self.process.returncode}"
        return None

    def is_ready(self):
        return self.ready in self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def settle(self):
        """Until it has told nothing more for a second; ten at most, since other traffic of the machine goes on."""
        size, since, limit = -1, time.monotonic(), time.monotonic() + 10 * harness.PATIENCE
        while time.monotonic() - since < 1 and time.monotonic() < limit:
            if self.size() != size:
                size, since = self.size(), time.monotonic()
            time.sleep(0.05)

    def size(self):
        return self.out.stat().st_size

    def cpu(self):
        """Seconds of CPU so far, with its children's."""
        return cpu_of_tree(self.process.pid)

    def stop(self):
        self.process.send_signal(2)
        try:
            self.process.wait(20 * harness.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def lines(self):
        return self.out.read_text(errors="replace").splitlines()


def cpu_of_tree(pid):
    """Of the process, the children that it has waited for, and those that run."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = [child for task in pathlib.Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except FileNotFoundError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(cpu_of_tree(int(child)) for child in children)


class Portbook(Watcher):
    name = "portbook up"

    def start(self):
        self.book = harness.Book(self.folder / "book")
        self.book.__enter__()
        harness.wait_for(lambda: "is recording" in self.book.log.read_text(), "capture to start")
        self.process = self.book.process
        return None

    def size(self):
        return harness.get_json(self.book.port, "/api/v1/status")["size"]

    def settle(self):
        self.namespaces = {os.stat(f"/run/netns/{name}").st_ino for name in (self.client, self.router, self.server)}
        super().settle()
        text = harness.run("search", "records:all", "--json", "--limit", "1000000", data=self.book.data).stdout
        self.records = [row.get("record", row) for row in harness.rows(text)]

    def rows(self):
        place = lambda record, end: (record.get(f"{end}.ip"), record.get(f"{end}.port"))
        for record in self.records:
            if "src.ip" not in record or "dst.ip" not in record or record.get("netns") not in self.namespaces:
                continue
            row = {"proto": record.get("proto"), "src": place(record, "src"), "dst": place(record, "dst"), "pid": record.get("pid")}
            if record["kind"] == "open":
                yield {**row, "side": record["direction"], "pid": record.get("pid") if record["direction"] == "out" else None}
            elif record["kind"] == "failed":
                yield {**row, "side": "out", "failed": True}
            elif record["kind"] == "close" and record["direction"] == "in":
                yield {**row, "side": "in", "repeats": True}
            elif record["kind"] == "nat_open":
                yield {**row, "side": "out", "pid": None, "external": place(record, "src.nat"), "repeats": True}


FLOW = re.compile(r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)")


class Conntrack(Watcher):
    name = "conntrack -E -o timestamp,id"

    def command(self):
        return ["ip", "netns", "exec", self.router, "conntrack", "-E", "-o", "timestamp,id"]

    def is_ready(self):
        return netlink_listeners(self.process.pid)

    def rows(self):
        for line in self.lines():
            found = FLOW.search(line)
            if found and "[NEW]" in line:
                src, dst, sport, dport, _, reply_dst, _, reply_dport = found.groups()
                yield {"side": "flow", "proto": "tcp" if " tcp " in line else "udp", "src": (plain(src), int(sport)), "dst": (plain(dst), int(dport)),
                       "external": (plain(reply_dst), int(reply_dport))}


def plain(address):
    """Without the zeros that some tools write: as the sockets' own texts."""
    import ipaddress
    return str(ipaddress.ip_address(address))


def netlink_listeners(pid):
    """Whether the process has a netfilter netlink socket bound to groups."""
    try:
        return any(int(fields[1]) == 12 and int(fields[3], 16) for fields in (line.split() for line in pathlib.Path(f"/proc/{pid}/net/netlink").read_text().splitlines()[1:]))
    except FileNotFoundError:
        return False


class Ulogd(Watcher):
    name = "ulogd2, NFCT to a file"
    LINE = re.compile(r"\[DESTROY\] ORIG: SRC=(\S+) DST=(\S+) PROTO=(\S+) SPT=(\d+) DPT=(\d+).*?REPLY: SRC=(\S+) DST=(\S+) PROTO=\S+ SPT=(\d+) DPT=(\d+)")

    def command(self):
        plugins = "/usr/lib/x86_64-linux-gnu/ulogd"
        self.log = self.folder / "flows"
        conf = self.folder / "ulogd.conf"
        loads = "".join(f'plugin="{plugins}/ulogd_{name}.so"\n' for name in ("inpflow_NFCT", "filter_IP2STR", "filter_PRINTFLOW", "output_LOGEMU"))
        conf.write_text(f'[global]\nlogfile="stdout"\nloglevel=5\n{loads}stack=ct1:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,emu1:LOGEMU\n'
                        f'[ct1]\n[emu1]\nfile="{self.log}"\nsync=1\n')
        return ["ip", "netns", "exec", self.router, "ulogd", "-c", conf]

    def is_ready(self):
        return netlink_listeners(self.process.pid)

    def size(self):
        return self.log.stat().st_size if self.log.exists() else 0

    def rows(self):
        for line in self.log.read_text().splitlines():
            found = self.LINE.search(line)
            if found:
                src, dst, proto, sport, dport, _, reply_dst, _, reply_dport = found.groups()
                yield {"side": "flow", "proto": proto.lower(), "src": (plain(src), int(sport)), "dst": (plain(dst), int(dport)), "external": (plain(reply_dst), int(reply_dport))}


class Polling(Watcher):
    """What many scripts do."""
    name = "ss -tunap, every 100 ms"
    LOOP = """
import subprocess, sys, time
print("polling", flush=True)
while True:
    for name in sys.argv[1:]:
        text = subprocess.run(["ip", "netns", "exec", name, "ss", "-Htunap"], capture_output=True, text=True).stdout
        sys.stdout.write("".join(name[-1] + " " + line + "\\n" for line in text.splitlines()))
    sys.stdout.flush()
    time.sleep(0.1)
"""
    ready = "polling"

    def command(self):
        return [sys.executable, "-c", self.LOOP, self.client, self.server]

    def rows(self):
        split = lambda text: (text.rpartition(":")[0].strip("[]").split("%")[0], int(text.rpartition(":")[2]))
        for line in set(self.lines()):
            fields = line.split()
            if len(fields) < 7 or fields[2] in ("LISTEN", "UNCONN") or fields[6].endswith(":*"):
                continue
            pid = re.search(r"pid=(\d+)", line)
            ends = [split(fields[5]), split(fields[6])]
            local = fields[0] == "c"
            yield {"side": "out" if local else "in", "proto": fields[1], "src": ends[0 if local else 1], "dst": ends[1 if local else 0], "pid": int(pid.group(1)) if pid else None,
                   "repeats": True}


class Bpftrace(Watcher):
    """The tracepoint that needs no kprobe; the process as tcplife takes it: whoever was running at SYN_SENT."""
    name = "bpftrace, tracepoint inet_sock_set_state"
    ready = "Attaching"
    PROGRAM = """tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->newstate == 2/ { @[args->skaddr] = pid; }
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->newstate == 1 && args->family == 2/ {
  printf("%d %d %d %s %d %s %d\\n", args->oldstate, @[args->skaddr], pid, ntop(2, args->saddr), args->sport, ntop(2, args->daddr), args->dport); }
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->newstate == 1 && args->family == 10/ {
  printf("%d %d %d %s %d %s %d\\n", args->oldstate, @[args->skaddr], pid, ntop(10, args->saddr_v6), args->sport, ntop(10, args->daddr_v6), args->dport); }
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->oldstate == 2 && args->newstate == 7 && args->family == 2/ {
  printf("7 %d %d %s %d %s %d\\n", @[args->skaddr], pid, ntop(2, args->saddr), args->sport, ntop(2, args->daddr), args->dport); }
tracepoint:sock:inet_sock_set_state /args->protocol == 6 && args->oldstate == 2 && args->newstate == 7 && args->family == 10/ {
  printf("7 %d %d %s %d %s %d\\n", @[args->skaddr], pid, ntop(10, args->saddr_v6), args->sport, ntop(10, args->daddr_v6), args->dport); }"""

    def command(self):
        return ["bpftrace", "-B", "line", "-e", self.PROGRAM]

    def rows(self):
        for line in self.lines():
            fields = line.split()
            if len(fields) != 7 or not fields[0].isdigit():
                continue
            old, connector, current, saddr, sport, daddr, dport = fields
            ends = (saddr, int(sport)), (daddr, int(dport))
            if old == "3":
                yield {"side": "in", "proto": "tcp", "src": ends[1], "dst": ends[0], "pid": int(current)}
            else:
                yield {"side": "out", "proto": "tcp", "src": ends[0], "dst": ends[1], "pid": int(connector), "failed": old == "7"}


class Columns(Watcher):
    """Tools with one line a connection: which column holds what."""
    tool = ()
    side = "out"
    order = ()  # pid, remote and local addresses and ports, by column

    def command(self):
        return list(self.tool)

    def rows(self):
        for line in self.lines():
            fields = line.split()
            if len(fields) <= max(self.order) or not fields[self.order[0]].isdigit() or not fields[self.order[2]].isdigit() or not fields[self.order[4]].isdigit():
                continue
            pid, src, sport, dst, dport = (fields[at] for at in self.order)
            yield {"side": self.side, "proto": "tcp", "src": (unmapped(src), int(sport)), "dst": (unmapped(dst), int(dport)), "pid": int(pid)}


def unmapped(address):
    return address.removeprefix("::ffff:")


class TcpconnectBt(Columns):
    name, tool, ready, order = "bpftrace tcpconnect.bt", ("bpftrace", "-B", "line", "/usr/sbin/tcpconnect.bt"), "DPORT", (1, 3, 4, 5, 6)


class TcpacceptBt(Columns):
    name, tool, ready, order, side = "bpftrace tcpaccept.bt", ("bpftrace", "-B", "line", "/usr/sbin/tcpaccept.bt"), "LPORT", (1, 3, 4, 5, 6), "in"


class TcplifeBt(Columns):
    """One line for each end; ours is the client's."""
    name, tool, ready, order = "bpftrace tcplife.bt", ("bpftrace", "-B", "line", "/usr/sbin/tcplife.bt"), "RPORT", (0, 2, 3, 4, 5)


class TcpconnectBcc(Columns):
    name, tool, ready, order = "bcc tcpconnect -L", ("tcpconnect-bpfcc", "-L"), "DPORT", (0, 3, 4, 5, 6)


class TcpacceptBcc(Columns):
    name, tool, ready, order, side = "bcc tcpaccept", ("tcpaccept-bpfcc",), "LPORT", (0, 3, 4, 5, 6), "in"


class TcplifeBcc(Columns):
    name, tool, ready, order = "bcc tcplife -w", ("tcplife-bpfcc", "-w"), "RPORT", (0, 3, 4, 5, 6)


class TcptracerBcc(Columns):
    name, tool, ready = "bcc tcptracer", ("tcptracer-bpfcc",), "DPORT"

    def rows(self):
        for line in self.lines():
            fields = line.split()
            if len(fields) != 8 or fields[0] not in ("C", "A"):
                continue
            ends = (fields[4], int(fields[6])), (fields[5], int(fields[7]))
            yield {"side": "out" if fields[0] == "C" else "in", "proto": "tcp", "src": ends[0 if fields[0] == "C" else 1], "dst": ends[1 if fields[0] == "C" else 0], "pid": int(fields[1])}


WATCHERS = [Portbook, Conntrack, Ulogd, Polling, Bpftrace, TcpconnectBt, TcpacceptBt, TcplifeBt, TcpconnectBcc, TcpacceptBcc, TcplifeBcc, TcptracerBcc]
