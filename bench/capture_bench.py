#!/usr/bin/env python3
"""What capture costs: `./dev bench capture`, as root. Each figure with capture off and on, in alternation, medians.

1. a connect / accept / one byte / close loop on loopback, microseconds per round, of the clock and of CPU
2. the same for UDP, as DNS: socket, connect, question, answer, close
3. nginx and wrk with a new connection for each request: requests per second, and CPU per request of both
4. CPU of capture's threads at 10,000 connections per second, and its system calls per ten events
"""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("BUILD_DIR", "build/bench"))
LOAD = BUILD / "src/capture/capture_load"
DUMP = BUILD / "src/capture/capture_dump"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
NGINX_PORT = 18099


class Capture:
    """capture_dump that throws its records away; `command` may be another program that captures."""

    def __enter__(self):
        self.process = subprocess.Popen([DUMP], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, "CAPTURE_DUMP_QUIET": "1"})
        for line in self.process.stderr:
            if line.startswith("ready"):
                return self
        raise SystemExit("capture did not start")

    def __exit__(self, *_):
        self.process.stdin.close()
        self.last = self.process.stderr.read().strip()
        self.process.wait()


def cpu_of(pid):
    """Seconds of CPU so far of all threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loop(*protocol):
    made, clock, cpu = subprocess.run([LOAD, "1.5", "0", *protocol], capture_output=True, text=True, check=True).stdout.split()
    return float(clock), float(cpu)


def requests(nginx):
    before = cpu_of(nginx) + sum(cpu_of(worker) for worker in workers_of(nginx))
    wrk = subprocess.Popen(["wrk", "-t1", "-c8", "-d2", "-H", "Connection: close", f"http://127.0.0.1:{NGINX_PORT}/"], stdout=subprocess.PIPE, text=True)
    text = wrk.stdout.read()
    _, _, usage = os.wait4(wrk.pid, 0)
    cpu = cpu_of(nginx) + sum(cpu_of(worker) for worker in workers_of(nginx)) - before + usage.ru_utime + usage.ru_stime
    count = int(re.search(r"(\d+) requests in", text).group(1))
    return 1e6 / float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)), 1e6 * cpu / count


def workers_of(nginx):
    return [int(pid) for pid in pathlib.Path(f"/proc/{nginx}/task/{nginx}/children").read_text().split()]


def off_and_on(measure):
    """Medians of alternating rounds: what else the machine does falls on both."""
    off, on = [], []
    for _ in range(ROUNDS):
        off.append(measure())
        with Capture():
            on.append(measure())
    return [tuple(statistics.median(column) for column in zip(*rows)) for rows in (off, on)]


def show(what, off, on, aim=None):
    for name, before, after in zip(("clock", "CPU"), off, on):
        aimed = f" (aim: at most {aim:+} %)" if aim else ""
        print(f"{what}, {name}: {before:.1f} us off, {after:.1f} us on: {100 * (after / before - 1):+.1f} %{aimed}")


def with_nginx(measure):
    with tempfile.TemporaryDirectory() as folder:
        conf = pathlib.Path(folder) / "nginx.conf"
        conf.write_text(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error;
            events {{ worker_connections 1024; }}
            http {{ access_log off; server {{ listen 127.0.0.1:{NGINX_PORT}; location / {{ return 200 "ok"; }} }} }}""")
        nginx = subprocess.Popen(["nginx", "-c", str(conf), "-e", f"{folder}/error"])
        try:
            time.sleep(0.5)
            return measure(nginx.pid)
        finally:
            nginx.terminate()
            nginx.wait()


def system_calls(capture, seconds):
    """Of all of capture's threads, counted by the kernel's own tracepoint; nothing without perf."""
    done = subprocess.run(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", str(capture.process.pid), "--", "sleep", str(seconds)], capture_output=True, text=True)
    match = re.search(r"^(\d+),,raw_syscalls", done.stderr, re.MULTILINE)
    return int(match.group(1)) if match else None


def at_rate(rate, seconds=6):
    with Capture() as capture:
        load = subprocess.Popen([LOAD, str(seconds + 2), str(rate)], stdout=subprocess.PIPE, text=True)
        time.sleep(1)
        before, began = cpu_of(capture.process.pid), time.monotonic()
        calls = system_calls(capture, seconds - 1) if subprocess.run(["which", "perf"], capture_output=True).returncode == 0 else None
        time.sleep(max(0, seconds - (time.monotonic() - began)))
        cores = (cpu_of(capture.process.pid) - before) / (time.monotonic() - began)
        made = int(load.communicate()[0].split()[0])
    return cores, made / (seconds + 2), calls / (seconds - 1) if calls else None, capture.last


def main():
    if os.geteuid() != 0:
        sys.exit("the capture benchmark needs root")
    show("loop", *off_and_on(loop), 25)
    show("UDP question and answer", *off_and_on(lambda: loop("udp")))
    show("nginx and wrk, a request", *with_nginx(lambda nginx: off_and_on(lambda: requests(nginx))), 5)
    cores, rate, calls, last = at_rate(10_000)
    print(f"capture at {rate:.0f} connections/s: {cores:.2f} cores (aim: at most 0.4 with the book)")
    if calls is not None:
        events = 4 * rate
        print(f"system calls: {calls:.0f}/s for {events:.0f} events/s: {10 * calls / events:.2f} per ten events (aim: at most 2)")
    print(last)


if __name__ == "__main__":
    main()
