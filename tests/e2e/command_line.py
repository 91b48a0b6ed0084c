#!/usr/bin/env python3
"""The command line as its users meet it: in pipes that close, on terminals that are narrow, with names that are no text, and wrong.
On the book of docs/tasks.md and a process whose name tries to command the terminal; no privilege needed."""
import contextlib
import csv
import fcntl
import io
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata

import harness
import tasks_scene

SECONDS_MAX = 10
HOSTILE = "sh\x1b[31m\x1b]0;owned\x07\r\nComplete. Nothing\u009b1m is \u202egpj.\x7f データ \U0001f680"
ENDPOINT = "203.0.113.5:38055"
AT = "2025-11-20T11:31:00Z"
COLOUR = re.compile(r"\x1b\[\d+m")
FAILURES = []


def expect(condition, what, *details):
    print(("ok    " if condition else "WRONG ") + what)
    if not condition:
        FAILURES.append(what)
        for detail in details:
            print(f"      {str(detail)[:600]!r}")


def hostile_records():
    """A connection of a process whose every name would command a terminal that took it as it is."""
    scene = tasks_scene.Scene()
    begun = tasks_scene.seconds("11:50:00")
    process = scene.process(begun, "web-7", 666, "/tmp/" + HOSTILE, "deploy" + HOSTILE, 1001, cmdline=HOSTILE, container__name=HOSTILE, container="ab" * 32)
    scene.connection(begun + 1000, begun + tasks_scene.NS, "web-7", process, "out", ("10.8.3.17", 60_666), ("198.51.100.9", 5432), 5, 6)
    return "".join(json.dumps(record) + "\n" for _, record in scene.records)


class Desk:
    """A user's prompt: a folder, and a book that `portbook` asks."""

    def __init__(self, data, folder):
        self.data, self.folder = data, folder

    def arguments(self, args):
        args = list(map(str, args))
        return [harness.PORTBOOK, *args, *([] if args[0] in ("fields", "completion") or "--help" in args or "--data" in args else ["--data", str(self.data)])]

    def run(self, *args, env=None, stdin=None, **options):
        return subprocess.run(self.arguments(args), capture_output=True, cwd=self.folder, timeout=30 * harness.PATIENCE, input=stdin,
                              env={**os.environ, **(env or {})}, **options)

    def on_terminal(self, *args, columns=80, env=None):
        """What a terminal of that width is sent on standard output."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        with open(self.folder / "stderr", "wb") as errors:
            process = subprocess.Popen(self.arguments(args), stdout=slave, stderr=errors, stdin=subprocess.DEVNULL, cwd=self.folder,
                                       env={"PATH": os.environ["PATH"], "TERM": "xterm", **(env or {})})
        os.close(slave)
        got = b""
        with contextlib.suppress(OSError):  # the other end has closed
            while part := os.read(master, 65536):
                got += part
        os.close(master)
        process.wait(10 * harness.PATIENCE)
        return got.decode().replace("\r\n", "\n")


def width(text):
    """Columns of a terminal, by Python's own tables."""
    return sum(0 if unicodedata.combining(c) or unicodedata.category(c) in ("Mn", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


QUESTIONS = {
    "who": ["who", ENDPOINT, "--at", AT],
    "trace": ["trace", ENDPOINT, "--at", AT],
    "search": ["search", "host:web-7"],
    "tail": ["tail", "--from", "0"],
    "stats": ["stats", "--by", "exe"],
    "map": ["map"],
    "coverage": ["coverage"],
    "fields": ["fields"],
    "prove": ["prove", "3"],
    "verify": ["verify"],
    "doctor": ["doctor"],
    "completion": ["completion", "bash"],
    "who --from": ["who", "--from", "samples.csv", "--csv"],
    "search --json": ["search", "", "--json"],
    "search --csv": ["search", "", "--csv"],
    "map --html": ["map", "--html"],
    "coverage --csv": ["coverage", "--csv"],
    "stats --json": ["stats", "--json"],
    "verify --json": ["verify", "--json"],
    "--help": ["search", "--help"],
}


def output_that_is_not_taken(desk):
    for name, args in QUESTIONS.items():
        with open("/dev/full", "wb") as full:
            done = subprocess.run(desk.arguments(args), stdout=full, stderr=subprocess.PIPE, cwd=desk.folder, timeout=20 * harness.PATIENCE)
        said = done.stderr.decode()
        expect(done.returncode == 5 and "cannot write to standard output: No space left" in said, f"{name} to a full disk", done.returncode, said)
    for name in ("who", "search --json", "tail", "fields"):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(desk.arguments(QUESTIONS[name]), stdout=writer, stderr=subprocess.PIPE, cwd=desk.folder, timeout=20 * harness.PATIENCE,
                              preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN), restore_signals=False)
        os.close(writer)
        expect(done.returncode == 5 and b"Broken pipe" in done.stderr, f"{name} into a pipe that closed, SIGPIPE ignored", done.returncode, done.stderr)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(desk.arguments(["search", "dts.port:1"]), stdout=full, stderr=full, timeout=20 * harness.PATIENCE)
    expect(done.returncode == 2, "an error that cannot be said keeps its exit code", done.returncode)
    piped = subprocess.run(f"{' '.join(desk.arguments(['search', '--json']))} | head -1", shell=True, capture_output=True, timeout=20)
    expect(piped.stdout.count(b"\n") == 1 and not piped.stderr, "into head", piped.stderr)


def everything_is_given(desk):
    whole = desk.run("search", "records:all", "--json")
    rows = harness.rows(whole.stdout.decode())
    expect(len(rows) > 500 and b"--limit" not in whole.stderr, f"search --json gives all {len(rows)} rows", whole.stderr)
    table = list(csv.reader(io.StringIO(desk.run("search", "records:all", "--csv", "--columns", "id").stdout.decode(), newline="")))
    expect(abs(len(table) - 1 - len(rows)) < 50, "search --csv gives all of them", len(table))
    for form in ([], ["--json"], ["--csv"]):
        few = desk.run("search", "records:all", "-n", "7", *form)
        expect(b"The 7 newest are shown; --limit gives more" in few.stderr and few.returncode == 0, f"a limit is told {form}", few.stderr)
    empty = desk.run("search", "pid:1", "--csv", "--columns", "id,exe")
    expect(empty.stdout == b"id,exe\r\n", "CSV without a row has its header", empty.stdout)

    counts = harness.rows(desk.run("stats", "--by", "pid", "-n", "3", "--json").stdout.decode())
    all_counts = harness.rows(desk.run("stats", "--by", "pid", "-n", "10000", "--json").stdout.decode())
    others = counts[-1].get("others", {})
    expect(len(counts) == 4 and others["groups"] == len(all_counts) - 3 and
           all(others[name] == sum(one[name] for one in all_counts[3:]) for name in ("count", "failed", "bytes_out", "bytes_in")), "stats --json: the others add up", counts)
    expect(all("others" not in one for one in all_counts), "no others when all are given")
    expect(f"({others['groups']} others)" in desk.run("stats", "--by", "pid", "-n", "3").stdout.decode(), "stats: the others in the table")
    last = list(csv.reader(io.StringIO(desk.run("stats", "--by", "pid,exe", "-n", "3", "--csv").stdout.decode(), newline="")))[-1]
    expect(last[0].endswith("others)") and len(last) == 6, "stats --csv: the others", last)


def names_are_text(desk):
    asked = [["who", "10.8.3.17:60666", "--at", "2025-11-20T11:50:00.5Z"], ["who", "10.8.3.17:60666", "--at", "2025-11-20T11:49:00Z"],
             ["trace", "10.8.3.17:60666@2025-11-20T11:50:00Z"],
             ["search", "pid:666", "--columns", "id,exe,cmdline,user,container.name,comm"], ["search", "pid:666"], ["search", "kind:process pid:666"],
             ["stats", "--by", "exe,user", "pid:666"], ["map", "pid:666"], ["coverage", "pid:666"],
             ["who", "--from", "hostile.txt"], ["who", "x\x1b]0;y\x07"], ["search", "f\x1b[1m:2"], ["\x1b[2J"], ["search", "--\x1b[2J"]]
    (desk.folder / "hostile.txt").write_text("10.8.3.17:60666@2025-11-20T11:50:00Z \x1b[31m\u009b\n")
    for args in asked:
        for colour in ([], ["--color", "always"]) if args[0].isalpha() else ([],):
            done = desk.run(*args, *colour)
            said = COLOUR.sub("", (done.stdout + done.stderr).decode()) if colour else (done.stdout + done.stderr).decode()
            wrong = [c for c in said if (unicodedata.category(c) == "Cc" and c != "\n") or c in "\u202e\u2028"]
            expect(not wrong and done.returncode in (0, 1, 2), f"no command to the terminal: {args[:2]!r} {colour}", wrong, said)
        expect("\nComplete. Nothing" not in said, f"no line of its own: {args[0]!r}", said)
    red = desk.run("search", "pid:666", "--columns", "cmdline", "--color", "always").stdout.decode()
    expect("?[31m" in red and "\x1b[31m" not in red, "another's colour is not taken over", red)
    row = harness.rows(desk.run("search", "pid:666", "--json").stdout.decode())[0]
    expect(HOSTILE in row["record"]["exe"], "JSON keeps the name as it is", row["record"]["exe"])
    expect("\u009b" not in desk.run("search", "pid:666", "--json").stdout.decode(), "JSON escapes what terminals obey")
    raw = desk.run("search", "pid:666", "--csv", "--columns", "cmdline,pid").stdout
    parsed = list(csv.reader(io.StringIO(raw.decode(), newline=""), strict=True))
    expect(parsed == [["cmdline", "pid"], [HOSTILE, "666"]], "CSV keeps the name as it is, in quotes", parsed)
    expect(raw.startswith(b"cmdline,pid\r\n") and raw.endswith(b",666\r\n"), "lines of CSV end in CR LF", raw)
    on_terminal = desk.on_terminal("search", "pid:666", "--csv", "--columns", "cmdline")
    expect("\x1b" not in on_terminal, "CSV on a terminal is text", on_terminal)


def terminals(desk):
    colours = lambda *args, **env: bool(COLOUR.search(desk.on_terminal("search", "pid:33", *args, env=env)))
    expect(colours(), "a terminal has colours")
    expect(not colours(NO_COLOR="1"), "none with NO_COLOR")
    expect(colours(NO_COLOR=""), "an empty NO_COLOR is none")
    expect(not colours(TERM="dumb"), "none with TERM=dumb")
    expect(not colours("--color", "never"), "none with --color never")
    expect(colours("--color", "always", NO_COLOR="1"), "--color always stands over NO_COLOR")
    expect(not COLOUR.search(desk.run("who", ENDPOINT, "--at", AT).stdout.decode()), "a pipe has none")
    expect(COLOUR.search(desk.run("who", ENDPOINT, "--at", AT, "--color", "always").stdout.decode()) is not None, "a pipe has them with --color always")

    for columns in (80, 100, 140):
        for name in ("search", "fields", "map", "doctor", "stats"):
            lines = COLOUR.sub("", desk.on_terminal(*QUESTIONS[name], columns=columns)).splitlines()
            expect(len(lines) > 2 and max(map(width, lines)) <= columns, f"{name} fits {columns} columns", max(lines, key=width))
    narrow = desk.on_terminal("search", "dst.port:5432 host:web-7", "--color", "never")
    expect("10.8.3.17:40440" in narrow and "198.51.100.9:5432" in narrow, "no end and no port is cut", narrow)
    expect("Left out, as this terminal is narrow" in (desk.folder / "stderr").read_text(), "it says which columns are not there")
    wide = desk.on_terminal("search", "pid:666", "--columns", "exe,pid", "--color", "never", columns=200).splitlines()
    expect(width(wide[1][: wide[1].rindex("666")]) == wide[0].index("pid"), "columns stand below each other, also behind wide characters", wide)
    piped = desk.run("search", "pid:7327", "--columns", "cmdline,internal,external,dst,start,exe,user,login_user,host").stdout.decode()
    expect("python3 load.py --session 27" in piped and "…" not in piped, "in a pipe nothing is cut", piped)


def coverage_as_csv(desk):
    table = list(csv.DictReader(io.StringIO(desk.run("coverage", "--csv").stdout.decode(), newline="")))
    report = json.loads(desk.run("coverage", "--json").stdout)
    parts = lambda name: [row for row in table if row["part"] == name]
    expect(parts("connections")[0]["count"] == str(report["connections"]), "coverage --csv: connections", parts("connections"))
    expect([row["share"] for row in parts("have")] == [share["share"] for share in report["shares"]], "coverage --csv: shares", parts("have"))
    expect(len(parts("exception")) == len(report["exceptions"]) and len(parts("gap")) == len(report["completeness"]["missing"]), "coverage --csv: gaps and exceptions")


def what_was_meant(desk):
    for args, word in [(["serch"], "did you mean search?"), (["whom"], "did you mean who?"), (["search", "--jsn"], "did you mean --json?"),
                       (["who", "x", "--pear=1"], "did you mean --peer?"), (["token", "ad"], "did you mean add?"), (["stats", "--by", "dst.prot"], "did you mean dst.port?"),
                       (["search", "--columns", "intrnal"], "did you mean internal?"), (["search", "usr:alice"], "user"), (["search", "proto:tpc"], "tcp"),
                       (["who", ENDPOINT, "--host", "web-8"], "web-7")]:
        done = desk.run(*args)
        said = done.stderr.decode()
        expect(done.returncode == 2 and word in said and said.count("\n") == 1, f"{' '.join(args)}: {word}", done.returncode, said)


def lists_from_files(desk):
    (desk.folder / "feed.txt").write_text("# a feed\n203.0.113.0/24\n\n203.0.113.999\n")
    (desk.folder / "good.txt").write_text("203.0.113.0/24\n198.51.100.0/24\n")
    said = desk.run("search", "user:alice ip:@feed.txt").stderr.decode()
    expect("feed.txt, line 4" in said and "203.0.113.999" in said and "position" not in said, "a wrong value in a list by its file and line", said)
    said = desk.run("search", "ip:@good.txt dts.port:1").stderr.decode()
    expect("(at position 14;" in said and "dst.port" in said, "what is wrong behind a list by its position as it was typed", said)
    found = harness.rows(desk.run("search", "host:web-7 dst.ip:@good.txt", "--json").stdout.decode())
    expect(len(found) == 41, "a list finds what its values find", len(found))


def imports(folder):
    data, log = folder / "imported", folder / "haproxy.log"
    log.write_text("Nov 23 12:31:46 lb-1 haproxy[31630]: 203.0.113.5:34866 [23/Nov/2025:12:31:46.704] front back/s1 1/0/12 40 -- 1/1/0/0/0 0/0\nnot a line of haproxy\n")
    run = lambda *args: subprocess.run([harness.PORTBOOK, "import", str(log), "--data", str(data), *args], capture_output=True, text=True, timeout=20 * harness.PATIENCE,
                                       env={**os.environ, "TZ": "CET-1CEST,M3.5.0/2,M10.5.0/3"})
    for args, words in [(["--zone", "+01:00"], "--zone is for --format"), (["--format", "json", "--zone", "+01:00"], "--zone is for --format"),
                        (["--format", "haproxi"], "there are json, haproxy"), (["--format", "haproxy", "--zone", "Mars/Olympus"], "is no offset such as +01:00")]:
        done = run(*args)
        expect(done.returncode == 2 and words in done.stderr and not data.exists(), f"import {' '.join(args)}: {words}", done.returncode, done.stderr)
    done = run("--format", "haproxy", "--zone", "local", "--host", "lb-1")
    expect(done.returncode == 0 and "1 of 2 lines were not understood" in done.stderr, "import --format haproxy --zone local", done.returncode, done.stderr)
    with served(data, folder) as port:
        found = [row["record"] for row in harness.rows(subprocess.run([harness.PORTBOOK, "search", "kind:proxy records:all", "--json", "--data", str(data)],
                                                                       capture_output=True, text=True, timeout=20 * harness.PATIENCE).stdout)]
    expect(len(found) == 1 and found[0]["start"].startswith("2025-11-23T11:31:46.704") and found[0]["src.port"] == 34866, "its times are in that zone", found)


@contextlib.contextmanager
def served(data, folder):
    """A book that answers, though nobody takes what it prints."""
    port = harness.free_port()
    with open("/dev/full", "wb") as full, open(folder / "serve.log", "ab") as log:
        serve = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--host", "case-17"], stdout=full, stderr=log,
                                 stdin=subprocess.DEVNULL)
    try:
        harness.wait_for(lambda: harness.run("search", "-n", "1", data=data, check=False).returncode == 0, "the book to answer")
        yield port
    finally:
        serve.terminate()
        serve.wait(20 * harness.PATIENCE)


def main():
    begun = time.monotonic()
    with harness.folder() as folder:
        data, desk_folder = folder / "book", folder / "desk"
        desk_folder.mkdir()
        (desk_folder / "samples.csv").write_text(tasks_scene.samples())
        records = folder / "records.jsonl"
        records.write_text(tasks_scene.records() + hostile_records())
        subprocess.run([os.environ["SCENE_BOOK"], str(records), str(data), "case-17"], check=True)
        imports(folder)
        desk = Desk(data, desk_folder)
        with served(data, folder):
            for part in (output_that_is_not_taken, everything_is_given, names_are_text, terminals, coverage_as_csv, what_was_meant, lists_from_files):
                part(desk)
    assert not FAILURES, f"{len(FAILURES)} went wrong: {', '.join(FAILURES)}"
    took = time.monotonic() - begun
    assert took < SECONDS_MAX * harness.PATIENCE, f"it took {took:.1f} s"
    print(f"{took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
