#!/usr/bin/env python3
"""portbook import: what a file says is in the book once, whatever happens on the way, and found by who; what it may not say is refused."""
import json
import os
import re
import signal
import subprocess
import sys

import harness

RECORDS = 60_000
GENERATE = os.environ["GENERATE"]


def run(*args, **options):
    return subprocess.run([harness.PORTBOOK, *map(str, args)], capture_output=True, text=True, timeout=60, **options)


def verified(data):
    """The book's size, once everything that is signed holds."""
    done = run("verify", "--data", data, "--json")
    if not done.stdout.startswith("{"):
        return 0
    found = json.loads(done.stdout)
    assert found["ok"] or found["problem"]["only_unsettled"], found
    return found["size"]


def expect(condition, what):
    if not condition:
        sys.exit(f"WRONG {what}")
    print(f"ok    {what}")


def killed_and_again(data, lines):
    arguments = ["import", "-", "--data", str(data), "--source", "old", "--vouch", "socket,nat", "--host", "web-7"]
    half = subprocess.Popen([harness.PORTBOOK, *arguments], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    half.stdin.write(b"".join(lines[: RECORDS // 2]))
    half.stdin.flush()
    harness.wait_for(lambda: verified(data) > 2_000, "the first records")
    half.send_signal(signal.SIGKILL)
    half.wait()
    done = run(*arguments, input=b"".join(lines).decode())
    expect(done.returncode == 0, f"an import that was killed goes on: {done.stderr.strip()}")
    taken, already = map(int, re.search(r"^(\d+) records.*, (\d+) were there already", done.stderr).groups())
    expect(already > 0 and taken + already == RECORDS, f"{already} were there and {taken} came: none twice, none lost")
    again = run(*arguments, input=b"".join(lines).decode())
    expect(again.returncode == 0 and again.stderr.startswith("0 records"), "once more: nothing is doubled")
    expect(RECORDS < verified(data) < RECORDS + 200, "the book holds, and has the records once")


def while_it_runs(data, lines):
    """The same into a book that runs, over a kill of the import."""
    arguments = ["import", "-", "--data", str(data), "--source", "beside", "--vouch", "socket,nat", "--host", "web-9"]
    count = lambda: int(json.loads(run("stats", "--data", data, "--by", "source", "source:web-9/import/beside records:all", "--json").stdout.splitlines()[0])["count"])
    half = subprocess.Popen([harness.PORTBOOK, *arguments], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    half.stdin.write(b"".join(lines[: RECORDS // 2]))
    half.stdin.flush()
    harness.wait_for(lambda: "web-9/import/beside" in run("stats", "--data", data, "--by", "source", "records:all", "--json").stdout, "the first records")
    half.send_signal(signal.SIGKILL)
    half.wait()
    done = run(*arguments, input=b"".join(lines).decode())
    expect(done.returncode == 0, f"an import into a running book that was killed goes on: {done.stderr.strip()}")
    taken, already = map(int, re.search(r"^(\d+) records.*, (\d+) were there already", done.stderr).groups())
    expect(already > 0 and taken + already == RECORDS == count(), f"{already} were there and {taken} came, beside questions: none twice, none lost")
    refused = run("import", "-", "--data", data, "--source", "bad", input='{"kind":"gap","time":1,"vantage":"app"}\n')
    expect(refused.returncode == 2 and 'member "kind"' in refused.stderr, "what may not be imported is refused there too")


def shown(data):
    """What programs read is whole unless they ask for less; whatever is left out is said."""
    rows = len(run("search", "", "--data", data, "--json").stdout.splitlines())
    expect(rows > 20_000, f"search --json gives all {rows} rows")
    expect(len(run("search", "", "--data", data, "--csv").stdout.splitlines()) == rows + 1, "and --csv as many, below a header")
    some = run("search", "", "--data", data, "--json", "--limit", "11000")
    expect(len(some.stdout.splitlines()) == 11_000 and "The 11000 newest are shown" in some.stderr, "a limit of more than one page is kept, and said")
    table = run("search", "", "--data", data)
    expect(len(table.stdout.splitlines()) == 201 and "The 200 newest are shown" in table.stderr, "a table has 200 rows, and says that there are more")
    groups = len(run("stats", "--data", data, "--by", "src.ip", "--limit", "10000", "--json").stdout.splitlines())
    few = run("stats", "--data", data, "--by", "src.ip", "--limit", "10", "--json")
    told = few.stdout.splitlines()
    expect(groups > 10 and len(told) == 11 and json.loads(told[-1])["others"]["groups"] == groups - 10, "stats says how many groups it leaves out")


def main():
    with harness.folder() as folder:
        data = folder / "book"
        lines = subprocess.run([GENERATE, "ndjson", str(RECORDS)], capture_output=True, check=True).stdout.splitlines(keepends=True)
        killed_and_again(data, lines)

        wrong = folder / "wrong.ndjson"
        wrong.write_text('{"kind":"note","time":"2026-11-01T00:00:00Z","vantage":"app"}\n{"kind":"note","time":1,"vantage":"app","dst.port":0}\n')
        done = run("import", wrong, "--data", data)
        expect(done.returncode == 2 and 'line 2: member "dst.port"' in done.stderr, f"a wrong line is named: {done.stderr.strip()}")
        done = run("import", wrong, "--data", data, "--bad-lines", "note")
        expect(done.returncode == 0 and "1 lines are no records" in done.stderr and "1 were there already" in done.stderr, f"and passed with a note: {done.stderr.strip()}")
        done = run("import", wrong, "--data", data, "--bad-lines", "skip")
        expect(done.returncode == 2 and "there are stop, note" in done.stderr, "wrong lines are never skipped without a word")
        done = run("import", "-", "--data", data, input=lines[0].decode())
        expect(done.returncode == 2 and "--source" in done.stderr, "a stream without a name is refused")
        kernels = folder / "kernels.ndjson"
        kernels.write_bytes(lines[0])
        done = run("import", kernels, "--data", data)
        expect(done.returncode == 4 and "vouches for socket" in done.stderr, "what a kernel saw needs somebody who vouches for it")

        server = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wanted = next(r for r in map(json.loads, lines) if r["kind"] == "nat_open")
            asked = f"{wanted['src.nat.ip']}:{wanted['src.nat.port']}@{wanted['time']}"
            ask = lambda: run("who", asked, "--data", data, "--json")
            answer = harness.wait_for(lambda: (done := ask()).returncode != 8 and done, "the book")
            expect(f'{wanted["src.ip"]}' in answer.stdout, f"who {asked} finds the owner behind the gateway")
            # Nobody captured there: what was imported makes no answer complete.
            expect(json.loads(answer.stdout)["completeness"]["state"] != "complete", "and does not call the answer complete")
            noted = run("search", 'cause~"not a record" records:all', "--data", data, "--json").stdout.splitlines()
            note = json.loads(noted[0])["record"] if len(noted) == 1 else {}
            expect('line 2: member "dst.port"' in note.get("cause", "") and note.get("message") == wrong.read_text().splitlines()[1], f"the note says what is wrong: {noted}")
            shown(data)
            while_it_runs(data, lines)
        finally:
            server.terminate()
            server.wait()


main()
