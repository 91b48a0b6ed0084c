#!/usr/bin/env python3
"""Each exit code that docs/query.md lists, from a command that ends with it; ELSEWHERE names the tests of those that need more than a
book at rest and one that runs. No privilege needed."""
import contextlib
import os
import re
import shutil
import subprocess
import sys

import harness
import tasks_scene

NOBODY = 65534
LOG = "log-000000000001"
ELSEWHERE = {11: "src/book/self_check_test.cc", 12: "tests/e2e/rewritten_book.py"}
SEEN = set()


def make(folder, name, records):
    lines = folder / f"{name}.jsonl"
    lines.write_text(records)
    data = folder / name
    data.mkdir(mode=0o700, exist_ok=True)
    subprocess.run([os.environ["SCENE_BOOK"], str(lines), str(data), "case-17"], check=True)
    return data


@contextlib.contextmanager
def served(data):
    with open(f"{data}.log", "ab") as log:
        serve = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", "127.0.0.1:0", "--host", "case-17"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        harness.wait_for(lambda: harness.run("search", "-n", "1", data=data, check=False).returncode == 0, "the book to answer")
        yield
    finally:
        serve.terminate()
        serve.wait(20 * harness.PATIENCE)


def expect(code, words, *args, **options):
    done = harness.run(*args, check=False, **options)
    said = done.stdout + done.stderr
    assert done.returncode == code and words in said, f"{str(args)[:200]}: exit code {done.returncode}, not {code}: {said[:600]}"
    SEEN.add(code)


def of_a_running_book(folder, data):
    expect(0, "python3.11", "who", "203.0.113.5:38055", "--at", "2025-11-20T11:31:00Z", data=data)
    expect(1, "Nobody had", "who", "203.0.113.5:9", "--at", "2025-11-20T11:31:00Z", data=data)
    expect(1, "", "trace", "203.0.113.5:9@2025-11-20T11:31:00Z", data=data)
    expect(3, "is of no connection", "trace", "#1", data=data)
    expect(2, "did you mean dst.port", "search", "dts.port:443", data=data)
    expect(2, "is not a time", "who", "203.0.113.5:9@yesterday", data=data)
    expect(3, "there is no record", "prove", "99999999", data=data)
    expect(7, "longer than 16384 bytes", "who", "x" * 17_000, data=data)
    expect(2, "longer than 8192 bytes", "search", "a" * 9_000, data=data)
    expect(8, "no book is running", "search", data=folder / "none")


def of_a_user_who_may_not(folder, data):
    """Root is kept out of nothing: then another user asks, with a program in a folder where that user comes to."""
    program = folder / "portbook"
    shutil.copy(harness.PORTBOOK, program)
    program.chmod(0o755)
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if not as_nobody:
        data.chmod(0)
    done = subprocess.run([str(program), "search", "--data", str(data)], capture_output=True, text=True, timeout=30 * harness.PATIENCE, cwd="/", **as_nobody)
    data.chmod(0o700)
    assert done.returncode == 4 and "may not read the book" in done.stderr and done.stderr.count("\n") == 1, done
    SEEN.add(4)


def of_files(folder, data):
    """Of books at rest: whole, changed, left behind by a crash, of another version."""
    (folder / "newer.evidence").write_text("portbook-evidence 2\n")
    expect(9, "does not know", "verify", folder / "newer.evidence")
    shutil.copytree(data, folder / "changed")
    with open(folder / "changed" / LOG, "r+b") as log:
        at = log.read().index(b"load.py")
        log.seek(at)
        log.write(b"l0ad.py")
    expect(1, "record ", "verify", folder / "changed")
    expect(6, "", "export", "--tlog", folder / "tlog", data=folder / "changed")
    # Records behind the signed head, as a kill between writing and signing leaves them.
    crashed = folder / "crashed"
    shutil.copytree(data, crashed)
    line = next(line for line in tasks_scene.records().splitlines() if '"kind": "open"' in line)
    make(folder, "crashed", line.replace('/socket"', '/later"') + "\n")
    shutil.copy(data / "head", crashed / "head")
    expect(10, "are not covered by a signature", "verify", crashed)
    with open("/dev/full", "w") as full:
        done = subprocess.run([harness.PORTBOOK, "fields"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30 * harness.PATIENCE)
    assert done.returncode == 5, done
    SEEN.add(5)


def listed():
    """The codes in the page's table."""
    page = (harness.SOURCE_DIR / "docs/query.md").read_text()
    rows = page[page.index("| exit code | says |"):].split("\n\n")[0].splitlines()[2:]
    return {int(number) for row in rows for number in re.findall(r"\d+", row.split("|")[1])}


def main():
    with harness.folder() as folder:
        data = make(folder, "book", tasks_scene.records())
        of_files(folder, data)
        with served(data):
            of_a_running_book(folder, data)
            of_a_user_who_may_not(folder, data)
    missing = listed() - SEEN - set(ELSEWHERE)
    assert not missing and all((harness.SOURCE_DIR / path).exists() for path in ELSEWHERE.values()), f"no command ended with {sorted(missing)}"
    print(f"exit codes {sorted(SEEN)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
