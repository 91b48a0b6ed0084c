#!/usr/bin/env python3
"""The examples that `--help` of each command shows, run as they stand there on the scene of docs/tasks.md; only the folders, the port and
the endpoint are the scene's. A program that lasts is ended once it does its work."""
import os
import re
import shutil
import signal
import subprocess
import sys

import harness
import tasks_scene

LASTING = ("up", "serve", "agent", "follow", "receive", "tail")
MAY_BE_ONE = ("doctor", "token")  # something is not captured on a machine of tests; nobody has the endpoint today
# The shell's portbook: the scene's book where a user's is the usual one; a program that lasts has a folder of its own.
PRELUDE = """
set -o pipefail
sudo() {{ "$@"; }}
portbook() {{
  local more=()
  case " $* " in
    " up "*|" serve "*) [[ " $* " == *" --data "* ]] || more+=(--data {own}); [[ " $* " == *" --listen "* ]] || more+=(--listen 127.0.0.1:0) ;;
    " agent "*) more+=(--spool {own}); [[ " $* " == *" --book "* ]] || more+=(--book {folder}/ingest.sock) ;;
    " follow "*"--pgbouncer "*) more+=(--data {data} --spool {own}) ;;
    " follow "*) more+=(--data {data} --positions {own}) ;;
    " receive "*) more+=(--data {data} --spool {own}) ;;
    " fields "*|" completion "*|*" --data "*|*" --server "*|" verify /"*|" verify answer"*) ;;
    *) more+=(--data {data}) ;;
  esac
  case " $* " in " up "*) more+=(--no-logs) ;; esac
  {program} "$@" "${{more[@]}}"
}}
"""


def commands():
    return re.findall(r"^  ([a-z]+) ", harness.run("--help").stdout.split("Subcommands:\n")[1], re.M)


def examples(command):
    """The lines of two blanks behind "Examples:"."""
    lines = harness.run(command, "--help").stdout.split("Examples:\n")[1].splitlines()
    found = []
    for line in lines:
        if not line.startswith("  "):
            break
        found.append(line.strip())
    return found


class Bench:
    def __init__(self, folder, data, port):
        self.folder, self.data, self.port = folder, data, port
        self.desk = folder / "desk"
        self.number = 0

    def placed(self, example):
        """The example with the scene's places and names."""
        for shown, real in [("/srv/portbook", f"{self.folder}/srv-{self.number}"), ("/srv/www/log", f"{self.folder}/www"), ("/run/postgresql/", f"{self.folder}/"), ("/run/portbook-syslog", f"{self.folder}/syslog.sock"), ("127.0.0.1:5514", "127.0.0.1:0"), ("/run/portbook/ingest.sock", f"{self.folder}/ingest.sock"),
                            ("/etc/portbook", f"{self.folder}/etc"), ("/etc/bash_completion.d", f"{self.folder}/etc"), ("/var/lib/portbook", str(self.data)),
                            ("/var/log/", f"{self.folder}/log/"), ("https://book.example.org:7171", f"http://127.0.0.1:{self.port}"), ("0.0.0.0:7171", "127.0.0.1:0"), ("127.0.0.1:8080", "127.0.0.1:0"),
                            ("203.0.113.5:41234", "203.0.113.5:38055"), ("2026-11-22T12:03:04", "2025-11-20T11:31:00"), ("198.51.100.9:443", "198.51.100.9:5432"), ("'#412'", "'#499'"), ("since:1h", "since:9000d")]:
            example = example.replace(shown, real)
        return example

    def start(self, example):
        own = self.folder / f"own-{self.number}"
        prelude = PRELUDE.format(own=own, folder=self.folder, data=self.data, program=harness.PORTBOOK)
        return own, subprocess.Popen(["bash", "-c", prelude + self.placed(example)], cwd=self.desk, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                     start_new_session=True, env={**os.environ, "LC_ALL": "C.UTF-8"})

    def works(self, command, example, own):
        """Whether what lasts does its work."""
        if command == "tail":
            return re.search(r"^portbook_http_tails [1-9]", harness.get(self.port, "/metrics")[1].decode(), re.M)
        if command in ("up", "serve"):
            data = re.search(r"--data (\S+)", self.placed(example))
            return harness.run("search", "-n", "1", data=data[1] if data else own, check=False).returncode == 0
        return own.exists()

    def run(self, command, example):
        self.number += 1
        own, process = self.start(example)
        if command in LASTING:
            try:
                harness.wait_for(lambda: process.poll() is not None or self.works(command, example, own), f"{example} to work", 30)
                assert process.poll() is None, f"{example}: ended with {process.returncode}: {process.stdout.read()}"
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.communicate(timeout=30 * harness.PATIENCE)
            if command == "tail":
                harness.wait_for(lambda: not self.works(command, example, own), "the tail to be gone")
            return
        said = process.communicate(timeout=60 * harness.PATIENCE)[0]
        allowed = (0, 1) if command in MAY_BE_ONE else (0,)
        assert process.returncode in allowed, f"{example}: exit code {process.returncode}: {said[:600]}"


def lay_out(bench):
    """The files that the examples name."""
    desk, folder = bench.desk, bench.folder
    for name in (desk, folder / "etc", folder / "log", folder / "log/postgresql"):
        name.mkdir()
    (desk / "samples.csv").write_text(tasks_scene.samples())
    (desk / "waf.log").write_text("2025-11-20T11:31:00Z blocked client=203.0.113.5:38055\n")
    (desk / "portbook.vkey").write_bytes(harness.get(bench.port, "/api/v1/vkey")[1])
    (desk / "last-month.checkpoint").write_bytes(harness.get(bench.port, "/api/v1/checkpoint")[1])
    harness.run("export", "--evidence", desk / "answer.evidence", "who", "203.0.113.5:38055@2025-11-20T11:31:00Z", data=bench.data)
    line = '{"kind":"proxy","time":"2026-10-31T12:03:04.123Z","vantage":"proxy","host":"lb-1","src.ip":"203.0.113.5","src.port":41234,"dst.ip":"198.51.100.9","dst.port":443}\n'
    (desk / "proxy-2026-10.ndjson").write_text(line)
    (desk / "conns.ndjson").write_text(line)
    subprocess.run(["gzip", str(desk / "conns.ndjson")], check=True)
    for name in ("haproxy.log", "auth.log", "postgresql/postgresql-15-main.log"):
        (folder / "log" / name).write_text("")
    (folder / "etc/token").write_text("none\n")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "book.key", "-out", "book.pem"],
                   cwd=desk, check=True, capture_output=True)


def main():
    harness.need_root()  # up and agent capture
    if not shutil.which("jq"):
        print("SKIPPED: the examples need jq")
        return 77
    with harness.folder() as folder:
        data = folder / "book"
        (folder / "scene.jsonl").write_text(tasks_scene.records())
        subprocess.run([os.environ["SCENE_BOOK"], str(folder / "scene.jsonl"), str(data), "case-17"], check=True)
        port = harness.free_port()
        with open(folder / "log-of-book", "wb") as log:
            serve = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--host", "case-17"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            harness.wait_for(lambda: harness.run("search", "-n", "1", data=data, check=False).returncode == 0, "the book to answer", 30)
            bench = Bench(folder, data, port)
            lay_out(bench)
            total = 0
            named = commands()
            assert "who" in named and len(named) > 15, named
            for command in named:
                shown = examples(command)
                assert len(shown) >= 2 and sum(f"portbook {command}" in one for one in shown) >= 2, f"{command} --help lacks two examples"
                for example in shown:
                    bench.run(command, example)
                    total += 1
        finally:
            serve.terminate()
            serve.wait(20 * harness.PATIENCE)
    print(f"{total} examples run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
