#!/usr/bin/env python3
"""Many tails and many clients that take a byte a second: how much slower everybody else becomes, and whether each tail has every row.

    tails.py [--tails N] [--slow N] [--rounds R] [--seconds S] [--rate R]      ./dev bench tails: a thousand and a hundred
"""
import argparse
import http.client
import multiprocessing
import os
import resource
import selectors
import signal
import socket
import statistics
import subprocess
import time
import urllib.parse

import harness

SOURCE = os.environ.get("RATE_SOURCE", "build/release/tests/rate_source")
HOST = "web-7"
FILTERS = ["dst.port:{}", "src.port:{}", "pid:{}", "exe:program-{}", "uid:{}"]
SEARCH = "/api/v1/search?limit=10000"


class Follower:
    """What a tail has told: whole events, of which those of rows are counted and their ids kept."""

    def __init__(self, keep):
        self.keep, self.rest, self.rows, self.ids, self.bytes, self.status = keep, b"", 0, [], 0, None

    def take(self, data):
        self.bytes += len(data)
        if self.status is None:
            self.status = int(data.split(b" ", 2)[1])
        if not self.keep:
            return
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {\"id\":"):
                self.rows += 1
                self.ids.append(int(line[12:line.index(b",")]))


def crowd(port, tails, slow, orders, answers):
    """A process of its own, of the lowest priority, as it stands for other machines: opens them all, says so, reads until it is told to end."""
    os.nice(19)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 16384), most))
    selector = selectors.DefaultSelector()
    followers = []
    for number in range(tails):
        # One in ten sees everything, the others little, each something else.
        question = "" if number % 10 == 0 else FILTERS[number % len(FILTERS)].format(1024 + number)
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(f"GET /api/v1/tail?q={urllib.parse.quote(question)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        follower = Follower(keep=number == 0)
        followers.append(follower)
        selector.register(client, selectors.EVENT_READ, follower)
    laggards = []
    for _ in range(slow):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(f"GET {SEARCH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        laggards.append(client)
    told, next_byte = False, time.monotonic() + 1
    while not orders.poll():
        for key, _ in selector.select(timeout=0.05):
            data = key.fileobj.recv(1 << 18)
            if data:
                key.data.take(data)
            else:
                selector.unregister(key.fileobj)
        if time.monotonic() >= next_byte:
            next_byte += 1
            for client in laggards:
                client.recv(1)
        if not told and all(follower.status for follower in followers):
            told = True
            answers.send("open")
    answers.send({"refused": sum(follower.status != 200 for follower in followers), "bytes": sum(follower.bytes for follower in followers),
                  "ids": followers[0].ids if followers else []})


class Book:
    def __init__(self, folder):
        self.folder, self.data, self.port = folder, folder / "book", harness.free_port()
        self.ingest = folder / "book-agent" / "ingest.sock"
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(self.data), "--host", HOST, "--listen", f"127.0.0.1:{self.port}"],
                                            stdout=log, stderr=log)
        harness.wait_for(lambda: self.ingest.exists() or self.process.poll() is not None, "the book to listen")
        harness.wait_for(lambda: self.get("/api/v1/vkey"), "an answer")

    def get(self, path):
        try:
            return harness.get(self.port, path)
        except OSError:
            return None

    def source(self, rate, seconds):
        return subprocess.Popen([SOURCE, str(self.ingest), str(self.folder / "spool"), HOST, str(rate), str(seconds)], stdout=subprocess.PIPE, text=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def ask_while(book, source):
    """Milliseconds of `who` and of a search's first hundred rows, one after the other, until the source has ended."""
    client = http.client.HTTPConnection("127.0.0.1", book.port, timeout=30)
    took = {"who": [], "search": []}
    number = 0
    while source.poll() is None:
        number += 1
        for name, path in (
                ("who", f"/api/v1/who?endpoint=10.8.3.17:{32768 + number * 7 % 28232}&settle=no"),
                ("search", f"/api/v1/search?limit=100&q=src.port%3A{32768 + number * 7 % 28232}")):
            begun = time.perf_counter()
            client.request("GET", path)
            answer = client.getresponse()
            answer.read()
            took[name].append((time.perf_counter() - begun) * 1000)
            assert answer.status == 200, (path, answer.status)
        time.sleep(0.005)  # a person asks now and then: the pace, not a wait
    client.close()
    return took


class Crowd:
    """Tails and slow clients, as long as the block runs."""

    def __init__(self, port, tails, slow):
        self.orders, theirs = multiprocessing.Pipe()
        self.answers, back = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=crowd, args=(port, tails, slow, theirs, back))
        self.process.start()
        assert self.answers.poll(60) and self.answers.recv() == "open", "the tails did not open"

    def end(self):
        """What they were told."""
        self.orders.send("end")
        assert self.answers.poll(60), "the crowd does not answer"
        told = self.answers.recv()
        self.process.join()
        return told

    def kill(self):
        self.process.kill()
        self.process.join()


def with_crowd(folder, tails, slow, work):
    """What `work` says of a new book that so many follow, and what they were told; there is a book of its own each time."""
    book = Book(folder)
    followers = None
    try:
        followers = Crowd(book.port, tails, slow) if tails else None
        result = work(book)
        return result, followers.end() if followers else None
    finally:
        if followers:
            followers.kill()
        book.stop()


def questions(rate, seconds):
    def work(book):
        took = ask_while(book, book.source(rate, seconds))
        rows = harness.rows(harness.get(book.port, "/api/v1/search", limit="10000")[1].decode())
        return took, [line["row"]["id"] for line in rows if "row" in line]
    return work


def flat_out(book):
    """Records a second, as many as go."""
    count = 600_000
    made, spent, _, _ = book.source(count, 1).communicate(timeout=120)[0].split()
    assert int(made) == count
    return count / float(spent)


def told_all(told, ids):
    """The first tail saw everything: each connection that a search shows, whose record came before the last that the tail was told."""
    seen = set(told["ids"])
    reached = max(seen, default=0)
    missing = [number for number in ids if number < reached and number not in seen]
    assert not missing, f"rows that a search shows and the tail was not told: {missing[:5]}, of {len(missing)}"
    return sum(number <= reached for number in ids) / max(1, len(ids))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tails", type=int, default=100)
    parser.add_argument("--slow", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--bench", action="store_true", help="also how many records a second go in")
    options = parser.parse_args()
    took = {crowded: {"who": [], "search": [], "ingest": []} for crowded in (False, True)}
    sent = 0
    for _ in range(options.rounds):
        for crowded in (False, True):
            many = (options.tails, options.slow) if crowded else (0, 0)
            with harness.folder() as folder:
                (answers, ids), told = with_crowd(folder, *many, questions(options.rate, options.seconds))
            for name, times in answers.items():
                took[crowded][name] += times
            if told:
                assert told["refused"] == 0, f"{told['refused']} tails were refused"
                sent += told["bytes"]
                share = told_all(told, ids)
            if options.bench:
                with harness.folder() as folder:
                    took[crowded]["ingest"].append(with_crowd(folder, *many, flat_out)[0])
    print(f"{options.tails} tails, {options.slow} clients that take a byte a second, {options.rate} records/s; the tails took "
          f"{sent / options.rounds / options.seconds / 1e6:.1f} MB/s; at the end the first had {share:.0%} of the newest rows")
    for name in ("who", "search"):
        without, with_them = (took[crowded][name] for crowded in (False, True))
        print(f"{name:<7}p50 {percentile(without, 0.5):.2f} → {percentile(with_them, 0.5):.2f} ms, p99 {percentile(without, 0.99):.2f} → "
              f"{percentile(with_them, 0.99):.2f} ms, of {len(without)} and {len(with_them)}")
    if options.bench:
        without, with_them = (statistics.median(took[crowded]["ingest"]) for crowded in (False, True))
        print(f"ingest flat out {without:,.0f} → {with_them:,.0f} records/s ({with_them / without - 1:+.1%})")
    # Loose, for a machine with other work: ./dev bench tails has the figures.
    assert percentile(took[True]["who"], 0.5) < 50 + 5 * percentile(took[False]["who"], 0.5), "the tails hold questions up"


if __name__ == "__main__":
    main()
