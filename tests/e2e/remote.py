#!/usr/bin/env python3
"""A book that answers other machines: TLS as curl and openssl s_client see it, tokens that are wrong, expired and taken back, a browser's
session, other sites' requests, a new certificate; and that what comes from elsewhere takes nothing from this machine."""
import pathlib
import resource
import signal
import socket
import ssl
import subprocess
import threading
import time

import harness


def openssl(*args, cwd):
    subprocess.run(["openssl", *map(str, args)], cwd=cwd, check=True, capture_output=True)


def make_authority(place, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", cwd=place)


def make_certificate(place, authority, name, addresses="DNS:localhost,IP:127.0.0.1"):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.csr", cwd=place)
    (place / "names").write_text(f"subjectAltName={addresses}\n")
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", f"{name}.pem", cwd=place)


class Remote:
    """`portbook serve` on every address, with TLS."""

    def __init__(self, place):
        self.place, self.data, self.port = place, place / "book", harness.free_port()
        self.log = place / "serve.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [harness.PORTBOOK, "serve", "--data", self.data, "--listen", f"0.0.0.0:{self.port}", "--tls-cert", place / "book.pem",
                 "--tls-key", place / "book.key"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        def answers():
            assert self.process.poll() is None, self.log.read_text()
            return harness.run("token", "list", data=self.data, check=False).returncode == 0
        harness.wait_for(answers, "portbook serve to answer")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def url(self, path=""):
        return f"https://localhost:{self.port}{path}"

    def curl(self, path, *args):
        """The status, the header lines and the body."""
        done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", "--cacert", self.place / "authority.pem", *args, self.url(path)],
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.decode().partition("\r\n\r\n")
        lines = head.split("\r\n")
        return int(lines[0].split()[1]), lines[1:], body

    def ask(self, token, *args, check=True):
        return harness.run("search", *args, "--server", self.url(), "--ca", self.place / "authority.pem", check=check,
                           env={"PORTBOOK_TOKEN": token})


def bearer(token):
    return ("-H", f"Authorization: Bearer {token}")


def check_start_refused(place):
    for args, said in [((), "--tls-cert"), (("--tls-cert", place / "book.pem", "--tls-key", place / "other.key"), "other.key"),
                       (("--tls-cert", place / "names", "--tls-key", place / "book.key"), "names"),
                       (("--tls-cert", place / "none.pem", "--tls-key", place / "book.key"), "none.pem"),
                       (("--tls-cert", place / "book.pem"), "--tls-key")]:
        done = harness.run("serve", "--data", place / "refused", "--listen", "0.0.0.0:0", *args, check=False)
        assert done.returncode != 0 and said in done.stderr and done.stderr.count("\n") == 1, (args, done.stderr)


def check_transport(book):
    wrong = subprocess.run(["curl", "-sS", "--cacert", book.place / "stranger.pem", book.url("/healthz")], capture_output=True, text=True)
    assert wrong.returncode == 60, wrong
    plain = subprocess.run(["curl", "-sS", "-w", "%{http_code}", f"http://localhost:{book.port}/healthz"], capture_output=True, text=True)
    assert plain.stdout.endswith("400") and "https://" in plain.stdout, plain
    for version, works in [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]:
        # At level 0 the client itself would speak the old ones.
        done = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{book.port}", version, "-cipher", "ALL:@SECLEVEL=0", "-CAfile",
                               book.place / "authority.pem", "-verify_return_error"], capture_output=True, text=True, input="", timeout=20)
        assert ("Verify return code: 0 (ok)" in done.stdout and "Cipher is (NONE)" not in done.stdout) == works, (version, done.stdout)


def check_tokens(book):
    assert book.curl("/api/v1/status")[0] == 401
    assert book.curl("/api/v1/status", *bearer("0" * 64))[0] == 401
    added = harness.run("token", "add", "audit", data=book.data)
    token = added.stdout.strip()
    assert len(token) == 64 and token not in added.stderr
    assert token.encode() not in b"".join(file.read_bytes() for file in book.data.iterdir() if file.is_file()), "the token itself is in the book"
    status, head, _ = book.curl("/api/v1/status", *bearer(token))
    assert status == 200, head
    assert harness.run("token", "add", "audit", data=book.data, check=False).returncode == 2, "a name is taken once"
    assert harness.run("token", "add", "past", "--expires", "2001-01-01T00:00Z", data=book.data, check=False).returncode == 2
    assert book.curl("/api/v1/tokens", *bearer(token))[0] == 403, "a reader's token keeps no tokens"
    assert book.curl("/api/v1/search", *bearer(token), "-X", "POST")[0] == 405
    assert "kind" in book.ask(token, "kind:admin", "--json").stdout
    no_token = harness.run("search", "--server", book.url(), "--ca", book.place / "authority.pem", check=False)
    assert no_token.returncode == 4 and "token" in no_token.stderr, no_token
    unknown = harness.run("search", "--server", book.url(), "--ca", book.place / "stranger.pem", check=False, env={"PORTBOOK_TOKEN": token})
    assert unknown.returncode == 4 and "certificate" in unknown.stderr, unknown
    other_name = harness.run("search", "--server", f"https://127.0.0.2:{book.port}", "--ca", book.place / "authority.pem", check=False)
    assert other_name.returncode == 4, other_name
    bare = harness.run("search", "--server", "http://book.example.org", check=False, env={"PORTBOOK_TOKEN": token})
    assert bare.returncode == 2 and "plain HTTP" in bare.stderr, bare
    return token


def check_expiry(book):
    moment = time.gmtime(time.time() + 2)
    token = harness.run("token", "add", "brief", "--expires", time.strftime("%Y-%m-%dT%H:%M:%SZ", moment), data=book.data).stdout.strip()
    assert book.curl("/healthz", *bearer(token))[0] == 200
    harness.wait_for(lambda: book.curl("/healthz", *bearer(token))[0] == 401, "the token to expire")


def check_browser(book):
    token = harness.run("token", "add", "browser", data=book.data).stdout.strip()
    html = ("-H", "Accept: text/html")
    status, head, _ = book.curl("/", *html)
    assert status == 303 and "Location: /login" in head, head
    _, head, _ = book.curl("/trace?q=127.0.0.1%3A443%40now&view=list", *html)
    led = next(line for line in head if line.startswith("Location: ")).split(" ")[1]
    assert led == "/login?to=%2Ftrace%3Fq%3D127.0.0.1%253A443%2540now%26view%3Dlist", head
    assert f'action="{led}"' in book.curl(led)[2]
    assert 'action="/login"' in book.curl("/login?to=%2F%2Fevil.example.org")[2]
    origin = ("-H", f"Origin: {book.url()}")
    form = ("--data-urlencode", f"token={token}")
    assert book.curl("/login", *form, "-H", "Origin: https://evil.example.org")[0] == 403
    assert book.curl("/login", *form, "-H", "Origin: null")[0] == 403
    assert book.curl("/login", *form, "-H", "Sec-Fetch-Site: cross-site", "-H", "Sec-Fetch-Mode: navigate")[0] == 403
    assert book.curl("/login", "--data-urlencode", "token=wrong", *origin)[0] == 401
    for to, where in [(led, "/trace?q=127.0.0.1%3A443%40now&view=list"), ("/login?to=https%3A%2F%2Fevil.example.org", "/"),
                      ("/login?to=%2F%5Cevil.example.org", "/"), ("/login?to=%2F%0D%0ASet-Cookie%3A%20a", "/")]:
        status, head, _ = book.curl(to, *form, *origin)
        assert status == 303 and f"Location: {where}" in head and not any(line.startswith("Set-Cookie: a") for line in head), (to, head)
    status, head, _ = book.curl("/login", *form, *origin)
    cookie = next(line for line in head if line.lower().startswith("set-cookie:")).split(": ", 1)[1]
    assert status == 303 and all(word in cookie for word in ("__Host-", "Secure", "HttpOnly", "SameSite=Strict", "Path=/")), cookie
    assert token not in cookie
    session = ("-H", "Cookie: other=1; " + cookie.split(";")[0])
    assert book.curl("/", *html, *session)[0] == 200
    assert book.curl("/api/v1/status", *session)[0] == 200
    assert book.curl("/api/v1/status", *session, "-H", "Sec-Fetch-Site: cross-site")[0] == 403
    assert book.curl("/api/v1/status", *session, "-H", f"Origin: http://localhost:{book.port}")[0] == 403
    assert book.curl("/logout", *session, *origin, "-X", "POST")[0] == 303
    assert book.curl("/api/v1/status", *session)[0] == 401
    # A token that is taken back ends its sessions and its tails.
    cookie = next(line for line in book.curl("/login", *form, *origin)[1] if line.lower().startswith("set-cookie:")).split(": ", 1)[1]
    session = ("-H", "Cookie: " + cookie.split(";")[0])
    tail = subprocess.Popen(["curl", "-sSN", "--max-time", "20", "--cacert", book.place / "authority.pem", *session, book.url("/api/v1/tail")],
                            stdout=subprocess.PIPE, text=True)
    assert tail.stdout.readline()
    harness.run("token", "remove", "browser", data=book.data)
    assert book.curl("/api/v1/status", *session)[0] == 401
    tail.communicate(timeout=10)
    assert tail.returncode == 0, "the tail ended in order"
    assert harness.run("token", "remove", "browser", data=book.data, check=False).returncode == 3


def check_new_certificate(book):
    make_authority(book.place, "later")
    make_certificate(book.place, "later", "fresh")
    (book.place / "book.key").write_text("broken")
    book.process.send_signal(signal.SIGHUP)
    harness.wait_for(lambda: "stays as it is" in book.log.read_text(), "the broken key to be refused")
    assert book.curl("/healthz")[0] == 401
    for kind in ("pem", "key"):
        (book.place / f"fresh.{kind}").chmod(0o644)
        (book.place / f"fresh.{kind}").rename(book.place / f"book.{kind}")
    book.process.send_signal(signal.SIGHUP)
    harness.wait_for(lambda: "read anew" in book.log.read_text(), "the new certificate")
    done = subprocess.run(["curl", "-sS", "--cacert", book.place / "later.pem", book.url("/healthz")], capture_output=True)
    assert done.returncode == 0, done


def check_load(book, token):
    """Handshakes that never end, and many that do: questions of this machine are answered meanwhile."""
    def local_question():
        start = time.monotonic()
        harness.run("who", "127.0.0.1:1", "--json", data=book.data, check=False)
        return time.monotonic() - start
    idle = sorted(local_question() for _ in range(5))[2]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
    slow = [socket.create_connection(("127.0.0.1", book.port)) for _ in range(2100)]  # more than the limit
    try:
        slow[0].sendall(b"\x16\x03\x01")
        held = sorted(local_question() for _ in range(5))[2]
    finally:
        for one in slow:
            one.close()
    context = ssl.create_default_context(cafile=book.place / "later.pem")
    count = 0
    end = time.monotonic() + 1

    def shake():
        nonlocal count
        while time.monotonic() < end:
            with socket.create_connection(("127.0.0.1", book.port)) as raw, context.wrap_socket(raw, server_hostname="localhost"):
                count += 1
    threads = [threading.Thread(target=shake) for _ in range(4)]
    for thread in threads:
        thread.start()
    busy = local_question()
    for thread in threads:
        thread.join()
    print(f"a local question: {idle * 1000:.0f} ms; behind {len(slow)} handshakes that never end {held * 1000:.0f} ms; behind {count} handshakes a second "
          f"{busy * 1000:.0f} ms")
    assert count > 20 and held < idle + 1 and busy < idle + 2


def check_recorded(book):
    rows = harness.rows(harness.run("search", "kind:admin", "--json", data=book.data).stdout)
    said = [(row["record"].get("action"), row["record"].get("principal"), row["record"].get("message")) for row in rows]
    for action, principal in [("token added", None), ("token removed", None), ("login", "token browser"), ("read", "token audit")]:
        assert any(one[0] == action and principal in (None, one[1]) for one in said), (action, said)


def main():
    with harness.folder() as path:
        place = pathlib.Path(path)
        place.chmod(0o755)
        for authority in ("authority", "stranger"):
            make_authority(place, authority)
        make_certificate(place, "authority", "book")
        make_certificate(place, "authority", "other")
        for key in place.glob("*.key"):
            key.chmod(0o644)
        check_start_refused(place)
        with Remote(place) as book:
            check_transport(book)
            token = check_tokens(book)
            check_expiry(book)
            check_browser(book)
            check_new_certificate(book)
            check_load(book, token)
            check_recorded(book)


if __name__ == "__main__":
    main()
