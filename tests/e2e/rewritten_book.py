#!/usr/bin/env python3
"""A server that lies: the same address is answered from a book in which one record says something else. The command line holds it against
the checkpoint that it remembers, whoever signed the new one."""
import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request

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


class TwoFaced(http.server.BaseHTTPRequestHandler):
    """Shows itself as the honest book, and answers and proves from the forged one."""

    def do_GET(self):
        forged = self.path.startswith(("/api/v1/who", "/api/v1/evidence", "/api/v1/records"))
        port = self.server.forged if forged else self.server.honest
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{self.path}"), timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def check_two_faces(folder):
    port, state, forged = harness.free_port(), folder / "state-two", harness.free_port()
    honest = make(folder, "honest-two", TRUTH)
    with served(honest, port), served(make(folder, "forged-two", FORGED, honest), forged):
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), TwoFaced) as two_faced:
            two_faced.honest, two_faced.forged = port, forged
            thread = threading.Thread(target=two_faced.serve_forever)
            thread.start()
            try:
                url = two_faced.server_address[1]
                assert ask(url, state, "stats").returncode == 0, "what it shows of itself is honest"
                lied = ask(url, state, "export", "--evidence", folder / "two.evidence", *QUESTION)
                assert lied.returncode == REWRITTEN and "its key has signed two histories" in lied.stderr, lied
                assert not (folder / "two.evidence").exists()
            finally:
                two_faced.shutdown()
                thread.join()


def main():
    with harness.folder() as folder:
        check_lies(folder)
        check_two_faces(folder)
    print("a rewritten book is told, with the stolen key and with one of its own")
    return 0


if __name__ == "__main__":
    sys.exit(main())
