#!/usr/bin/env python3
"""Logs followed while they are written: each line once in the book, over rotations, cuts, and kills of the follower and of the book."""
import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import harness
from harness import wait_for


class Writer:
    """A program that writes a log, and what rotates it. A line is a PgBouncer's login with a number of its own."""

    def __init__(self, path, zone="UTC"):
        self.path = path
        self.zone = zone
        self.written = []
        self.rotations = 0
        self.add()

    def add(self, lines=1):
        with open(self.path, "a") as log:
            for _ in range(lines):
                number = len(self.written)
                text = (f"2026-11-23 12:{number // 60 % 60:02}:{number % 60:02}.000 {self.zone} [77] LOG C-0x{number + 4096:x}: "
                        f"app/user{number}@10.8.1.4:{20000 + number} login attempt: db=app user=user{number} tls=no")
                log.write(text + "\n")
                self.written.append(text)

    def _next_name(self):
        self.rotations += 1
        return self.path.with_name(f"{self.path.name}-20261123{self.rotations:06}")

    def rename(self):
        self.path.rename(self._next_name())
        self.add()

    def copy_and_cut(self):
        shutil.copyfile(self.path, self._next_name())
        os.truncate(self.path, 0)
        self.add()


def children(pid):
    """The process of each command that `portbook up` runs; one that is ending has no command any more."""
    found = {}
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if len(words) > 1:
                found[words[1].decode()] = int(child)
    return found


def followed(data, source_end):
    """The records of one log, in the order of their numbers."""
    done = harness.run("search", "records:all", "--json", data=data, check=False)
    found = [row["record"] for row in harness.rows(done.stdout)]
    found = [record for record in found if record["source"].endswith(source_end)]
    return sorted(found, key=lambda record: record["source_seq"])


def kept_offset(data):
    positions = pathlib.Path(f"{data}-agent/logs/positions").read_text().splitlines()
    return int(next(line for line in positions if "/log/pgbouncer.log " in line).split()[3])


def check_all(data, source_end, writer, seconds=60):
    """Every line of the writer stands in the book, once and in its order."""
    def whole():
        records = followed(data, source_end)
        return records if len(records) >= len(writer.written) else None
    try:
        records = wait_for(whole, f"{len(writer.written)} lines", seconds)
    except AssertionError as error:
        records = followed(data, source_end)
        raise AssertionError(f"{error}; there are {len(records)}, the last ones {records[-3:]}") from error
    assert [record["source_seq"] for record in records] == list(range(1, len(records) + 1))
    gaps = [record for record in records if record["kind"] == "gap"]
    assert not gaps, gaps
    ports = [record["src.port"] for record in records]
    assert ports == [20000 + number for number in range(len(writer.written))], "lines are missing, doubled or swapped"
    assert all(record["kind"] == "note" and record["vantage"] == "app" for record in records)


def follows_found_and_named_logs(folder):
    data = folder / "book"
    logs = folder / "logs"
    logs.mkdir()
    logs.chmod(0o700)  # its program's alone
    writer = Writer(logs / "pgbouncer.log")
    writer.path.chmod(0o600)
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print(f"seed {seed}; again: SEED={seed} python3 tests/e2e/follow.py")
    chance = random.Random(seed)
    with harness.Book(data, "--no-logs", "--follow", f"{writer.path}:pgbouncer") as book:
        assert f"Following {writer.path}, a log of pgbouncer." in book.log.read_text()
        check_all(data, "/log/pgbouncer.log", writer)
        status = harness.run("doctor", data=data, check=False).stdout
        assert "Log pgbouncer.log" in status and "0 not understood" in status, status
        account = next(line for line in open(f"/proc/{children(book.process.pid)['follow']}/status") if line.startswith("Uid:"))
        assert os.geteuid() != 0 or account.split()[1] != "0", account

        for _ in range(8):
            writer.add(chance.randrange(1, 200))
            what = chance.randrange(4)
            if what == 0:
                writer.rename()
            elif what == 1:
                # What a program writes between the copy and the cut nobody can have: here it writes nothing.
                # And where it was read to has to be kept: a file that is cut while nobody knows any of it cannot be told from its copy.
                check_all(data, "/log/pgbouncer.log", writer)
                wait_for(lambda: kept_offset(data) == writer.path.stat().st_size, "the position to be kept", 60)
                writer.copy_and_cut()
            victim = chance.choice(["follow", "serve"])
            process = children(book.process.pid).get(victim)
            if process:
                os.kill(process, signal.SIGKILL)
                writer.add(chance.randrange(1, 50))
                wait_for(lambda: children(book.process.pid).get(victim) not in (None, process), f"another {victim}", 60)
        check_all(data, "/log/pgbouncer.log", writer)
    # Nobody follows: what is written and rotated meanwhile is read later.
    writer.add(30)
    writer.rename()
    writer.rename()
    with harness.Book(data, "--no-logs", "--follow", f"{writer.path}:pgbouncer") as book:
        check_all(data, "/log/pgbouncer.log", writer)
        book.kill()
    writer.add(3)
    with harness.Book(data, "--no-logs", "--follow", f"{writer.path}:pgbouncer"):
        check_all(data, "/log/pgbouncer.log", writer)
    print(f"ok: {len(writer.written)} lines once each, over {writer.rotations} rotations")


def follow_is_a_command_of_its_own(folder):
    data = folder / "other"
    writer = Writer(folder / "alone.log", "CET")  # an abbreviation says nothing: the machine's zone does
    with harness.Book(data) as _:
        command = [harness.PORTBOOK, "follow", str(writer.path), "--format", "pgbouncer", "--data", str(data)]
        for _ in range(2):
            process = subprocess.Popen(command, env={**os.environ, "TZ": "CET-1CEST,M3.5.0/2,M10.5.0/3"})
            writer.add(5)
            check_all(data, "/log/alone.log", writer)
            process.terminate()
            assert process.wait(30) == 0
        assert followed(data, "/log/alone.log")[0]["time"].startswith("2026-11-23T11:00:00"), "the zone of the process is not that of the log"
        for words, said in ((["--format", "nothing"], "there is no \"nothing\""), ([], "whose log"), (["--format", "sshd", "--zone", "x"], "--zone")):
            done = harness.run("follow", writer.path, *words, data=data, check=False)
            assert done.returncode == 2 and said in done.stderr, done
    print("ok: portbook follow")


def main():
    harness.need_root()
    with harness.folder() as folder:
        follows_found_and_named_logs(folder)
        follow_is_a_command_of_its_own(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
