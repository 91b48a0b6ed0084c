#!/usr/bin/env python3
"""`./dev bench store [RECORDS]`: the same rows and questions for portbook, ClickHouse (chdb) and DuckDB, one after the other.

The rows are those of `./dev bench generate`: what capture writes. Each engine has the machine to itself; its answers are compared with
the others'. portbook is asked over HTTP, the others inside their own process. Its figures are kept and shown as figures.py says;
--print only prints them. Needs npm, and some 1 KiB of disk below TMPDIR for each record.

    compare.py [RECORDS] [--seed N] [--questions N] [--only REGEX] [--print]
"""
import argparse
import collections
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import figures
import questions
from figures import quantiles, run_of
from peers import ClickHouse, DuckDB
from portbook import Portbook

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build/release"
NANOSECONDS = 1_000_000_000


@dataclasses.dataclass
class Aggregate:
    """One random filter and range of time for all three aggregations; whole seconds."""
    since: int
    until: int
    uid: int
    port: int


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
    milliseconds_of, answers = {}, {}
    cold = [engine.who(one)[0] for one in asked.who[:20]]
    milliseconds_of["who, first twenty after a start, files not cached"] = cold
    ask_who(engine, asked)
    took, wrong = ask_who(engine, asked)
    for sort, milliseconds in sorted(took.items()):
        milliseconds_of[f"who at a moment: {sort}" + (f" ({wrong[sort]} of {len(milliseconds)} wrong)" if wrong[sort] else "")] = milliseconds
    milliseconds_of["first 100 records of an endpoint, any time"] = [engine.endpoint(*one)[0] for one in asked.endpoints[:100]]
    for name, title in (("by_program", "count + sum by program"), ("per_second", "one user, per second"), ("destinations", "destinations of a port")):
        ask = getattr(engine, name)
        answers[name] = [ask(one)[1] for one in aggregates]
        milliseconds_of[title] = [ask(one)[0] for one in aggregates]
    return milliseconds_of, answers


def aggregates_of(asked, count):
    span = (asked.last - asked.first) // NANOSECONDS
    first = asked.first // NANOSECONDS + 1
    made = []
    for i in range(count):
        since, until = first + span * (i % 7) // 40, first + span - span * (i % 5) // 40
        made.append(Aggregate(since * NANOSECONDS, until * NANOSECONDS, asked.uids[i], asked.ports[i]))
    return made


def run(engine, lines, asked, aggregates, folder):
    """The engine's figures, and its answers."""
    measured = {}
    name = type(engine).__name__
    print(f"{name} {engine.version}", file=sys.stderr)
    load, after = engine.load(lines)
    measured["load of JSON lines, records/s"] = round(asked.records / load)
    if after:
        measured["then, in seconds: the merge of ClickHouse, the Parquet file of DuckDB"] = round(after, 1)
    sizes = engine.bytes_of(asked.records)
    for what, size in sizes.items():
        measured[f"bytes a record: {what}"] = round(size, 2)
    if isinstance(engine, Portbook):
        measured["bytes a record, with indexes"] = round(sum(sizes.values()), 2)
        forget_files(folder)
        measured["start until it answers, s"] = round(engine.serve(), 2)
    else:
        measured["bytes a record, with indexes"] = round(next(iter(sizes.values())), 2)
        engine.close()
        forget_files(folder)
        engine.__init__(engine.folder, engine.node)
    took, answers = measure(engine, asked, aggregates)
    measured |= {what: quantiles(milliseconds) for what, milliseconds in took.items()}
    measured["anonymous memory then, MiB"] = round(anonymous_mib(engine.pid))
    return measured, answers


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
        runs, answers = [], {}
        for make in (lambda: Portbook(folder, BUILD / "portbook"), lambda: ClickHouse(folder / "clickhouse", node), lambda: DuckDB(folder / "duckdb", node)):
            engine = make()
            title = "portbook" if isinstance(engine, Portbook) else type(engine).__name__
            try:
                if re.search(arguments.only, title, re.IGNORECASE):
                    measured, answers[title] = run(engine, lines, asked, aggregates, folder)
                    runs.append(run_of("store", title, engine.version, asked.records, measured, os.getloadavg()[0]))
            finally:
                engine.close()
        first = next(iter(answers))
        differ = [f"{name}: {title} and {first}" for title in answers for name in answers[title] if answers[title][name] != answers[first][name]]
    print(f"{asked.records:,} records\n\n" + "\n".join(figures.table(runs)) + "\n\nAnswers that differ: " + ("; ".join(differ) or "none") + ".")
    if not arguments.print and not differ:
        figures.keep(runs)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
