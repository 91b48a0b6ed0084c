#!/usr/bin/env python3
"""The lab's truth test: for each session that PostgreSQL saw, does `trace` arrive at the process that caused it?

Processes in two namespaces open sessions side by side through NAT, HAProxy and PgBouncer, hold them, close them, and open the next ones from
the same few ports. Each says what it knows: its own endpoint, and what PostgreSQL answered (backend, the client's address and port there).
Then portbook is asked for PostgreSQL's client endpoint in the middle of each session. The same recording is judged again with other logs:
clocks of the parts wrong, lines missing, a layer missing, lines forged. Then with a pool that gives out its server connections for one
transaction: which client was it that asked at that moment?

    lab_truth.py [--sessions N] [--waves N] [--judged N]
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import harness
import lab

PROCESSES = 10  # in each of two namespaces
SKEW_STATED_MS = 250
# Opens sessions as told, in PostgreSQL's protocol, and says of each: its own endpoint, then what the server says of it.
DRIVER = r"""
import json, os, socket, struct, sys
held = []
def ask(one):
    sql = b"select pg_backend_pid(), host(inet_client_addr()), inet_client_port(), (extract(epoch from clock_timestamp()) * 1000000)::bigint\0"
    one.sendall(b"Q" + struct.pack("!i", len(sql) + 4) + sql)
    row = answers(one)
    return {"pid": os.getpid(), "own": "%s:%d" % one.getsockname(), "backend": int(row[0]), "seen": row[1] + ":" + row[2],
            "at": int(row[3]) * 1000}
def session(host, port, label):
    one = socket.create_connection((host, port), timeout=60)
    words = b"user\0driver\0database\0ledger\0application_name\0" + label.encode() + b"\0\0"
    one.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
    answers(one)
    held.append(one)
    return ask(one)
def answers(one):
    data, row = b"", None
    while True:
        while len(data) < 5 or len(data) < 1 + struct.unpack_from("!i", data, 1)[0]:
            more = one.recv(65536)
            assert more, "closed by the server"
            data += more
        kind, size = data[:1], struct.unpack_from("!i", data, 1)[0]
        body, data = data[5:1 + size], data[1 + size:]
        assert kind != b"E", body
        if kind == b"D":
            row, at = [], 2
            for _ in range(struct.unpack_from("!h", body)[0]):
                size = struct.unpack_from("!i", body, at)[0]
                row.append(body[at + 4:at + 4 + size].decode())
                at += 4 + size
        if kind == b"Z":
            return row
for line in sys.stdin:
    if line.strip() == "close":
        for one in held:
            one.sendall(b"X\0\0\0\4")
            one.close()
        held.clear()
        print("closed", flush=True)
    elif line.strip() == "ask":
        print(json.dumps([ask(one) for one in held]), flush=True)
    else:
        print(json.dumps([session(sys.argv[1], int(sys.argv[2]), f"label-{os.getpid()}-{n}") for n in range(int(line))]), flush=True)
"""


def drive(sessions, waves, asks=0):
    """Runs the sessions; returns the truth of each with a moment at which all of its wave were open, and the links. With `asks` that of
    each later question of each session instead, with its own moment."""
    drivers = [subprocess.Popen(lab.inside(name, sys.executable, "-c", DRIVER, lab.address("haproxy"), lab.PORT), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True) for name in ("apps1", "apps2") for _ in range(PROCESSES)]
    links, truth = lab.Links(), []

    def tell(text):
        for driver in drivers:
            driver.stdin.write(text + "\n")
            driver.stdin.flush()
        return [driver.stdout.readline() for driver in drivers]

    try:
        for _ in range(waves):
            said = [json.loads(line or "[]") for line in tell(str(sessions // len(drivers)))]
            if not asks:
                links.wait_for(len(truth) + sum(map(len, said)))  # all are open, and seen
            at = time.time_ns()
            wave = [{**one, "at": at} for rows in said for one in rows]
            if asks:
                wave = [one for _ in range(asks) for line in tell("ask") for one in json.loads(line or "[]")]
                assert len(wave) == asks * (sessions // len(drivers) * len(drivers)), f"only {len(wave)} answers; the logs are in {lab.FOLDER}"
            else:
                assert len(wave) == sessions // len(drivers) * len(drivers), f"only {len(wave)} sessions; the logs are in {lab.FOLDER}"
            truth += wave
            assert tell("close") == ["closed\n"] * len(drivers)
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()
    links.stop()
    return truth, links


def time_text(at):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 10**9)) + f".{at % 10**9:09d}Z"


def origins(answer, classes, at):
    """(pid, endpoint) of the clients that the asked connection leads back to over edges of these classes, which were open then."""
    nodes = {node["id"]: node for node in answer["nodes"]}
    reached, waiting = set(), [node["id"] for node in answer["nodes"] if node["start"]]
    while waiting:
        here = waiting.pop()
        if here in reached:
            continue
        reached.add(here)
        waiting += [edge["from"] for edge in answer["edges"] if edge["to"] == here and edge["class"] in classes]
    clients = tuple(lab.address(name) + ":" for name in lab.CLIENTS)
    found = {}
    for node in (nodes[one] for one in reached):
        open_then = node["interval"]["seen"] <= at and (node["interval"]["end"] or "9") >= at
        if node["direction"] == "out" and node["src"].startswith(clients) and open_then and node["process"]:
            found[(node["process"]["pid"], node["src"])] = node
    return set(found)


def judge(truth, data, classes=("proven", "stated")):
    """Right, wrong and none over all sessions; with `possible` too: the true one among the candidates. And every answer."""
    port, answers = harness.free_port(), []
    with open(lab.FOLDER / "serve.log", "ab") as log:
        serve = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL)
    try:
        # Asked over HTTP alone: to the command line, which remembers, the variants are rightly two histories of one key.
        harness.wait_for(lambda: harness.listens(port), "the book to answer")
        count = {"right": 0, "wrong": 0, "none": 0, "among": 0, "proven alone": 0}
        for one in truth:
            at = time_text(one["at"])
            answer = harness.get_json(port, "/api/v1/trace", q=f"{one['seen']}@{at}", window="1ms")  # the driver reads the clock that the records have
            answers.append(answer)
            said, true = origins(answer, classes, at), (one["pid"], one["own"])
            count["right"] += said == {true}
            count["wrong"] += bool(said - {true})
            count["none"] += not said
            count["among"] += true in origins(answer, ("proven", "stated", "possible"), at)
            count["proven alone"] += origins(answer, ("proven",), at) == {true}
        return count, answers
    finally:
        serve.terminate()
        serve.wait(20)


def variant(name, recorded, links, change=lambda _, lines: lines, clock_error_ms=lab.CLOCK_ERROR_MS):
    """A copy of the recording with logs that `change`(log's name, its lines) returns, of clocks that may be so wrong."""
    data, kept = lab.FOLDER / f"book-{name}", {}
    shutil.copytree(recorded, data, ignore=shutil.ignore_patterns("*.sock"))
    owner = os.stat(recorded)
    for path in (data, *data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    links.write(lab.FOLDER / "links.ndjson")
    try:
        for path in (lab.FOLDER / "haproxy.log", lab.FOLDER / "links.ndjson"):
            kept[path] = path.read_text()
            path.write_text("".join(change(path.name, kept[path].splitlines(keepends=True))))
        lab.import_written(data, clock_error_ms)
    finally:
        for path, text in kept.items():
            path.write_text(text)
    return data


def report(name, truth, count):
    print(f"{name}: {len(truth)} sessions, {count['right']} right, {count['wrong']} wrong, {count['none']} without an origin; "
          f"true one among all candidates {count['among']}; by proven steps alone {count['proven alone']}", flush=True)


def shift_times(log, lines):
    """HAProxy's clock 200 ms ahead, PgBouncer's 200 ms behind; both stated as SKEW_STATED_MS."""
    if log == "haproxy.log":
        return [re.sub(r"^(portbook/1 )(\d+)\.(\d{3})", lambda found: found[1] + "%d.%03d" % divmod(int(found[2] + found[3]) + 200, 1000), line)
                for line in lines]
    rows = [json.loads(line) for line in lines]
    return [json.dumps({**row, **{key: row[key] - 200_000_000 for key in ("time", "start", "end") if key in row}, "clock_error": SKEW_STATED_MS * 1_000_000}) + "\n" for row in rows]


def without_some(log, lines):
    """Without each hundredth line of HAProxy, one at the least."""
    of_sessions = [number for number, line in enumerate(lines) if log == "haproxy.log" and line.startswith("portbook/1 ")]
    chosen = set(random.Random(1).sample(of_sessions, max(1, len(of_sessions) // 100))) if of_sessions else set()
    return [line for number, line in enumerate(lines) if number not in chosen]


def forge(log, lines):
    """For each fifth line of HAProxy a second one, by which another client of the same moments had come through to the same server."""
    own = [line for line in lines if log == "haproxy.log" and line.startswith("portbook/1 ")]
    forged = []
    for number in range(0, len(own) - 1, 5):
        words, others = own[number].split(" "), own[number + 1].split(" ")
        if abs(float(words[1]) - float(others[1])) < 1:
            forged.append(" ".join([*words[:3], others[3], *words[4:]]))
    return lines + forged


def says(answers, what):
    """How many of the answers name a contradiction, or a log that has no line of one of their connections."""
    if what == "contradiction":
        return sum(bool(answer["contradictions"]) for answer in answers)
    return sum(any(one["cause"].startswith("no line of") for one in answer["completeness"]["missing"]) for answer in answers)


def in_transactions(sessions):
    """Each of the sessions asks twice, over a tenth as many connections to PostgreSQL: the client of that moment is among the candidates."""
    with lab.Lab(pool_mode="transaction", pool_size=max(4, sessions // 10)), harness.Book(lab.FOLDER / "book") as book:
        truth, links = drive(sessions, 1, asks=2)
        book.stop()
        print(f"{sessions} sessions, {len(truth)} questions over {len({one['seen'] for one in truth})} connections to PostgreSQL", flush=True)
        count, _ = judge(truth, variant("transactions", book.data, links))
        report("a connection for each transaction", truth, count)
        assert count["wrong"] == 0 and count["among"] >= 0.99 * len(truth) - 1, count


def test(sessions, waves, judged):
    with lab.Lab(), harness.Book(lab.FOLDER / "book") as book:
        truth, links = drive(sessions, waves)
        def all_closed():
            rows = harness.run("stats", "--by", "kind", f"src.ip:({lab.address('apps1')} or {lab.address('apps2')}) direction:out records:all kind:close",
                               "--json", data=book.data).stdout
            return sum(row["count"] for row in harness.rows(rows) if "count" in row) >= len(truth)
        harness.wait_for(all_closed, "the ends of all sessions")
        harness.wait_for(lambda: (lab.FOLDER / "haproxy.log").read_text().count("portbook/1 ") >= len(truth), "HAProxy's lines of all sessions")
        book.stop()
        ports = [one["own"] for one in truth]
        print(f"{len(truth)} sessions, {sessions} at a time; {len(ports) - len(set(ports))} of the clients' endpoints came again, "
              f"{len(truth) - len({one['seen'] for one in truth})} of PgBouncer's", flush=True)

        truth = random.Random(2).sample(truth, min(len(truth), judged))
        some = truth[:max(80, judged // 4)]
        whole = variant("whole", book.data, links)
        count, _ = judge(truth, whole)
        report("all logs", truth, count)
        assert count["wrong"] == 0 and count["right"] >= 0.99 * len(truth) - 1, count

        count, _ = judge(some, variant("skewed", book.data, links, shift_times, SKEW_STATED_MS))
        report("clocks 200 ms ahead and behind", some, count)
        assert count["wrong"] == 0 and count["right"] >= 0.99 * len(some) - 1, count

        count, answers = judge(some, variant("thinned", book.data, links, without_some))
        report("1 % of HAProxy's lines missing", some, count)
        assert count["wrong"] == 0 and 0.97 * len(some) - 1 <= count["right"], count
        assert len(some) < sessions * waves or count["right"] < len(some), count
        assert says(answers, "missing line") >= count["none"], f"only {says(answers, 'missing line')} say that a line is missing"

        count, answers = judge(some, variant("forged", book.data, links, forge))
        report("forged lines of HAProxy", some, count)
        contradicted = says(answers, "contradiction")
        print(f"of these, {contradicted} answers name the contradiction", flush=True)
        assert count["wrong"] == 0 and count["among"] == len(some) and contradicted >= count["none"] > 0, count

        count, _ = judge(some, variant("absent", book.data, links, lambda log, lines: [] if log == "haproxy.log" else lines))
        report("no log of HAProxy", some, count)
        assert count["wrong"] == 0 and count["right"] == 0, count
    assert not lab.FOLDER.exists() and not lab.lab_namespaces() and not lab.lab_processes(), "the lab left something behind"


def main():
    parser = argparse.ArgumentParser(description="Measures trace against what the lab's clients know.")
    parser.add_argument("--sessions", type=int, default=40, help="at a time (default %(default)s)")
    parser.add_argument("--waves", type=int, default=2, help="one after the other (default %(default)s)")
    parser.add_argument("--judged", type=int, default=1000, help="at most so many of the sessions, chosen at random (default %(default)s); of changed logs a quarter")
    options = parser.parse_args()
    harness.need_root()
    if lab.missing_programs():
        print(f"SKIPPED: not installed: {', '.join(lab.missing_programs())}; `./dev lab` installs them")
        return 77
    test(options.sessions, options.waves, options.judged)
    in_transactions(options.sessions)
    print("ok")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab goes in any case
    sys.exit(main())
