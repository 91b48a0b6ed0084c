#!/usr/bin/env python3
"""What goes wrong is said in one clear sentence, with the right exit code, and nothing is half-written."""
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import harness
from harness import run

FAILURES = []


def expect(what, done, code, *words):
    text = (done.stderr + (done.stdout or "")).strip()
    problems = []
    if done.returncode != code:
        problems.append(f"exit {done.returncode}, expected {code}")
    for word in words:
        if word.lower() not in text.lower():
            problems.append(f"\"{word}\" is not said")
    if done.returncode < 0 or done.returncode >= 126 or "terminate called" in text or "check failed" in text or "Traceback" in text:
        problems.append("it crashed")
    error_lines = [line for line in done.stderr.splitlines() if line.strip()]
    if code != 0 and not 1 <= len(error_lines) <= 3:
        problems.append(f"{len(error_lines)} lines of error, one or two expected")
    print(("ok    " if not problems else "WRONG ") + what + (": " + "; ".join(problems) + f"\n      {text[:400]}" if problems else f": {text.splitlines()[0][:150] if text else ''}"))
    if problems:
        FAILURES.append(what)


def start(*args, user=None, timeout=20, cwd=None):
    """portbook up with arguments that must make it end by itself."""
    command = [harness.PORTBOOK, "up", "--no-logs", *map(str, args)]
    if user:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd)


def expect_unwritten(what, *args):
    """Onto a full disk, and into a pipe that nobody reads while its signal is ignored: both are said, neither is a crash."""
    with open("/dev/full", "w") as full:
        expect(f"{what} onto a full disk", subprocess.run([harness.PORTBOOK, *map(str, args)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20), 5, "No space left")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        # Python ignores SIGPIPE; restore_signals would bring it back in the child.
        expect(f"{what} into a closed pipe",
               subprocess.run([harness.PORTBOOK, *map(str, args)], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=20, restore_signals=False), 5, "Broken pipe")
    finally:
        os.close(writing)


def http_status(port, method, path, body=None, headers=None):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request(method, path, body=body, headers=headers or {})
    answer = client.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def expect_http(what, port, method, path, status, *words, body=None, headers=None):
    got, text = http_status(port, method, path, body, headers)
    wrong = [w for w in words if w.lower() not in text.lower()]
    ok = got == status and not wrong
    print(("ok    " if ok else "WRONG ") + f"{what}: {got} {text[:150].strip()}")
    if not ok:
        FAILURES.append(what)


def raw_http(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # the server has refused it already; what it said can still be read
            pass
        while True:
            try:
                part = connection.recv(65536)
            except (ConnectionResetError, socket.timeout):
                break
            if not part:
                break
            answer += part
    return answer


def main():
    harness.need_root()
    with harness.folder() as folder:
        os.chmod(folder, 0o755)
        data = folder / "book"
        expect("no command", run(check=False), 2)
        expect("a command that does not exist", run("whom", check=False), 2, "whom")
        expect("an option that does not exist", run("who", "--frobnicate", check=False), 2, "frobnicate")
        expect("no running book", run("search", "", data=data, check=False), 8, "portbook up")
        expect("verify where no book is", run("verify", data=folder / "nothing", check=False), 3, "nothing")
        expect("listen beyond loopback", start("--data", data, "--listen", "0.0.0.0:7171"), 2, "127.0.0.1", "TLS")
        expect("listen on nonsense", start("--data", data, "--listen", "here"), 2, "here")
        (folder / "file").write_text("x")
        expect("the data folder is a file", start("--data", folder / "file"), 2, "name the folder itself")

        with harness.Book(data) as book:
            expect("port in use", start("--data", folder / "other", "--listen", f"127.0.0.1:{book.port}"), 8, str(book.port))
            expect("second process on one book", start("--data", data, "--listen", f"127.0.0.1:{harness.free_port()}"), 8, "book")
            for query, word in [("dst.prot:1", "dst.port"), ("dst.port:x", "x"), ("(", ""), ("cmdline~\"(\"", ""), ("ip:300.1.1.1", "300.1.1.1"),
                                ("since:yesterday", "yesterday"), ("kind:opened", "open"), ("\"unfinished", "")]:
                expect(f"filter {query[:20]}", run("search", query, data=data, check=False), 2, word)
            expect("a filter of 100,000 characters", run("search", "a" * 100_000, data=data, check=False), 7, "longer")
            expect("who nothing", run("who", "nobody", data=data, check=False), 2)
            expect("who a wrong time", run("who", "10.0.0.1:1", "--at", "noon", data=data, check=False), 2, "noon")
            expect("prove a record that is not there", run("prove", "99999999", data=data, check=False), 3, "99999999")
            expect("prove nonsense", run("prove", "first", data=data, check=False), 2)
            expect("verify a running book", run("verify", data=data, check=False), 0)
            expect_unwritten("fields", "fields")
            expect_unwritten("completion", "completion", "bash")
            for command in (["who", "127.0.0.1:1"], ["search", "--json", "kind:admin"], ["search", "kind:admin"], ["stats"], ["map"], ["coverage"], ["prove", "0"], ["verify"],
                            ["tail", "--from", "0", "--json", "kind:admin"]):
                expect_unwritten(" ".join(command), *command, "--data", data)

            port = book.port
            expect_http("filter error over HTTP", port, "GET", "/api/v1/search?q=dst.prot:1", 400, "position", "dst.port")
            expect_http("unknown path", port, "GET", "/api/v1/nothing", 404)
            expect_http("wrong method", port, "DELETE", "/api/v1/search", 405)
            expect_http("wrong number", port, "GET", "/api/v1/records/x", 400)
            expect_http("record beyond the end", port, "GET", "/api/v1/records/18446744073709551615", 404)
            expect_http("wrong limit", port, "GET", "/api/v1/search?limit=-1", 400)
            expect_http("foreign Host", port, "GET", "/api/v1/status", 403, headers={"Host": "evil.example"})
            expect_http("foreign Origin", port, "GET", "/api/v1/status", 403, headers={"Origin": "https://evil.example"})
            for path in ("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/../../../etc/passwd"):
                if "root:" in http_status(port, "GET", path)[1]:
                    FAILURES.append(f"a path outwards: {path}")
            for what, data_bytes in [("garbage", b"\x00\xff" * 100), ("half a request", b"GET / HTT"), ("a huge header", b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
                                     ("a huge request line", b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n"), ("a body that is too long", b"POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")]:
                answer = raw_http(port, data_bytes)
                status = answer.split(b"\r\n", 1)[0]
                ok = (not answer or status.startswith(b"HTTP/1.1 4")) and http_status(port, "GET", "/healthz")[0] == 200
                print(("ok    " if ok else "WRONG ") + f"HTTP: {what}: {status[:60]}")
                if not ok:
                    FAILURES.append(what)
            # Another local user is refused, though the port is on loopback.
            other = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "-o", "-", "-w", "%{http_code}",
                                    f"http://127.0.0.1:{port}/api/v1/status"], capture_output=True, text=True)
            ok = other.stdout.endswith("403")
            print(("ok    " if ok else "WRONG ") + f"another user's process: {other.stdout[:200]}")
            if not ok:
                FAILURES.append("another user's process")
            assert book.process.poll() is None, "portbook up died of bad input"
        expect("verify after all that", run("verify", data=data, check=False), 0)

        # Without privilege: it says what it cannot see, and goes on.
        unprivileged = folder / "unprivileged"
        unprivileged.mkdir()
        os.chown(unprivileged, 65534, 65534)
        binary = folder / "portbook"
        shutil.copy(harness.PORTBOOK, binary)
        os.chmod(binary, 0o755)
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        doctor = subprocess.run([*as_nobody, binary, "doctor"], capture_output=True, text=True, timeout=30)
        ok = doctor.returncode == 1 and "root" in doctor.stdout.lower() + doctor.stderr.lower()
        print(("ok    " if ok else "WRONG ") + f"doctor without privilege: exit {doctor.returncode} {doctor.stdout[:200]!r} {doctor.stderr[:200]!r}")
        if not ok:
            FAILURES.append("doctor without privilege")
        log = open(folder / "unprivileged.log", "w+")
        process = subprocess.Popen([*as_nobody, binary, "up", "--data", unprivileged / "book", "--listen", f"127.0.0.1:{harness.free_port()}"], stdout=log, stderr=log)
        try:
            said = lambda: pathlib.Path(log.name).read_text().lower()
            harness.wait_for(lambda: "capture" in said() or process.poll() is not None, "portbook up without privilege")
            ok = process.poll() is None and ("root" in said() or "privilege" in said())
            print(("ok    " if ok else "WRONG ") + f"up without privilege: {said()[:300]!r}")
            if not ok:
                FAILURES.append("up without privilege")
        finally:
            process.terminate()
            process.wait(20)

        # A book of a later format.
        marker = data / "book"
        text = marker.read_bytes()
        marker.write_bytes(text.replace(b"1", b"9"))
        assert marker.read_bytes() != text, text
        expect("a book of a later version", start("--data", data, "--listen", f"127.0.0.1:{harness.free_port()}"), 9, "newer")
        marker.write_bytes(text)
        expect("verify once it is put back", run("verify", data=data, check=False), 0)
    assert not FAILURES, f"{len(FAILURES)} went wrong: {', '.join(FAILURES)}"


if __name__ == "__main__":
    sys.exit(main())
