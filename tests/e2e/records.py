#!/usr/bin/env python3
"""POST /api/v1/records with real curl: answered when durable, one bad record refuses its request by line and member, what was sent again is not
doubled, also over kill -9 in the middle of a stream of requests; no credential, no records; a flood has a limit of its own."""
import concurrent.futures
import json
import signal
import subprocess
import sys

import harness

REQUESTS, RECORDS = 40, 250


def expect(condition, what, *found):
    if not condition:
        sys.exit(f"WRONG {what} {found}")
    print(f"ok    {what}")


def line(number):
    return json.dumps({"kind": "note", "time": 1_795_000_000_000_000_000 + number, "vantage": "app", "message": f"order {number}", "src.ip": "203.0.113.5", "src.port": 40000})


class Desk:
    def __init__(self, folder):
        self.folder, self.data, self.port, self.server = folder, folder / "book", harness.free_port(), None
        self.url = f"http://127.0.0.1:{self.port}/api/v1/records"

    def run(self, *args):
        return subprocess.run([harness.PORTBOOK, *map(str, args), "--data", str(self.data)], capture_output=True, text=True, timeout=20 * harness.PATIENCE)

    def serve(self):
        with open(self.folder / "serve.log", "ab") as log:
            self.server = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}", "--host", "web-7"],
                                           stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        harness.wait_for(lambda: self.run("search", "-n", "1").returncode != 8, "the book to answer")

    def end(self, how=signal.SIGTERM):
        self.server.send_signal(how)
        self.server.wait()

    def post(self, body, query="", token=None, kind="application/x-ndjson", more=()):
        """Status and answer; nothing when the connection broke."""
        token = self.token if token is None else token
        headers = ["-H", f"Content-Type: {kind}"] + (["-H", f"Authorization: Bearer {token}"] if token else [])
        done = subprocess.run(["curl", "-sS", "--max-time", str(20 * harness.PATIENCE), "-w", "\n%{http_code}", *headers, *more, "--data-binary", "@-", self.url + query],
                              input=body.encode() if isinstance(body, str) else body, capture_output=True)
        answer, _, status = done.stdout.decode().rpartition("\n")
        if done.returncode != 0 or status == "000":
            return None
        return int(status), json.loads(answer)

    def stored(self, source):
        return [row["record"] for row in harness.rows(self.run("search", f"source:{source} records:all", "--json").stdout)]


def refusals(desk):
    status, said = desk.post(line(1) + "\n\n" + '{"kind":"note","time":1,"vantage":"app","dst.port":0}\n' + line(2))
    expect(status == 400 and 'line 3: member "dst.port"' in said["error"]["message"], "one bad record refuses the request, by its line and member", status, said)
    expect(desk.stored("billing/api/records") == [], "and nothing of it is in the book")
    for body, status, words in [('{"kind":"open","time":1,"vantage":"socket"}', 403, "nobody vouches for socket"),
                                ('{"kind":"gap","time":1,"vantage":"app"}', 400, "for the book and its agents to say"),
                                ('{"kind":"note","time":1,"vantage":"app","host":"web-7"}', 403, "speaks for billing alone"),
                                ('{"kind":"note","time":1,"vantage":"app","source":"x"}', 400, '"source"'), (" \n", 400, "no record"),
                                ("\n".join(['{"kind":"note","time":1,"vantage":"app"}'] * 10_001), 413, "10000 records")]:
        found = desk.post(body)
        expect(found[0] == status and words in found[1]["error"]["message"], f"refused with {status}: {words}", found)
    for query, status, words in [("?source=a/b", 400, "source"), ("?first=0", 400, "first"), ("?first=3", 409, "next is number 1"), ("?sauce=a", 400, "sauce")]:
        found = desk.post(line(1), query)
        expect(found[0] == status and words in found[1]["error"]["message"], f"{query} is refused with {status}", found)
    expect(desk.post(line(1), token="")[0] == 401 and desk.post(line(1), token="0" * 64)[0] == 401, "no token, or one that is not known: 401")
    expect(desk.post(line(1), kind="text/plain")[0] == 415, "another type: 415")
    found = desk.post(b" " * (5 << 20), more=["-H", "Expect:"])
    expect(found is None or found[0] == 413, "a body of 5 MiB: 413", found)


def stream_over_a_kill(desk):
    """A sender that names its numbers sends again whatever was not answered."""
    answered = 0
    for request in range(REQUESTS):
        body = "\n".join(line(request * RECORDS + n) for n in range(RECORDS))
        query = f"?source=orders&first={request * RECORDS + 1}"
        killed = request in (REQUESTS // 3, REQUESTS // 2)
        if killed:
            with concurrent.futures.ThreadPoolExecutor() as pool:
                sending = pool.submit(desk.post, body, query)
                desk.end(signal.SIGKILL)
                sending.result()
            desk.serve()
        found = desk.post(body, query)
        expect(found and found[0] == 200 and found[1]["last"] == (request + 1) * RECORDS, f"request {request}", found) if killed else None
        if not found or found[0] != 200:
            sys.exit(f"WRONG request {request}: {found}")
        answered += found[1]["taken"]
        if request == 3:
            again = desk.post(body, query)
            expect(again[0] == 200 and again[1]["taken"] == 0 and again[1]["already"] == RECORDS, "a request that is sent again doubles nothing", again)
    desk.end(signal.SIGKILL)
    desk.serve()
    stored = desk.stored("billing/api/orders")
    numbers = sorted(record["source_seq"] for record in stored)
    messages = {record["message"] for record in stored}
    expect(numbers == list(range(1, REQUESTS * RECORDS + 1)) and len(messages) == REQUESTS * RECORDS, f"{REQUESTS * RECORDS} records once each, over three kills", len(numbers), len(messages))
    expect(all(record["host"] == "billing" for record in stored), "of the token's host")


def floods(desk):
    body = "\n".join(line(n) for n in range(9_000))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: desk.post(body, "?source=flood"), range(32)))
    taken, later = [one for one in found if one and one[0] == 200], [one for one in found if one and one[0] == 429]
    expect(len(taken) + len(later) == 32 and len(taken) > 0, f"of 32 at once {len(taken)} were taken and {len(later)} told to wait", found[:3])
    expect(len({one[1]["first"] for one in taken}) == len(taken), "no two of them have the same numbers")


def main():
    with harness.folder() as folder:
        desk = Desk(folder)
        desk.serve()
        try:
            done = desk.run("enroll", "billing", "--vantage", "nat", "--token-file", folder / "billing.token")
            expect(done.returncode == 0, "a program gets a token", done.stderr)
            desk.token = (folder / "billing.token").read_text().strip()
            refusals(desk)
            status, said = desk.post(line(1) + "\n" + line(2))
            expect((status, said) == (200, {"source": "billing/api/records", "first": 1, "last": 2, "taken": 2, "already": 0}), "two lines are two records", status, said)
            stream_over_a_kill(desk)
            floods(desk)
            expect(desk.run("enroll", "--revoke", "billing").returncode == 0 and desk.post(line(1))[0] == 401, "a token that is taken back writes nothing more")
        finally:
            desk.end()
        verified = desk.run("verify", "--json")
        expect(json.loads(verified.stdout)["ok"], "the book holds", verified.stdout)


main()
