#!/usr/bin/env python3
"""The lab: real programs in network namespaces of its own, one path from a login to a row.

    alice ─┐                      ┌─ bastion (sshd → psql) ─┐
    apps1 ─┼─ nat (masquerade) ───┤                         ├─ haproxy → pool (PgBouncer) → db (PostgreSQL)
    apps2 ─┘                      └─────────────────────────┘

    lab.py up [--listen ADDRESS:PORT]   start it, walk the path once, leave it running with the page open on it
    lab.py down                         remove whatever a run left, also one that was killed

Everything lives in FOLDER and in namespaces whose names begin with PREFIX, so that what a killed run left is found by these two alone: the
user alice, /dev/log and /run/sshd exist in the bastion's own mounts, PostgreSQL's shared memory in an IPC namespace of its own.
"""
import argparse
import calendar
import contextlib
import glob
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import harness
from truth import rules, sh

PREFIX = "portbooklab-"
FOLDER = pathlib.Path("/tmp/portbook-lab")
NETS = {"alice": 1, "apps1": 2, "apps2": 3, "bastion": 4, "haproxy": 5, "pool": 6, "db": 7}
CLIENTS = ("alice", "apps1", "apps2")
PORT = 5432
NAT_PORTS = "20000-23999"   # few, so that they come again within minutes
OWN_PORTS = "30000 32999"
CLOCK_ERROR_MS = 5  # of the programs' logs against the kernel's records: one machine's clock, written in milliseconds
CONSOLE = FOLDER / "pool" / f".s.PGSQL.{PORT}"  # PgBouncer's socket
ASK_POOL = ("--pgbouncer", str(CONSOLE), "--pgbouncer-interval", "100ms")
POSTGRES = "postgres"  # the user of Debian's package

HAPROXY = """
global
  maxconn 4000
  nbthread 1
  log stdout format raw local0
defaults
  mode tcp
  timeout connect 10s
  timeout client 10m
  timeout server 10m
  log global
  log-format "portbook/1 %Ts.%ms %Tt %ci:%cp %fi:%fp %bi:%bp %si:%sp %f %b %s %ts %U %B"
frontend sql
  bind {haproxy}:{port}
  default_backend pool
backend pool
  server pool1 {pool}:{port}
"""
PGBOUNCER = """
[databases]
ledger = host={db} port={port} dbname=postgres user=postgres
[pgbouncer]
listen_addr = {pool}
listen_port = {port}
unix_socket_dir = {folder}/pool
auth_type = any
admin_users = lab
pool_mode = {pool_mode}
default_pool_size = {pool_size}
max_client_conn = 4000
server_login_retry = 1
query_wait_timeout = 60
ignore_startup_parameters = extra_float_digits
application_name_add_host = 1
"""
POSTGRESQL = """
listen_addresses = '{db}'
port = {port}
unix_socket_directories = '{folder}/db'
max_connections = 1200
shared_buffers = 32MB
fsync = off
log_connections = on
log_disconnections = on
log_statement = all
log_timezone = 'UTC'
log_line_prefix = 'portbook/1 %n [%p] %c %q%r %u %d %a '
"""
SSHD = """
ListenAddress {bastion}
HostKey {folder}/bastion/host_key
AuthorizedKeysFile {folder}/bastion/alice_key.pub
StrictModes no
UsePAM no
PasswordAuthentication no
LogLevel VERBOSE
PidFile none
"""
# In a mount namespace of its own: a /dev with the lab's log, a /run with sshd's folder, a user alice that no other process has.
BASTION = """
set -e
mount --make-rprivate /
mkdir -p {folder}/bastion/dev
mount -t tmpfs lab {folder}/bastion/dev
for one in null zero full random urandom tty; do touch {folder}/bastion/dev/$one; mount --bind /dev/$one {folder}/bastion/dev/$one; done
mkdir {folder}/bastion/dev/pts {folder}/bastion/dev/shm
mount --bind /dev/pts {folder}/bastion/dev/pts
ln -s pts/ptmx {folder}/bastion/dev/ptmx
ln -s {folder}/bastion/log.sock {folder}/bastion/dev/log
ln -s /proc/self/fd {folder}/bastion/dev/fd
mount --bind {folder}/bastion/passwd /etc/passwd
mount --bind {folder}/bastion/shadow /etc/shadow
mount --move {folder}/bastion/dev /dev
mount -t tmpfs lab /run
mkdir /run/sshd
exec /usr/sbin/sshd -D -f {folder}/bastion/sshd_config
"""
# What sshd says to /dev/log, a line for each datagram.
LOGGER = """
import socket, sys
one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
one.bind(sys.argv[1])
print("ready", flush=True)
with open(sys.argv[2], "ab", buffering=0) as out:
    while True:
        out.write(one.recv(65536).rstrip(b"\\n\\0") + b"\\n")
"""


def namespace(name):
    return PREFIX + name


def address(name):
    return f"10.91.{NETS[name]}.2"


def inside(name, *command):
    return ["ip", "netns", "exec", namespace(name), *map(str, command)]


def as_postgres(*command):
    return ["setpriv", f"--reuid={POSTGRES}", f"--regid={POSTGRES}", "--clear-groups", *map(str, command)]


def program(name):
    for path in (*glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), shutil.which(name), f"/usr/sbin/{name}"):
        if path and os.path.exists(path):
            return path
    return None


def missing_programs():
    return [name for name in ("haproxy", "pgbouncer", "postgres", "initdb", "psql", "sshd", "ssh", "nft", "setpriv") if not program(name)]


def listening(name, port):
    return f"{address(name)}:{port}" in sh(*inside(name, "ss", "-Hltn"))


class Lab:
    """The running lab. Use as a context manager; nothing of it is left afterwards."""

    def __init__(self, pool_mode="session", pool_size=1100):
        self.words = {**{name: address(name) for name in NETS}, "port": PORT, "folder": FOLDER, "pool_mode": pool_mode, "pool_size": pool_size}

    def __enter__(self):
        self.lock = lock()
        try:
            clean()
            FOLDER.mkdir(mode=0o755)
            FOLDER.chmod(0o755)
            self.network()
            self.start_programs()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        clean()
        self.lock.close()

    def network(self):
        sh("ip", "netns", "add", namespace("nat"))
        sh("ip", "-n", namespace("nat"), "link", "set", "lo", "up")
        for name, net in NETS.items():
            one = namespace(name)
            sh("ip", "netns", "add", one)
            sh("ip", "-n", one, "link", "set", "lo", "up")
            sh("ip", "-n", one, "link", "add", "up0", "type", "veth", "peer", "name", name, "netns", namespace("nat"))
            sh("ip", "-n", one, "addr", "add", f"{address(name)}/24", "dev", "up0")
            sh("ip", "-n", namespace("nat"), "addr", "add", f"10.91.{net}.1/24", "dev", name)
            sh("ip", "-n", one, "link", "set", "up0", "up")
            sh("ip", "-n", namespace("nat"), "link", "set", name, "up")
            sh("ip", "-n", one, "route", "add", "default", "via", f"10.91.{net}.1")
            sh(*inside(name, "sysctl", "-qw", f"net.ipv4.ip_local_port_range={OWN_PORTS}", "net.ipv4.tcp_tw_reuse=1", "net.core.somaxconn=4096"))
        rules(namespace("nat"), f"""
            table ip t {{ chain post {{ type nat hook postrouting priority srcnat;
              ip saddr {{ {", ".join(address(name) for name in CLIENTS)} }} ip protocol tcp masquerade to :{NAT_PORTS} fully-random; }}; }}""")
        sh(*inside("nat", "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        with contextlib.suppress(Exception):  # where the kernel lets a namespace choose: ports come again sooner
            sh(*inside("nat", "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=5"))

    def start(self, name, command, log, **options):
        with open(FOLDER / log, "ab") as out:
            return subprocess.Popen(inside(name, *command), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                    env={**os.environ, "TZ": "UTC"}, **options)

    def start_programs(self):
        for name in ("pool", "db"):
            (FOLDER / name).mkdir()
            shutil.chown(FOLDER / name, POSTGRES, POSTGRES)
        data = FOLDER / "db" / "data"
        subprocess.run(as_postgres(program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--no-instructions", "-E", "UTF8",
                                   "--locale=C"), check=True, stdout=subprocess.DEVNULL, cwd="/")
        with open(data / "postgresql.conf", "a", encoding="utf-8") as out:
            out.write(POSTGRESQL.format(**self.words))
        with open(data / "pg_hba.conf", "a", encoding="utf-8") as out:
            out.write("host all all 10.91.0.0/16 trust\n")
        (FOLDER / "pool" / "pgbouncer.ini").write_text(PGBOUNCER.format(**self.words))
        (FOLDER / "haproxy.cfg").write_text(HAPROXY.format(**self.words))
        self.start("db", ["unshare", "--ipc", *as_postgres(program("postgres"), "-D", data)], "postgresql.log")
        self.start("pool", as_postgres(program("pgbouncer"), FOLDER / "pool" / "pgbouncer.ini"), "pgbouncer.log")
        self.start("haproxy", [program("haproxy"), "-db", "-f", FOLDER / "haproxy.cfg"], "haproxy.log")
        self.start_bastion()
        for name, port in (("db", PORT), ("pool", PORT), ("haproxy", PORT), ("bastion", 22)):
            harness.wait_for(lambda name=name, port=port: listening(name, port), f"{name} to listen on {port}; its log is in {FOLDER}", 30)

    def start_bastion(self):
        here = FOLDER / "bastion"
        here.mkdir()
        (here / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + f"alice:x:47001:47001::{here}:/bin/sh\n")
        (here / "shadow").write_text(pathlib.Path("/etc/shadow").read_text() + "alice:*:19000:0:99999:7:::\n")
        (here / "shadow").chmod(0o600)
        (here / "sshd_config").write_text(SSHD.format(**self.words))
        for key in ("host_key", "alice_key"):
            sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(here / key))
        with open(FOLDER / "logger.log", "ab") as err:
            logger = subprocess.Popen(inside("bastion", sys.executable, "-c", LOGGER, here / "log.sock", FOLDER / "sshd.log"),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, start_new_session=True)
        assert logger.stdout.readline() == b"ready\n", "the bastion's log does not start"
        self.start("bastion", ["unshare", "--mount", "sh", "-c", BASTION.format(**self.words)], "sshd.err")

    def ssh(self, command, **options):
        """alice, at her own machine, runs a command on the bastion."""
        return subprocess.Popen(inside("alice", "ssh", "-q", "-i", FOLDER / "bastion" / "alice_key", "-o", "StrictHostKeyChecking=no", "-o",
                                       "UserKnownHostsFile=/dev/null", f"alice@{address('bastion')}", command),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True, **options)

    def alice_asks(self, sql):
        return self.ssh(f"psql -X -A -t -U alice -h {address('haproxy')} -d ledger -c \"{sql}\"")


class Links:
    """Which client of PgBouncer uses which of its server connections: `portbook follow --pgbouncer`, into a book of its own, so that its records
    can be given to other books, and changed."""

    def __init__(self):
        self.data = FOLDER / "links"
        with open(FOLDER / "links.log", "ab") as log:
            self.book = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{harness.free_port()}"],
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.sampler = subprocess.Popen([harness.PORTBOOK, "follow", "--pgbouncer", str(CONSOLE), "--data", str(self.data), "--pgbouncer-interval",
                                             "100ms", "--clock-error", f"{CLOCK_ERROR_MS}ms"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        harness.wait_for(lambda: harness.run("search", "since:1m", data=self.data, check=False).returncode == 0, "the book of the links", 60)

    def rows(self):
        done = harness.run("search", "records:all kind:proxy", "-n", "100000", "--json", data=self.data)
        return [row["record"] for row in harness.rows(done.stdout)]

    def wait_for(self, count):
        """Until so many links were seen to begin: one for each session."""
        harness.wait_for(lambda: len({(row["src.port"], row["up.src.port"], row["attrs"]["client"]) for row in self.rows() if "end" not in row}) >= count,
                         f"{count} links of PgBouncer; the sampler's log is {FOLDER}/links.log", 60)

    def stop(self):
        self.sampler.terminate()
        assert self.sampler.wait(60) == 0, (FOLDER / "links.log").read_text()
        self.links = self.rows()
        self.book.terminate()
        self.book.wait(60)

    def write(self, path):
        """As an import takes them, with times as numbers; once stopped."""
        with open(path, "w", encoding="utf-8") as out:
            for row in reversed(self.links):
                kept = {key: value for key, value in row.items() if key not in ("source", "source_seq", "host")}
                out.write(json.dumps({**kept, **{key: time_ns(row[key]) for key in ("time", "start", "end") if key in row}}) + "\n")


def time_ns(text):
    """Of "2026-11-22T12:03:04.123456789Z"."""
    return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 10**9 + int(text[20:29])


def import_written(data, clock_error_ms=CLOCK_ERROR_MS):
    """Takes the logs as they stand in FOLDER into the book, which nothing may have open; their clock may be so wrong."""
    if (FOLDER / "links.ndjson").exists():
        harness.run("import", FOLDER / "links.ndjson", "--source", "links", data=data)
    for log, form in (("haproxy.log", "haproxy"), ("postgresql.log", "postgresql"), ("pgbouncer.log", "pgbouncer"), ("sshd.log", "sshd")):
        if (FOLDER / log).exists():
            harness.run("import", FOLDER / log, "--format", form, "--source", form, "--clock-error", f"{clock_error_ms}ms", data=data)


def lock():
    """One lab at a time on a machine: a name that the kernel gives back when its holder ends, however it ends, and that leaves no file."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind("\0portbook-lab")
    except OSError:
        sys.exit("The lab is in use by another process; wait for it, or end it.")
    return held


def lab_namespaces():
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(PREFIX)]


def lab_processes():
    """Those of the lab's namespaces, and those outside that have the lab's folder as an argument: its book."""
    found = {int(pid) for name in lab_namespaces() for pid in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"portbook" in words[0] and any(word.startswith(bytes(FOLDER) + b"/") for word in words[1:]):
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def clean():
    """Ends and removes everything of the lab, whoever started it; returns once it is gone."""
    def gone():
        left = lab_processes()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left
    harness.wait_for(gone, "the lab's processes to end")
    for name in lab_namespaces():
        sh("ip", "netns", "del", name)
    shutil.rmtree(FOLDER, ignore_errors=True)


def walk_path(lab, book):
    """alice logs in and asks; returns the record of her own connection to the bastion, and stops the book with all logs in it."""
    alice = lab.alice_asks("select pg_backend_pid(), pg_sleep(3)")
    assert alice.wait(60) == 0, "alice's query failed; the logs are in " + str(FOLDER)
    alice_at = f"src.ip:{address('alice')} dst.port:22 direction:out"
    harness.wait_for(lambda: harness.run("search", alice_at + " kind:close", "--json", data=book.data).stdout, "the end of alice's connection")
    row = harness.rows(harness.run("search", alice_at, "--json", "-n", "1", data=book.data).stdout)[0]
    book.stop()
    import_written(book.data)
    return row["id"]


def up(listen):
    lab = Lab()
    lab.__enter__()
    try:
        with harness.Book(FOLDER / "book", *ASK_POOL) as book:
            record = walk_path(lab, book)
        with open(FOLDER / "portbook.log", "ab") as log:
            left = subprocess.Popen([harness.PORTBOOK, "up", "--no-logs", *ASK_POOL, "--data", str(FOLDER / "book"), "--listen", listen], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, start_new_session=True)
        harness.wait_for(lambda: harness.run("trace", f"#{record}", data=FOLDER / "book", check=False).returncode == 0, "the book to answer")
        assert left.poll() is None, (FOLDER / "portbook.log").read_text()
        print(harness.run("trace", f"#{record}", data=FOLDER / "book").stdout)
    except BaseException:
        lab.__exit__()
        raise
    print(f"The lab runs. Its page: http://{listen}/  Ask it: portbook trace '#{record}' --data {FOLDER}/book\n"
          f"Be alice: ip netns exec {namespace('alice')} ssh -i {FOLDER}/bastion/alice_key alice@{address('bastion')}\nEnd it: ./dev lab down")


def main():
    parser = argparse.ArgumentParser(description="The lab: real programs, one path from a login to a row.")
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--listen", default="127.0.0.1:7171", help="where the page is (default %(default)s)")
    options = parser.parse_args()
    harness.need_root()
    if options.command == "down":
        with lock():
            clean()
        return 0
    if missing_programs():
        print(f"SKIPPED: not installed: {', '.join(missing_programs())}; `./dev lab` installs them")
        return 77
    up(options.listen)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab goes in any case
    sys.exit(main())
