#!/usr/bin/env python3
"""Tries to cross the boundary around each part of portbook from inside: as that part, confined as it confines itself.

Each act is first done without confinement, as root, so that a refusal is the confinement's and no accident.
"""
import os
import pathlib
import signal
import socket
import subprocess
import sys

import harness

PROBE = os.environ["BOUNDARY_PROBE"]

# What no part may ever do, and what reaches outside of its own.
NEVER = ["write", "trace", "signal", "connect", "connect an old socket", "execute", "fork", "raw socket", "packet socket", "become root", "mount",
         "new namespace", "change root", "executable memory", "change another's mode", "make a setuid file", "fast open an old socket"]
# A daemon that asks for root's number alone would do anything for a book that has it.
BOOK = ["read", "load", *NEVER, "change an own file's mode", "connect to a unix socket", "send to a unix socket"]
ACTS = {
    # The helper reads and loads for the agent; it cannot be kept from files without being kept from other processes' /proc too.
    "helper": NEVER,
    "agent": ["read", "list", "load", *NEVER],
    "book": BOOK,
    "book-of-root": BOOK,
}


def attempt(part, folder, act, argument):
    done = subprocess.run([PROBE, part, str(folder), act, argument], capture_output=True, text=True, timeout=30)
    if done.returncode == -signal.SIGSYS:
        return "ended by SIGSYS"
    assert done.returncode == 0, f"{part} {act}: exit {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout.strip().split("\n")[0]


def main():
    harness.need_root()
    wrong = []
    with harness.folder() as outside, harness.folder() as own, socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.socket(socket.AF_UNIX) as stream, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        outside.chmod(0o700)
        own.chmod(0o777)
        # Open to all, as daemons' sockets are.
        for one, name in ((stream, "stream"), (datagram, "datagram")):
            one.bind(str(own / name))
            (own / name).chmod(0o666)
        stream.listen()
        others = own / "others"  # root's, as whom the book of root could change it

        def fresh():
            for path in (others, own / "mine"):
                path.unlink(missing_ok=True)
                path.touch(0o644)
            (own / "setuid").unlink(missing_ok=True)

        fresh()
        victim = subprocess.Popen(["sleep", "600"])
        try:
            arguments = {"read": "/etc/shadow", "write": str(outside / "new"), "list": str(outside), "trace": str(victim.pid),
                         "signal": str(victim.pid), "connect": str(listener.getsockname()[1]),
                         "connect an old socket": str(listener.getsockname()[1]), "fast open an old socket": str(listener.getsockname()[1]),
                         "mount": str(outside), "change another's mode": str(others), "change an own file's mode": str(own / "mine"),
                         "make a setuid file": str(own / "setuid"), "connect to a unix socket": str(own / "stream"),
                         "send to a unix socket": str(own / "datagram")}
            for act in sorted({act for acts in ACTS.values() for act in acts}):
                without = attempt("none", own, act, arguments.get(act, ""))
                if without != "done":
                    wrong.append(f"without confinement, {act}: {without}: the test proves nothing")
                fresh()
            (outside / "new").unlink()
            for part, acts in ACTS.items():
                for act in acts:
                    fresh()
                    outcome = attempt(part, own, act, arguments.get(act, ""))
                    print(f"{part:7} {act:22} {outcome}")
                    if outcome == "done":
                        wrong.append(f"{part}: {act} was not refused")
                    if (others.stat().st_mode | (own / "mine").stat().st_mode) & 0o4022 or (own / "setuid").exists():
                        wrong.append(f"{part}: {act} changed a mode, or left a file that runs as its owner")
            for part in ("agent", "book", "book-of-root"):
                outcome = attempt(part, own, "write", str(own / part))
                if outcome != "done":
                    wrong.append(f"{part}: cannot write into its own folder: {outcome}")
            if pathlib.Path(outside / "new").exists():
                wrong.append("a file was made outside")
        finally:
            victim.kill()
            victim.wait()
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
