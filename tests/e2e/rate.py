#!/usr/bin/env python3
"""A hundred thousand records a second into the book, shipped as agents ship: every one acknowledged in time, no gap, memory flat.

    rate.py [--seconds S] [--rate R]        a minute: ./dev bench rate
"""
import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import harness

SOURCE = os.environ.get("RATE_SOURCE", "build/release/tests/rate_source")
HOST = "web-7"
LATE_SECONDS_MAX = 1.0           # how much longer than asked for all may take
MEMORY_BYTES_MAX = {"book": 256 << 20, "sender": 64 << 20}  # of the process's own
GROWTH_BYTES_MAX = 4 << 20       # of it in ten seconds, over the second half of a run of at least LONG_SECONDS
LONG_SECONDS = 60                # a block is sealed every 0.7 s: in a shorter run that is all there is to see


def own_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    return 0


def growth_in_ten_seconds(samples):
    """Slope of the least-squares line through the second half of the samples."""
    half = samples[len(samples) // 2 :]
    mean_x, mean_y = (sum(values) / len(half) for values in zip(*half))
    below = sum((x - mean_x) ** 2 for x, _ in half)
    return 10 * sum((x - mean_x) * (y - mean_y) for x, y in half) / below if below else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=100_000)
    options = parser.parse_args()
    with harness.folder() as folder:
        data, port = folder / "book", harness.free_port()
        ingest = folder / "book-agent" / "ingest.sock"
        with open(folder / "log", "wb") as log:
            book = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--host", HOST, "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            harness.wait_for(lambda: ingest.exists() or book.poll() is not None, "the book to listen")
            source = subprocess.Popen([SOURCE, str(ingest), str(folder / "spool"), HOST, str(options.rate), str(options.seconds)], stdout=subprocess.PIPE, text=True)
            memory = {"book": [], "sender": []}
            while source.poll() is None:
                for name, process in (("book", book), ("sender", source)):
                    memory[name].append((time.monotonic(), own_memory(process.pid)))
                time.sleep(0.25)  # between samples
            made, seconds, batches, longest = source.stdout.read().split()
            gaps = harness.rows(harness.run("search", "kind:gap", "--json", data=data).stdout)
            cpu = sum(map(int, pathlib.Path(f"/proc/{book.pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        finally:
            book.send_signal(signal.SIGTERM)
            book.wait(30)
        verified = harness.run("verify", data=data)
    print(f"{made} records in {seconds} s and {batches} batches, each acknowledged within {longest} ms; the book used {cpu / float(seconds):.2f} cores; {verified.stdout.splitlines()[0]}")
    for name, samples in memory.items():
        print(f"memory of the {name}: {samples[0][1] >> 20} to {samples[-1][1] >> 20} MiB, at most {max(size for _, size in samples) >> 20} MiB, "
              f"{growth_in_ten_seconds(samples) / 1024:+.0f} KiB in ten seconds in the second half")
    assert int(made) == options.rate * options.seconds, "not every record was acknowledged"
    assert float(seconds) <= options.seconds + LATE_SECONDS_MAX, "the book did not keep up"
    assert not gaps, gaps[:2]
    for name, samples in memory.items():
        assert max(size for _, size in samples) <= MEMORY_BYTES_MAX[name], f"the {name} takes too much memory"
        assert options.seconds < LONG_SECONDS or growth_in_ten_seconds(samples) <= GROWTH_BYTES_MAX, f"the {name}'s memory grows"
    return 0


if __name__ == "__main__":
    sys.exit(main())
