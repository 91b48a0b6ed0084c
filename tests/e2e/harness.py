"""What the end-to-end tests share: a running book in a folder of its own, and waiting for events instead of sleeping."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

PORTBOOK = os.environ.get("PORTBOOK", "build/release/portbook")
SOURCE_DIR = pathlib.Path(os.environ.get("SOURCE_DIR", "."))
PATIENCE = float(os.environ.get("PATIENCE", "1"))  # times every wait: on an emulated processor all takes longer


def need_root():
    if os.geteuid() != 0:
        print("SKIPPED: needs root")
        sys.exit(77)


def free_port():
    """A loopback TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port):
    """Whether somebody accepts on that loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition, what, seconds=20.0):
    """Returns the first true value of condition(); fails with `what` after the time."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def folder():
    """A folder that is gone afterwards, whatever happens."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="portbook-test-"))
    path.chmod(0o711)  # an agent's own user passes through it to a socket
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Book:
    """`portbook up` on a folder. Use as a context manager; it is stopped, or killed, at the end."""

    def __init__(self, data, *args, netns=None, port=None):
        self.data = pathlib.Path(data)
        self.port = port or free_port()
        self.log = self.data.parent / f"{self.data.name}.log"
        command = [PORTBOOK, "up", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}", *([] if "--follow" in args else ["--no-logs"]), *args]
        if netns:
            command = ["ip", "netns", "exec", netns, *command]
        self.started = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        self.wait_ready()
        return self

    def __exit__(self, *_):
        self.stop()

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"portbook up ended with {self.process.returncode}:\n{self.log.read_text()}")
            # It answers before it has attached to the kernel: what it records from here on is whole.
            done = run("search", "kind:source_start", "--json", data=self.data, check=False)
            return any(row["record"]["about"].endswith("/socket") if "about" in row["record"] else row["record"]["source"].endswith("/socket")
                       for row in rows(done.stdout) if row["record"]["time"] >= self.started)
        wait_for(ready, "portbook up to capture")

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("portbook up did not stop within 20 s of SIGTERM")
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.wait()


# What the command line remembers of the books here (docs/formats/remembered.md) is a test's own: ports come again, with other books.
STATE = tempfile.TemporaryDirectory(prefix="portbook-test-state-")
os.environ.setdefault("XDG_STATE_HOME", STATE.name)


def run(*args, data=None, check=True, env=None, stdin=None):
    """Runs portbook with the arguments; returns the finished process with text output."""
    command = [PORTBOOK, *map(str, args)] + (["--data", str(data)] if data else [])
    done = subprocess.run(command, capture_output=True, text=True, input=stdin, timeout=60 * PATIENCE, env={**os.environ, **(env or {})})
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
    return done


def get(port, path, headers=None, **params):
    """GET from the book's API; the status and the body as bytes, also of refusals."""
    query = "?" + urllib.parse.urlencode(params) if params else ""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}{query}", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def get_json(port, path, **params):
    status, body = get(port, path, **params)
    assert status == 200, f"{path} {params}: {status} {body.decode()}"
    return json.loads(body)


def rows(text):
    return [json.loads(line) for line in text.splitlines() if line.strip()]
