#!/usr/bin/env python3
"""`./dev bench store [RECORDS]`: the same rows and questions for portbook, ClickHouse (chdb) and DuckDB, one after the other.

The rows are those of `./dev bench generate`: what capture writes. Each engine has the machine to itself; its answers are compared with
the others'. portbook is asked over HTTP, the others inside their own process. Writes the section "Store" of docs/benchmarks.md;
--print only prints it. Needs npm, and some 1 KiB of disk below TMPDIR for each record.

    compare.py [RECORDS] [--seed N] [--questions N] [--only REGEX] [--print]
"""
import argparse
import collections
import dataclasses
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import questions
from peers import ClickHouse, DuckDB
from portbook import Portbook

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
PAGE = ROOT / "docs/benchmarks.md"
NANOSECONDS = 1_000_000_000


@dataclasses.dataclass
class Aggregate:
    """One random filter and range of time for all three aggregations; whole seconds."""
    since: int
    until: int
    uid: int
    port: int


def quantiles(milliseconds):
    ordered = sorted(milliseconds)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def anonymous_mib(pid):
    return int(re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


def forget_files(folder):
    """Drops the folder's files out of the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def ask_who(engine, asked):
    """Milliseconds by sort of question, and how many answers lacked the connection that they had to name, or named one for nobody."""
    took, wrong = collections.defaultdict(list), collections.Counter()
    for one in asked.who:
        ms, conns = engine.who(one)
        took[one.sort].append(ms)
        wrong[one.sort] += bool(conns) if one.conn is None else one.conn not in conns
    return took, wrong


def measure(engine, asked, aggregates):
    figures, answers = {}, {}
    cold = [engine.who(one)[0] for one in asked.who[:20]]
    figures["who, first twenty after a start, files not cached"] = cold
    ask_who(engine, asked)
    took, wrong = ask_who(engine, asked)
    for sort, milliseconds in sorted(took.items()):
        figures[f"who at a moment: {sort}" + (f" ({wrong[sort]} of {len(milliseconds)} wrong)" if wrong[sort] else "")] = milliseconds
    figures["first 100 records of an endpoint, any time"] = [engine.endpoint(*one)[0] for one in asked.endpoints[:100]]
    for name, title in (("by_program", "count + sum by program"), ("per_second", "one user, per second"), ("destinations", "destinations of a port")):
        ask = getattr(engine, name)
        answers[name] = [ask(one)[1] for one in aggregates]
        figures[title] = [ask(one)[0] for one in aggregates]
    return figures, answers


def aggregates_of(asked, count):
    span = (asked.last - asked.first) // NANOSECONDS
    first = asked.first // NANOSECONDS + 1
    made = []
    for i in range(count):
        since, until = first + span * (i % 7) // 40, first + span - span * (i % 5) // 40
        made.append(Aggregate(since * NANOSECONDS, until * NANOSECONDS, asked.uids[i], asked.ports[i]))
    return made


def cell(milliseconds):
    middle, high = quantiles(milliseconds)
    return f"{middle:,.2f} / {high:,.2f}"


def table(names, results):
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    rows = list(dict.fromkeys(row for result in results for row in result))
    for row in rows:
        lines.append(f"| {row} | " + " | ".join(result.get(row, "–") for result in results) + " |")
    return lines


def run(engine, lines, asked, aggregates, folder):
    """What one engine's column shows, and its answers."""
    shown = {}
    name = type(engine).__name__
    print(f"{name} {engine.version}", file=sys.stderr)
    load, after = engine.load(lines)
    shown["load of JSON lines, records/s"] = f"{asked.records / load:,.0f}" + (f" (then {after:.1f} s: {AFTER[name]})" if after else "")
    for what, size in engine.bytes_of(asked.records).items():
        shown[f"bytes a record: {what}"] = f"{size:.1f}"
    if name == "Portbook":
        forget_files(folder)
        shown["start until it answers"] = f"{engine.serve():.2f} s"
    else:
        engine.close()
        forget_files(folder)
        engine.__init__(engine.folder, engine.node)
    figures, answers = measure(engine, asked, aggregates)
    shown |= {what: cell(milliseconds) for what, milliseconds in figures.items()}
    shown["anonymous memory then, MiB"] = f"{anonymous_mib(engine.pid):,.0f}"
    return shown, answers


AFTER = {"ClickHouse": "merge", "DuckDB": "Parquet", "Portbook": ""}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--only", default="")
    parser.add_argument("--print", action="store_true")
    arguments = parser.parse_args()
    node = shutil.which("node")
    subprocess.run(["npm", "--prefix", ROOT / "bench/store", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], check=True)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)  # the book's user passes through it
        lines = folder / "lines"
        with open(lines, "wb") as file:
            subprocess.run([BUILD / "bench/generate", "ndjson", str(arguments.records), "--seed", str(arguments.seed)], stdout=file, check=True)
        asked = questions.choose(lines, arguments.questions, arguments.seed)
        aggregates = aggregates_of(asked, 20)
        shown, answers = {}, {}
        for make in (lambda: Portbook(folder, BUILD / "portbook"), lambda: ClickHouse(folder / "clickhouse", node), lambda: DuckDB(folder / "duckdb", node)):
            engine = make()
            title = type(engine).__name__
            try:
                if re.search(arguments.only, title):
                    shown[f"{title} {engine.version}"], answers[title] = run(engine, lines, asked, aggregates, folder)
            finally:
                engine.close()
        differ = [f"{name}: {title} and {next(iter(answers))}" for title in answers for name in answers[title] if answers[title][name] != answers[next(iter(answers))][name]]
        text = [f"`./dev bench store {arguments.records}`: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, "
                f"load average {os.getloadavg()[0]:.1f} at the end; {arguments.records:,} records, {lines.stat().st_size / arguments.records:.0f} bytes of JSON each. "
                "Milliseconds are p50 / p99.", "", *table(list(shown), list(shown.values())), "",
                "Answers that differ: " + ("; ".join(differ) or "none") + "."]
    print("\n".join(text))
    if not arguments.print:
        write_section("\n".join(text))
    return 1 if differ else 0


def write_section(text):
    """Replaces what stands between the section's marks."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- store: begin -->\n", "<!-- store: end -->"
    head, _, rest = page.partition(begin)
    _, mark, tail = rest.partition(end)
    if not mark:
        raise SystemExit(f"{PAGE} has no section between {begin.strip()} and {end}")
    PAGE.write_text(head + begin + text + "\n" + end + tail, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
