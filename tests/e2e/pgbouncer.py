#!/usr/bin/env python3
"""PgBouncer's console asked by `portbook follow --pgbouncer`: a real PgBouncer before a real PostgreSQL, over its socket and over TCP, with
every login; it goes away and comes again, the sampler is killed, the book is killed."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import harness
import lab
from harness import wait_for

PGBOUNCER = """
[databases]
app = host=127.0.0.1 port={server} dbname=postgres user=postgres
hand = host=127.0.0.1 port={server} dbname=postgres user=postgres pool_mode=transaction
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir = {folder}
auth_type = {auth}
auth_file = {folder}/users
stats_users = stats
server_login_retry = 1
"""


class Pool:
    """PostgreSQL, and a PgBouncer that can be stopped and started."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.server = harness.free_port(), harness.free_port()
        self.socket = folder / f".s.PGSQL.{self.port}"
        self.running = {}
        shutil.chown(folder, lab.POSTGRES, lab.POSTGRES)
        (folder / "users").write_text('"stats" "secret"\n"other" "secret"\n"alice" "secret"\n')
        shutil.chown(folder / "users", lab.POSTGRES, lab.POSTGRES)
        subprocess.run(lab.as_postgres(lab.program("initdb"), "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C"), check=True,
                       stdout=subprocess.DEVNULL, cwd="/")
        self.run("postgres", lab.program("postgres"), "-D", folder / "data", "-p", self.server, "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
        self.start("md5")

    def run(self, name, *command):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(lab.as_postgres(*command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/")

    def start(self, auth):
        (self.folder / "pgbouncer.ini").write_text(PGBOUNCER.format(server=self.server, port=self.port, folder=self.folder, auth=auth))
        self.run("pgbouncer", lab.program("pgbouncer"), self.folder / "pgbouncer.ini")
        for port in (self.port, self.server):
            wait_for(lambda port=port: harness.listens(port), "PostgreSQL and PgBouncer; see their logs", 60)

    def stop(self):
        self.running["pgbouncer"].kill()
        self.running["pgbouncer"].wait()

    def close(self):
        for process in self.running.values():
            process.terminate()
            process.wait(60)

    @contextlib.contextmanager
    def client(self, database, host="127.0.0.1"):
        """One that is in a transaction."""
        psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", "-h", str(host), "-p", str(self.port), "-U", "alice", "-d", database], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True, env={**os.environ, "PGPASSWORD": "secret"})
        psql.stdin.write("begin; select pg_backend_pid(), inet_client_port();\n")
        psql.stdin.flush()
        backend, port = psql.stdout.readline().strip().split("|")
        try:
            yield {"backend": backend, "up.src.port": int(port)}
        finally:
            psql.stdin.close()
            psql.wait(60)


class Book:
    """`portbook serve`, which can be killed."""

    def __init__(self, data):
        self.data, self.port = data, harness.free_port()
        self.start()

    def start(self):
        with open(f"{self.data}.log", "ab") as log:
            self.process = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        wait_for(lambda: harness.listens(self.port), "the book", 60)

    def records(self):
        done = harness.run("search", "records:all source:*/pgbouncer/*", "-n", "10000", "--json", data=self.data, check=False)
        return [row["record"] for row in reversed(harness.rows(done.stdout))]

    def line(self):
        """What the sampler says of itself."""
        agents = harness.get_json(self.port, "/api/v1/status")["agents"]
        lines = [line for agent in agents if agent["host"].endswith("/pgbouncer") and agent["state"] == "capturing" for line in agent["capture"]]
        return lines[0] if lines else None


class Sampler:
    def __init__(self, book, *words):
        self.log = pathlib.Path(f"{book.data}-sampler.log")
        self.command = [harness.PORTBOOK, "follow", "--data", str(book.data), "--pgbouncer-interval", "100ms", "--clock-error", "5ms", *map(str, words)]
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def end(self, signal_number=signal.SIGTERM):
        self.process.send_signal(signal_number)
        code = self.process.wait(60)
        assert signal_number == signal.SIGKILL or code == 0, self.log.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()


def of(book, session, **wanted):
    return [one for one in book.records() if one["kind"] == "proxy" and one.get("up.src.port") == session["up.src.port"] and one["attrs"]["backend"] == session["backend"]
            and all(one.get(key) == value for key, value in wanted.items())]


def gaps(book, cause):
    return [one for one in book.records() if one["kind"] == "gap" and cause in one["cause"]]


def is_confined(sampler, pool):
    """The sampler is somebody without rights; what connects is PgBouncer's user, without rights as well."""
    def users():
        found = {}
        children = pathlib.Path(f"/proc/{sampler.process.pid}/task/{sampler.process.pid}/children").read_text().split()
        for name, pid in {"sampler": sampler.process.pid, **({"connector": children[0]} if children else {})}.items():
            lines = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
            if lines["Seccomp"] == "2" and int(lines["CapPrm"], 16) == 0 and int(lines["CapBnd"], 16) == 0 and lines["NoNewPrivs"] == "1":
                found[name] = int(lines["Uid"].split()[0])
        return found if len(found) == 2 else None
    found = wait_for(users, "sampler and connector to give up their rights", 60)
    owner = pool.socket.stat().st_uid
    assert found["connector"] == owner and found["sampler"] not in (0, owner), found


def links_are_recorded(book, pool):
    with Sampler(book, "--pgbouncer", pool.socket) as sampler:
        with pool.client("app") as session, pool.client("hand") as moment, pool.client("app", pool.folder) as local:
            begun = wait_for(lambda: of(book, session), "the link of a session", 60)
            assert len(begun) == 1 and "end" not in begun[0] and begun[0]["vantage"] == "proxy" and begun[0]["attrs"]["pool_mode"] == "session", begun
            assert (begun[0]["dst.port"], begun[0]["up.dst.port"], begun[0]["attrs"]["user"]) == (pool.port, pool.server, "alice"), begun
            assert begun[0]["src.port"] and begun[0]["clock_error"] >= 5_000_000, begun
            points = wait_for(lambda: of(book, moment) if len(of(book, moment)) > 2 else None, "moments of the other pool", 60)
            assert all(one["start"] == one["end"] == one["time"] and one["attrs"]["pool_mode"] == "transaction" for one in points), points
            assert "src.port" not in wait_for(lambda: of(book, local), "the link of a client over the socket", 60)[0]
            is_confined(sampler, pool)
            line = wait_for(lambda: (book.line() or {}).get("state") == "ok" and book.line(), "what the sampler says", 60)
            assert "3 links" in line["detail"] or "links" in line["detail"], line
        ended = wait_for(lambda: [one for one in of(book, session) if "end" in one], "the end of the session", 60)
        assert len(ended) == 1 and ended[0]["cause"] == "the client was gone" and ended[0]["start"] == begun[0]["start"] <= ended[0]["end"], ended
    print("ok: links over PgBouncer's socket, session and transaction pooling")


def nothing_is_silent(book, pool):
    """PgBouncer is killed and comes again; the sampler is killed; the book is killed."""
    with Sampler(book, "--pgbouncer", pool.socket) as sampler:
        with pool.client("app") as session:
            wait_for(lambda: of(book, session), "the link", 60)
            pool.stop()
            wait_for(lambda: [one for one in of(book, session) if "did not answer" in one.get("cause", "")], "the end of what is not seen any more", 60)
            wait_for(lambda: (book.line() or {}).get("state") == "warn" and "nobody listens" in book.line()["detail"], "the sampler to say so", 60)
        pool.start("md5")
        found = wait_for(lambda: gaps(book, "closed the connection") or gaps(book, "nobody listens"), "the gap", 60)
        assert found[0]["start"] < found[0]["end"] and found[0]["about"] == found[0]["source"], found
        with pool.client("app") as session:
            wait_for(lambda: of(book, session), "the link", 60)
            sampler.end(signal.SIGKILL)
            sampler.start()
            wait_for(lambda: len(of(book, session)) > 1, "the link, seen by a new run", 60)
            assert wait_for(lambda: gaps(book, "was not running"), "the gap between the runs", 60)
            book.process.kill()
            book.process.wait()
            with pool.client("app") as meanwhile:
                book.start()
                wait_for(lambda: of(book, meanwhile), "the link of while the book was away", 60)
    numbers = [one["source_seq"] for one in book.records()]
    assert numbers == list(range(1, len(numbers) + 1)), "numbers are lost or doubled"
    print("ok: PgBouncer, sampler and book go away and come again")


def logins(folder, book, pool):
    (folder / "right").write_text("secret\n")
    (folder / "wrong").write_text("guessed\n")
    for name in ("right", "wrong"):
        (folder / name).chmod(0o600)
    place = ("--pgbouncer", f"127.0.0.1:{pool.port}", "--pgbouncer-user")
    for auth in ("md5", "scram-sha-256"):
        pool.stop()
        pool.start(auth)
        for words, state, said in (((*place, "stats", "--pgbouncer-password-file", folder / "right"), "ok", " as stats: "),
                                   ((*place, "stats", "--pgbouncer-password-file", folder / "wrong"), "warn", "fail"),
                                   ((*place, "stats"), "warn", "--pgbouncer-password-file"),
                                   ((*place, "other", "--pgbouncer-password-file", folder / "right"), "warn", "Name other in stats_users")):
            with Sampler(book, *words) as sampler:
                def says(state=state, said=said):
                    line = book.line()
                    return line and line["state"] == state and said in line["detail"] and (state == "warn" or " 0 answers" not in line["detail"])
                try:
                    wait_for(says, f"{auth}: {words[2:]} to be {state}", 60)
                except AssertionError as error:
                    raise AssertionError(f"{error}: {book.line()} {sampler.log.read_text()}") from error
    print("ok: md5 and scram-sha-256, wrong passwords, none, and a user that may not ask")


def refusals(folder, book):
    (folder / "open").write_text("secret\n")
    (folder / "open").chmod(0o644)
    for words, code, said in ((["--pgbouncer", "10.0.0.1:6432"], 2, "not loopback"), (["--pgbouncer", "127.0.0.1:6432"], 2, "--pgbouncer-user"), ([], 2, "nothing to follow"),
                              (["--pgbouncer", "/run/x/.s.PGSQL.1", "/var/log/x:haproxy"], 2, "a process each"),
                              (["--pgbouncer", "/run/x/.s.PGSQL.1", "--pgbouncer-interval", "1ms"], 2, "from 100ms"),
                              (["--pgbouncer", "/run/x/.s.PGSQL.1", "--pgbouncer-password-file", folder / "open"], 4, "chmod 600")):
        done = harness.run("follow", *words, data=book.data, check=False)
        assert done.returncode == code and said in done.stderr, done
    print("ok: what cannot be is refused")


def main():
    harness.need_root()
    missing = [name for name in ("pgbouncer", "postgres", "initdb", "psql", "setpriv") if not lab.program(name)]
    if missing:
        print(f"SKIPPED: not installed: {', '.join(missing)}; `./dev lab` installs them")
        return 77
    with harness.folder() as folder:
        folder.chmod(0o755)
        (folder / "pool").mkdir()
        pool, book = Pool(folder / "pool"), None
        try:
            book = Book(folder / "book")
            links_are_recorded(book, pool)
            nothing_is_silent(book, pool)
            logins(folder, book, pool)
            refusals(folder, book)
        finally:
            pool.close()
            if book:
                book.process.terminate()
                book.process.wait(60)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
