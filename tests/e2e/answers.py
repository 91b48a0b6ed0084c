#!/usr/bin/env python3
"""A server that lies: the same address is answered from a book in which one record says something else. The command line holds it against
the checkpoint that it remembers, whoever signed the new one."""
import contextlib
import os
import shutil
import subprocess
import sys

import harness
import tasks_scene

TRUTH = tasks_scene.records()
FORGED = TRUTH.replace("48392117", "8392117")  # what session 27 sent
QUESTION = ("who", "203.0.113.5:38055@2025-11-20T11:31:00Z")
REWRITTEN = 12


def make(folder, name, records, key_of=None):
    data = folder / name
    data.mkdir(mode=0o700)
    for part in ("key", "vkey") if key_of else ():
        shutil.copy(key_of / part, data / part)
    lines = folder / f"{name}.jsonl"
    lines.write_text(records)
    subprocess.run([os.environ["SCENE_BOOK"], str(lines), str(data), "case-17"], check=True)
    return data


@contextlib.contextmanager
def served(data, port):
    command = [harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--host", "case-17"]
    with open(f"{data}.log", "ab") as log:
        serve = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        harness.wait_for(lambda: serve.poll() is not None or (data / "portbook.sock").exists() and answers(port), "the book to answer")
        assert serve.poll() is None, "the book ended"
        yield
    finally:
        serve.terminate()
        serve.wait(20 * harness.PATIENCE)


def answers(port):
    try:
        return harness.get(port, "/healthz")[0] == 200
    except OSError:
        return False


def ask(port, state, *question):
    return harness.run(*question, "--server", f"http://127.0.0.1:{port}", check=False, env={"XDG_STATE_HOME": str(state)})


def check_lies(folder):
    assert FORGED != TRUTH, "nothing was forged"
    port, state = harness.free_port(), folder / "state"
    honest = make(folder, "honest", TRUTH)
    with served(honest, port):
        first = ask(port, state, *QUESTION)
        assert first.returncode == 0, first.stderr
        assert first.stderr == "", first.stderr
    remembered = {path.name: path.read_bytes() for path in (state / "portbook-remembered").iterdir()}
    for name, key_of, said in [("stolen", honest, "its key has signed two histories"), ("own", None, "another book answers at")]:
        with served(make(folder, name, FORGED, key_of), port):
            for question in [QUESTION, ("search", "pid:7327"), ("stats",), ("trace", "#499"), ("map",), ("coverage",), ("prove", "499"),
                             ("export", "--evidence", folder / "lie.evidence", *QUESTION)]:
                lied = ask(port, state, *question)
                assert lied.returncode == REWRITTEN and lied.stdout == "" and said in lied.stderr, f"{name} {question}: {lied}"
        assert not (folder / "lie.evidence").exists()
    for path, content in remembered.items():
        assert (state / "portbook-remembered" / path).read_bytes() == content, f"{path} was changed by a lie"
    assert [path for path in (state / "portbook-remembered").iterdir() if path.suffix == ".contradiction"], "no proof of the lie was kept"
    with served(honest, port):
        assert ask(port, state, *QUESTION).returncode == 0, "the honest book is not known again"


def main():
    with harness.folder() as folder:
        check_lies(folder)
    print("a rewritten book is told, with the stolen key and with one of its own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
