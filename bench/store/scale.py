#!/usr/bin/env python3
"""`./dev bench scale [RECORDS…]`: portbook alone with books of different sizes, filled with native batches of the workload: what who_bench
measures in its own process, and the questions of `./dev bench store` over HTTP. Its figures are kept and shown as figures.py says;
--print only prints them. Needs some 30 bytes of disk below TMPDIR for each record, and nothing from outside.

    scale.py [RECORDS …] [--questions N] [--seed N] [--print]
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import figures
from compare import BUILD, aggregates_of, anonymous_mib, forget_files
from figures import quantiles, run_of
from portbook import Portbook
from questions import Questions, Who, ns, utc

BENCH_LINE = re.compile(r"^\| (?P<what>[^|]+) \| (?P<how>cold|warm) \| \d+ \| \d+ \| (?P<p50>[0-9.]+) \| (?P<p99>[0-9.]+) \|")
SAMPLED = 200  # connections of each of some moments that questions are chosen from


def fill_and_ask(records, folder, count):
    """Fills folder/book; what who_bench printed."""
    bench = subprocess.run([BUILD / "bench/who_bench", str(records), folder / "book", "--questions", str(count)], stdout=subprocess.PIPE, text=True, check=True)
    measured = {}
    for line in bench.stdout.splitlines():
        print(line, file=sys.stderr)
        if filled := re.match(r"filled: (\d+) records/s", line):
            measured["load of native batches from one source, records/s"] = int(filled.group(1))
        elif sizes := re.match(r"bytes per record: segments ([0-9.]+), index runs ([0-9.]+)", line):
            measured["bytes a record, with indexes"] = round(float(sizes.group(1)) + float(sizes.group(2)), 2)
        elif row := BENCH_LINE.match(line):
            subject = row["what"] if row["what"].startswith("first") else f"who, {row['what']}"
            measured[f"in-process, {row['how']}: {subject}"] = [round(float(row["p50"]), 3), round(float(row["p99"]), 3)]
    return measured


def rows_of(book, query, limit):
    lines = book.get("search", q=query, limit=limit)[1].splitlines()
    return [row["row"]["record"] for row in map(json.loads, lines) if "row" in row]


def choose(book, count, seed):
    """Questions about closed connections of random moments, as the book itself tells of them."""
    chance = random.Random(seed)
    status = json.loads(book.get("status")[1])
    first, last = ns(status["first_record"]), ns(rows_of(book, "records:all kind:close", 1)[0]["time"])
    closed = []
    while len(closed) < max(count, 200):
        moment = chance.randrange(first, last)
        found = [row for row in rows_of(book, f"records:all kind:close direction:out until:{utc(moment)}", SAMPLED) if "start" in row and "end" in row]
        closed += chance.sample(found, min(20, len(found)))
    who = [Who("closed", row["src.ip"], row["src.port"], (ns(row["start"]) + ns(row["end"])) // 2, row["conn"]) for row in chance.choices(closed, k=count)]
    return Questions(status["size"], first, last, who, [(row["src.ip"], row["src.port"]) for row in chance.choices(closed, k=count)],
                     [row["uid"] for row in chance.choices(closed, k=200) if "uid" in row], [row["dst.port"] for row in chance.choices(closed, k=count)])


def measure(records, count, seed):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)  # the book's user passes through it
        measured = fill_and_ask(records, folder, count)
        forget_files(folder)
        book = Portbook(folder, BUILD / "portbook")
        try:
            measured["start until it answers, s"] = round(book.serve(), 2)
            asked = choose(book, count, seed)
            for what, ask in (("who over HTTP, covered", lambda: [book.who(one)[0] for one in asked.who]),
                              ("first 100 records of an endpoint, any time", lambda: [book.endpoint(*one)[0] for one in asked.endpoints])):
                ask()
                measured[what] = quantiles(ask())
            aggregates = aggregates_of(asked, 20)
            for ask, what in ((book.by_program, "count + sum by program"), (book.per_second, "one user, per second"), (book.destinations, "destinations of a port")):
                for one in aggregates:
                    ask(one)
                measured[what] = quantiles([ask(one)[0] for one in aggregates])
            measured["anonymous memory then, MiB"] = round(anonymous_mib(book.pid))
        finally:
            book.close()
        return run_of("scale", "portbook", book.version, records, measured, os.getloadavg()[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="*", type=int)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--print", action="store_true")
    arguments = parser.parse_args()
    runs = []
    for records in arguments.records or [1_000_000, 10_000_000, 100_000_000]:
        runs.append(measure(records, arguments.questions, arguments.seed))
        if not arguments.print:
            figures.keep(runs)  # after each size: the next may take an hour
    print("\n".join(figures.table(runs)))


if __name__ == "__main__":
    main()
