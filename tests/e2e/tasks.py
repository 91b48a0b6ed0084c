#!/usr/bin/env python3
"""The commands of docs/tasks.md, as a new user would type them, give the output that the page shows.

    tasks.py            compares
    tasks.py --write    writes the page's outputs anew; read them before they are committed
"""
import difflib
import os
import pathlib
import re
import subprocess
import sys
import time

import harness
import tasks_scene

PAGE = harness.SOURCE_DIR / "docs/tasks.md"
BLOCK = re.compile(r"(?<=^```\n)\$ .*?(?=^```$)", re.M | re.S)
SECONDS_MAX = 8
# A new user's book is where portbook looks for it; the test's is in a folder of its own.
SHELL = """
portbook() {{
  case $1 in
    fields | verify) {portbook} "$@" ;;
    *) {portbook} "$@" --data {data} ;;
  esac
}}
"""


def commands_of(block):
    """The (command, output) pairs of one block; a command begins with "$ " and goes on after a backslash."""
    pairs = []
    goes_on = False
    for line in block.splitlines():
        if goes_on:
            pairs[-1][0] += "\n" + line
        elif line.startswith("$ "):
            pairs.append([line[2:], []])
        else:
            pairs[-1][1].append(line)
            continue
        goes_on = line.endswith("\\")
    return [(command, "\n".join(output)) for command, output in pairs]


def normal(text):
    """Without what is another each time: keys, hashes, when it was asked, and the size that the record of the questions adds to."""
    text = re.sub(r"portbook/case-17\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+", "KEY", text)
    text = re.sub(r"[A-Za-z0-9+/]{43}=", "HASH", text)
    text = re.sub(r"\b20[2-9]\d-\d\d-\d\d[T ][\d:.]+Z?", lambda found: found[0] if found[0].startswith(tasks_scene.DAY) else "NOW", text)
    text = re.sub(r"tree of \d+ records", "tree of N records", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


class Shell:
    """One user at one prompt: each command in the same folder, standard output and error as a terminal shows them."""

    def __init__(self, data, folder):
        self.prelude = SHELL.format(portbook=pathlib.Path(harness.PORTBOOK).resolve(), data=data)
        self.folder = folder

    def run(self, command):
        done = subprocess.run(["bash", "-c", self.prelude + command], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=30 * harness.PATIENCE, env={**os.environ, "LC_ALL": "C.UTF-8"})
        return done.stdout.rstrip("\n")


def compare(page, shell):
    """What differs, as a text; "" when nothing does. The page must have ten tasks."""
    assert len(re.findall(r"^## \d+\. ", page, re.M)) == 10, "the page has not ten tasks"
    wrong = []
    for block in BLOCK.findall(page):
        for command, expected in commands_of(block):
            got = shell.run(command)
            if normal(got) != normal(expected):
                wrong += [f"$ {command}", *difflib.unified_diff(normal(expected).splitlines(), normal(got).splitlines(), "page", "program", lineterm="")]
    return "\n".join(wrong)


def written_anew(page, shell):
    def block_anew(found):
        return "".join(f"$ {command}\n{output}\n" if (output := shell.run(command)) else f"$ {command}\n" for command, _ in commands_of(found[0]))
    return BLOCK.sub(block_anew, page)


def main():
    begun = time.monotonic()
    with harness.folder() as folder:
        data, desk = folder / "book", folder / "desk"
        desk.mkdir()
        records = folder / "records.jsonl"
        records.write_text(tasks_scene.records())
        subprocess.run([os.environ["SCENE_BOOK"], str(records), str(data), "case-17"], check=True)
        (desk / "samples.csv").write_text(tasks_scene.samples())
        port = harness.free_port()
        command = [harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--host", "case-17"]
        with open(folder / "serve.log", "wb") as log:
            serve = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            harness.wait_for(lambda: harness.run("search", "-n", "1", data=data, check=False).returncode == 0, "the book to answer")
            (desk / "portbook.vkey").write_bytes(harness.get(port, "/api/v1/vkey")[1])
            shell = Shell(data, desk)
            page = PAGE.read_text()
            if sys.argv[1:] == ["--write"]:
                PAGE.write_text(written_anew(page, shell))
                return 0
            difference = compare(page, shell)
            altered = compare(page.replace("48392117", "48392118"), shell) if not difference else ""
        finally:
            serve.terminate()
            serve.wait(20 * harness.PATIENCE)
    assert not difference, difference
    assert "48392118" in altered, "a wrong figure on the page would not be found"
    took = time.monotonic() - begun
    assert took < SECONDS_MAX * harness.PATIENCE, f"the tasks took {took:.1f} s"
    print(f"ten tasks, {took:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
