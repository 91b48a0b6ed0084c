#!/usr/bin/env python3
"""Real containers (podman, runc): the records of what runs inside have the container's id and the name that its runtime gave it.

One container is there before capture begins and shares the host's network; the other begins later and has a network of its own, where
it talks to itself.
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import harness

# runc also where version 1 and 2 control groups are mixed; limits that a root without all rights may set.
PODMAN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
LIMITS = ["--ulimit", "nofile=4096:4096", "--ulimit", "nproc=1000:1000"]
INSIDE_PORT = 7000


def podman(*args):
    done = subprocess.run([*PODMAN, *args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"podman {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()


@contextlib.contextmanager
def container(name, network, root):
    """Its id."""
    try:
        yield podman("run", "--detach", "--name", name, *LIMITS, "--network", network, "--rootfs", str(root), "sleep", "300")
    finally:
        subprocess.run([*PODMAN, "rm", "--force", "--time", "0", name], capture_output=True)


def make_root(folder):
    root = folder / "root"
    for part in ("bin", "proc", "sys", "dev", "etc", "tmp", "run"):
        (root / part).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "nc", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    return root


def named(book, port, name):
    """The connections to that port whose record has that name; the name of a container is looked for when it is first seen."""
    rows = harness.rows(harness.run("search", f"dst.port:{port} container.name:{name}", "--json", data=book.data).stdout)
    return [row["record"] for row in rows if "record" in row]


def serve(server):
    """Closes every connection at once, until the socket is closed."""
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()


def check(record, identity, name):
    assert (record["container"], record["container.name"]) == (identity, name), record
    assert record["exe"].endswith("/busybox") and record["comm"] == "nc" and record["pid"] > 1, record


def main():
    harness.need_root()
    before, later = (f"portbook-{kind}-{os.getpid()}" for kind in ("before", "later"))
    with harness.folder() as folder:
        root = make_root(folder)
        with container(before, "host", root) as first, harness.Book(folder / "book") as book, socket.create_server(("127.0.0.1", 0)) as server:
            harness.wait_for(lambda: "is recording" in book.log.read_text(), "capture to start")
            port = server.getsockname()[1]
            threading.Thread(target=serve, args=[server], daemon=True).start()

            def talk():
                podman("exec", before, "sh", "-c", f"nc 127.0.0.1 {port} < /dev/null")
                return named(book, port, before)
            for record in harness.wait_for(talk, "the name of the container that was there before"):
                check(record, first, before)
                assert record["netns"] == os.stat("/proc/self/ns/net").st_ino, record
            with container(later, "none", root) as second:
                def talk_inside():
                    podman("exec", later, "sh", "-c", f"nc -l -p {INSIDE_PORT} < /dev/null & until nc 127.0.0.1 {INSIDE_PORT} < /dev/null; do :; done; wait")
                    return [one for one in named(book, INSIDE_PORT, later) if one["direction"] == "out"]
                for record in harness.wait_for(talk_inside, "the name of the container that came later"):
                    check(record, second, later)
                    assert record["netns"] != os.stat("/proc/self/ns/net").st_ino, record
    print(f"{before} is {first[:12]}, {later} is {second[:12]}: found by name, in the host's network and in one of its own")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the containers go in any case
    sys.exit(main())
