#!/usr/bin/env python3
"""The clock that capture was given is stepped by an hour, forwards and back, at random moments under load: every connection is recorded
once, with its process, at the time which that clock showed then. Between a step and capture's next look at the clock (a second) the time
before the step may still be written; it is never a time in between. The machine's own clock is not touched.

    clock_steps.py [SEED]       the seed is printed
"""
import collections
import json
import os
import random
import subprocess
import sys
import time

import harness
from capture_cases import Dump
from truth_of_sockets import nanoseconds

LOAD = os.environ.get("STEADY_LOAD", "build/release/tests/steady_load")
HOUR = 3_600 * 1_000_000_000
LOOK_NS = 1_100_000_000    # capture samples the clock each second
STEPPING_NS = 20_000_000   # between the step and this test's note of it
SLACK_NS = 2_000_000


class Steps:
    """What the clock's offset was when."""

    def __init__(self):
        self.moments = [(0, 0)]  # since when, in the machine's time; offset

    def step(self, dump, hours):
        dump.process.stdin.write(f"{hours * 3600:+}\n".encode())
        dump.process.stdin.flush()
        count = len(self.moments)
        harness.wait_for(lambda: dump.text(dump.err).count("stepped") == count, "the step")
        self.moments.append((time.time_ns(), self.moments[-1][1] + hours * HOUR))

    def possible(self, moment):
        """Offsets that may be written for that moment."""
        ends = [since for since, _ in self.moments[1:]] + [moment + LOOK_NS]
        return {offset for (since, offset), end in zip(self.moments, ends) if since - STEPPING_NS <= moment and end >= moment - LOOK_NS}


def check(line, records, steps):
    kinds = collections.Counter(record["kind"] for record in records if record["kind"] != "used_by")
    assert kinds == {"open": 1, "close": 1}, (line, kinds, records)
    for record in records:
        if record["kind"] == "used_by":
            continue
        assert record["pid"] == line["pid"], (line, record)
        first, last = (line["before"], line["opened"]) if record["kind"] == "open" else (line["closing"], line["after"] + 50_000_000)
        if line["proto"] == "udp" and record["kind"] == "open":
            last = line["closing"]
        offsets = steps.possible(first) | steps.possible(last)
        moment = nanoseconds(record["time"])
        assert any(first + offset - SLACK_NS <= moment <= last + offset + SLACK_NS for offset in offsets), \
            (f"{record['time']} is not what the clock showed: off by {[(moment - first - offset) / 1e9 for offset in offsets]} s", line, record)


def main():
    harness.need_root()
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}; the same again: clock_steps.py {seed}", flush=True)
    chance = random.Random(seed)
    steps = Steps()
    with harness.folder() as folder:
        path, port = folder / "truth.ndjson", harness.free_port()
        server = subprocess.Popen([LOAD, "serve", str(path), "127.0.0.1", str(port)])
        try:
            harness.wait_for(lambda: path.exists() and path.read_text().count('"op":"listen"') == 2, "the server to listen")
            with Dump() as dump:
                load = subprocess.Popen([LOAD, "run", str(path), "100", "127.0.0.1", str(port)])
                try:
                    for hours in [1, -1, -1, 1, 1, -1]:
                        time.sleep(chance.uniform(0.2, 3))  # not waiting for anything: the step comes at any moment
                        steps.step(dump, hours)
                    time.sleep(2 * LOOK_NS / 1e9)
                finally:
                    load.terminate()
                    assert load.wait(30) == 0
        finally:
            server.kill()
            server.wait()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    of_ends = collections.defaultdict(list)
    for record in dump.records:
        if record.get("direction") == "out" and "conn" in record:
            of_ends[record["proto"], record["src.ip"], record["src.port"], record["dst.port"]].append(record)
    made = [line for line in lines if line["op"] == "made"]
    reused = collections.Counter((line["proto"], *line["local"]) for line in made)
    for line in made:
        if reused[(line["proto"], *line["local"])] == 1:  # else time would have to tell them apart
            check(line, of_ends[line["proto"], *line["local"], port], steps)
    clocks = dump.of("clock")
    assert len(clocks) >= 6, f"six steps, and {len(clocks)} clock records"
    print(f"{len(made)} connections, {len(steps.moments) - 1} steps, {len(clocks)} clock records")
    return 0


if __name__ == "__main__":
    sys.exit(main())
