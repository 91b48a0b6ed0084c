"""portbook itself, as its users have it: imported by the command, asked over HTTP by one caller on loopback."""
import http.client
import json
import re
import subprocess
import time
import urllib.parse

from questions import utc

BLOCK_RECORDS = 65_536


class Portbook:
    def __init__(self, folder, program):
        self.folder, self.program, self.process = folder, program, None
        self.version = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()

    def load(self, lines):
        """Seconds until every record is durable, hashed, signed and searchable; there is nothing to do afterwards."""
        began = time.monotonic()
        subprocess.run([self.program, "import", lines, "--source", "bench", "--vouch", "socket,nat", "--data", self.folder / "book"], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - began, 0.0

    def serve(self):
        """Starts the server; seconds until it answers."""
        began = time.monotonic()
        self.process = subprocess.Popen([self.program, "serve", "--data", self.folder / "book", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                took = time.monotonic() - began
                self.connection = http.client.HTTPConnection("127.0.0.1", int(found.group(1)), timeout=60)
                return took
        raise SystemExit("portbook serve did not start")

    @property
    def pid(self):
        """Of the process that has the book: the command that was started, or the part of it that serves."""
        return self.process.pid

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=60)

    def get(self, path, **parameters):
        began = time.monotonic()
        self.connection.request("GET", f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        response = self.connection.getresponse()
        body = response.read()
        took = (time.monotonic() - began) * 1000
        if response.status != 200:
            raise SystemExit(f"portbook: {response.status} {body[:600]!r} for {path} {parameters}")
        return took, body

    def bytes_of(self, records):
        """Bytes a record of the sealed blocks; what is not sealed yet stands in the log, 33 MiB at a time."""
        sizes = {prefix: [file.stat().st_size for file in (self.folder / "book").iterdir() if file.name.startswith(prefix)] for prefix in ("segment-", "index-")}
        sealed = min(len(sizes["segment-"]) * BLOCK_RECORDS, records)
        if not sealed:
            return {}
        return {"sealed blocks with their indexes and hashes": sum(sizes["segment-"]) / sealed} | (
            {"and the indexes of many blocks": sum(sizes["index-"]) / sealed} if sizes["index-"] else {})

    def who(self, question):
        address = f"[{question.ip}]" if ":" in question.ip else question.ip
        ms, body = self.get("who", endpoint=f"{address}:{question.port}", at=utc(question.at), settle="no")
        return ms, conns_of(json.loads(body), self)

    def endpoint(self, ip, port):
        ms, body = self.get("search", q=f"records:all {f'[{ip}]' if ':' in ip else ip}:{port}", limit=100)
        return ms, sum(1 for line in body.splitlines() if line.startswith(b'{"') and b'"kind"' in line)

    def by_program(self, one):
        ms, body = self.get("stats", q=f"records:all kind:close -dst.port:{one.port} {between(one)}", by="exe", limit=50)
        answer = whole(json.loads(body))
        return ms, sorted((group["values"]["exe"] or "", group["count"], group["bytes_out"]) for group in answer["groups"])

    def per_second(self, one):
        """As many histograms as the range has thousands of seconds: one has at most a thousand buckets."""
        second, total, counts = 1_000_000_000, 0, []
        for since in range(one.since, one.until, 1000 * second):
            ms, body = self.get("histogram", q=f"records:all kind:close uid:{one.uid} -dst.port:{one.port} {between(one)}", buckets=1000,
                                **{"from": utc(since), "to": utc(since + 1000 * second)})
            total += ms
            counts += [count for count in whole(json.loads(body))["counts"] if count]
        return total, counts

    def destinations(self, one):
        ms, body = self.get("stats", q=f"records:all kind:close dst.port:{one.port} -uid:{one.uid} {between(one)}", by="dst.ip", limit=20)
        return ms, [group["count"] for group in whole(json.loads(body))["groups"]]


def between(one):
    return f"since:{utc(one.since)} until:{utc(one.until - 1)}"


def whole(answer):
    if answer["sampled"]:
        raise SystemExit("portbook answered from a part of the rows: the question is too large for its limits")
    return answer


def conns_of(answer, book):
    """Of every candidate that covers the moment the records' connection and lease."""
    conns = set()
    for candidate in answer["candidates"]:
        if candidate["position"] != "covers":
            continue
        for record in candidate["records"][:16]:
            conns.add(json.loads(book.get(f"records/{record}")[1])["record"].get("conn"))
    return conns
