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
         "new namespace", "change root", "executable memory"]
ACTS = {
    # The helper reads and loads for the agent; it cannot be kept from files without being kept from other processes' /proc too.
    "helper": NEVER,
    "agent": ["read", "list", "load", *NEVER],
    "book": ["read", "load", *NEVER],
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
    with harness.folder() as outside, harness.folder() as own, socket.create_server(("127.0.0.1", 0)) as listener:
        outside.chmod(0o700)
        own.chmod(0o777)
        victim = subprocess.Popen(["sleep", "600"])
        try:
            arguments = {"read": "/etc/shadow", "write": str(outside / "new"), "list": str(outside), "trace": str(victim.pid),
                         "signal": str(victim.pid), "connect": str(listener.getsockname()[1]),
                         "connect an old socket": str(listener.getsockname()[1]), "mount": str(outside)}
            for act in sorted({act for acts in ACTS.values() for act in acts}):
                without = attempt("none", own, act, arguments.get(act, ""))
                if without != "done":
                    wrong.append(f"without confinement, {act}: {without}: the test proves nothing")
            (outside / "new").unlink()
            for part, acts in ACTS.items():
                for act in acts:
                    outcome = attempt(part, own, act, arguments.get(act, ""))
                    print(f"{part:7} {act:22} {outcome}")
                    if outcome == "done":
                        wrong.append(f"{part}: {act} was not refused")
            for part in ("agent", "book"):
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
