#!/usr/bin/env python3
"""The API and the command line of a running book: every answer as docs/api/openapi.yaml describes it, limits and refusals with one clear
sentence, a tail that goes on without hole or double, exit codes."""
import http.client
import json
import os
import socket
import subprocess
import sys
import threading

import yaml

import harness

DESCRIPTION = yaml.safe_load((harness.SOURCE_DIR / "docs/api/openapi.yaml").read_text())


class Wrong(Exception):
    pass


def fits(value, schema, where):
    """Holds a value against the parts of JSON schema that the description uses."""
    if "$ref" in schema:
        target = DESCRIPTION
        for part in schema["$ref"].split("/")[1:]:
            target = target[part]
        return fits(value, target, where)
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    names = {dict: "object", list: "array", str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
    if types and names[type(value)] not in types:
        raise Wrong(f"{where}: {value!r} is not {types}")
    if "enum" in schema and value not in schema["enum"]:
        raise Wrong(f"{where}: {value!r} is none of {schema['enum']}")
    if isinstance(value, dict):
        missing = set(schema.get("required", [])) - set(value)
        if missing:
            raise Wrong(f"{where} lacks {missing}")
        # An object whose members are described has no others: what the server says, the description names.
        described = set(schema.get("required", [])) | set(schema.get("properties", {}))
        if described and set(value) - described:
            raise Wrong(f"{where} has {sorted(set(value) - described)}, which the description does not name")
        for name, part in schema.get("properties", {}).items():
            if name in value:
                fits(value[name], part, f"{where}.{name}")
    if isinstance(value, list):
        for number, part in enumerate(value):
            fits(part, schema.get("items", {}), f"{where}[{number}]")


def check_description(port):
    for path, methods in DESCRIPTION["paths"].items():
        if path in ("/logout", "/api/v1/tokens", "/api/v1/records"):
            continue  # not by GET, or not over the port: tests/e2e/remote.py, tests/e2e/records.py
        method = methods["get"]
        params = {}
        for parameter in method.get("parameters", []):
            if "example" not in parameter:
                continue
            if parameter["in"] == "path":
                path = path.replace("{" + parameter["name"] + "}", str(parameter["example"]))
            else:
                params[parameter["name"]] = parameter["example"]
        kind, content = next(iter(method["responses"]["200"]["content"].items()))
        if kind == "text/event-stream":
            continue  # check_tail()
        status, body = harness.get(port, path, **params)
        assert status == 200, f"{path}: {status} {body}"
        if kind == "application/json":
            fits(json.loads(body), content["schema"], path)
        if kind == "application/x-ndjson":
            lines = harness.rows(body.decode())
            assert "end" in lines[-1] and all("row" in line for line in lines[:-1]), lines
            for line in lines:
                fits(line, content["schema"], path)


def check_answers_with_rows(port):
    """The same of answers that have something to say: about connections of this test."""
    schemas = DESCRIPTION["components"]["schemas"]
    newest = harness.rows(harness.get(port, "/api/v1/search", limit="1")[1].decode())[0]["row"]["id"]
    for path, name, params in [("who", "WhoAnswer", {"q": f"127.0.0.1:{port}"}), ("trace", "TraceAnswer", {"q": f"#{newest}"}), ("facets", "Facets", {}), ("map", "ServiceMap", {"q": "since:1h"}),
                               ("coverage", "CoverageReport", {"q": "since:1h"}), ("stats", "Groups", {"by": "exe,dst.port"}), ("histogram", "Histogram", {})]:
        fits(harness.get_json(port, f"/api/v1/{path}", **params), schemas[name], path)
    try:
        fits({"state": "well", "problems": [], "more": 1}, schemas["Health"], "made up")
    except Wrong:
        return
    raise AssertionError("a member that the description does not name is not found")


def check_refusals(port):
    error = DESCRIPTION["components"]["schemas"]["Error"]
    for expected, path, params, headers in [
        (400, "/api/v1/search", {"q": "dts.port:443"}, {}),
        (400, "/api/v1/search", {"q": "a" * 9000}, {}),
        (400, "/api/v1/search", {"limit": "0"}, {}),
        (400, "/api/v1/search", {"limit": "99999999"}, {}),
        (400, "/api/v1/search", {"cursor": "nonsense"}, {}),
        (400, "/api/v1/search", {"qq": "a"}, {}),
        (400, "/api/v1/tail", {"from": "999999999"}, {}),
        (400, "/api/v1/who", {}, {}),
        (400, "/api/v1/who", {"q": "no endpoint here"}, {}),
        (400, "/api/v1/who", {"endpoint": "203.0.113.5"}, {}),
        (400, "/api/v1/who", {"endpoint": "203.0.113.5:1", "at": "yesterday"}, {}),
        (413, "/api/v1/who", {"q": "x" * 20000}, {}),
        (414, "/api/v1/who", {"q": "x" * 30000}, {}),
        (404, "/api/v1/records/99999999", {}, {}),
        (400, "/api/v1/trace", {"q": "nonsense"}, {}),
        (404, "/api/v1/trace", {"q": "#99999999"}, {}),
        (404, "/api/v1/trace", {"q": "0"}, {}),
        (400, "/api/v1/records/abc", {}, {}),
        (404, "/api/v1/nothing", {}, {}),
        (404, "/log/tile/0/x999/999", {}, {}),
        (403, "/healthz", {}, {"Host": "book.example.org"}),
        (403, "/healthz", {}, {"Origin": "https://example.org"}),
        (403, "/healthz", {}, {"Sec-Fetch-Site": "cross-site"}),
        (431, "/healthz", {}, {"X-Long": "x" * 40000}),
    ]:
        status, body = harness.get(port, path, headers, **params)
        assert status == expected, f"{path} {str(params)[:80]}: {status}, not {expected}: {body[:300]}"
        fits(json.loads(body), error, path)
    wrong = json.loads(harness.get(port, "/api/v1/search", q="dts.port:443")[1])["error"]
    assert (wrong["position"], wrong["length"], wrong["suggestion"]) == (0, 8, "dst.port"), wrong
    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(b"\x00\x01 garbage\r\n\r\n")
        assert b"400" in raw.recv(4096).split(b"\r\n")[0]
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("POST", "/api/v1/search", body="x")
    assert client.getresponse().status == 405


class Tail:
    """Reads server-sent events."""

    def __init__(self, port, from_index=None, last_event_id=None):
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        query = "" if from_index is None else f"?from={from_index}"
        self.client.request("GET", "/api/v1/tail" + query, headers={"Last-Event-ID": last_event_id} if last_event_id else {})
        self.answer = self.client.getresponse()
        assert self.answer.status == 200, self.answer.read()

    def events(self):
        event = {}
        for line in self.answer:
            line = line.decode().rstrip("\n")
            if not line:
                yield event
                event = {}
            else:
                name, _, value = line.partition(": ")
                event[name] = value

    def close(self):
        self.client.close()


def connect_some(port, count):
    for _ in range(count):
        socket.create_connection(("127.0.0.1", port)).close()


def check_tail(port):
    """What a tail that is broken off and resumed sees is what a search sees: no hole, no double."""
    connect_some(port, 20)
    first = Tail(port, from_index=0)
    seen, last = [], None
    for event in first.events():
        if event["event"] == "row":
            seen.append((json.loads(event["data"])["id"], event["id"]))
            last = event["id"]
        if len(seen) >= 5:
            break
        if event["event"] == "checkpoint" and not seen:
            return False  # nothing is captured here
    first.close()
    second = Tail(port, last_event_id=last)
    for event in second.events():
        if event["event"] == "row":
            assert int(event["id"]) > int(last), (event["id"], last)
            last = event["id"]
            seen.append((json.loads(event["data"])["id"], event["id"]))
        if event["event"] == "checkpoint":
            fits(json.loads(event["data"]), {"type": "object", "required": ["size", "note"]}, "checkpoint")
            break
    second.close()
    ids = [number for number, _ in seen]
    rows = harness.rows(harness.get(port, "/api/v1/search", q="", limit="10000")[1].decode())
    shown = {line["row"]["id"] for line in rows if "row" in line and line["row"]["id"] < int(last)}
    assert shown <= set(ids), f"rows that search shows and tail did not send: {sorted(shown - set(ids))[:5]}"
    places = [place for _, place in seen]
    assert len(places) == len(set(places)), "an event came twice"
    return True


def check_pages(port):
    """Pages of three rows are together what one page is, while connections go on."""
    whole = [line["row"]["id"] for line in harness.rows(harness.get(port, "/api/v1/search", limit="60")[1].decode()) if "row" in line]
    stop = threading.Event()
    def load():
        while not stop.is_set():
            connect_some(port, 3)
    loader = threading.Thread(target=load)
    loader.start()
    try:
        paged, cursor = [], None
        while len(paged) < 45:
            params = {"limit": "3", **({"cursor": cursor} if cursor else {})}
            lines = harness.rows(harness.get(port, "/api/v1/search", **params)[1].decode())
            paged += [line["row"]["id"] for line in lines if "row" in line]
            cursor = lines[-1]["end"]["cursor"]
            if cursor is None:
                break
    finally:
        stop.set()
        loader.join()
    assert paged == sorted(set(paged), reverse=True), "a page repeats a row or is out of order"
    return whole


def get_text(port, path):
    return harness.get(port, path)[1].decode()


def check_command_line(data, folder, port):
    run = harness.run
    assert run("search", "--json", "-n", "3", data=data).returncode == 0
    assert run("search", "dts.port:1", data=data, check=False).returncode == 2
    assert run("search", "--columns", "nothing", data=data, check=False).returncode == 2
    assert run("prove", "0", data=data).stdout.startswith("c2sp.org/tlog-proof@v1\n")
    assert run("prove", "99999999", data=data, check=False).returncode == 3
    assert run("who", "192.0.2.1:9", data=data, check=False).returncode == 1
    assert run("who", "nonsense", data=data, check=False).returncode == 2
    assert run("who", "--from", "-", data=data, stdin="192.0.2.1:9\n192.0.2.2:9 at 2026-11-22T12:00:00Z\n").stderr.startswith("2 questions: 2 ")
    table = "when,client_ip,client_port\n2026-11-22T12:00:00Z,192.0.2.1,9\n2026-11-22T12:00:00Z,192.0.2.1,\n"
    listed = run("who", "--from", "-", "--csv", data=data, stdin=table, check=False)
    assert listed.returncode == 2 and [line.split(",")[0] for line in listed.stdout.splitlines()] == ["line", "2", "3"], listed.stdout
    assert "without a port" in listed.stdout and "192.0.2.1:9" in listed.stdout, listed.stdout
    assert "no host of this book" in run("who", "192.0.2.1:9", "--host", "nope", data=data, check=False).stderr
    assert "is not a time; write 2" in run("who", "192.0.2.1:9", "--at", "yesterday", data=data, check=False).stderr
    assert "is not a time; write 2" in run("who", "192.0.2.1:9@yesterday", data=data, check=False).stderr
    assert "add records:all" in run("search", "kind:open", data=data).stderr
    assert run("stats", "--by", "proto", "--csv", data=data).stdout.startswith("proto,count,")
    assert run("search", "--csv", "--columns", "id,internal", data=data).stdout.startswith("id,internal\n")
    assert run("map", "--csv", data=data).stdout.startswith("from,to,port,count,")
    assert "both addresses" in run("coverage", "--since", "1h", data=data).stdout
    for report in ("map", "coverage"):
        page = run(report, "--html", data=data).stdout
        assert page.startswith("<!doctype html>") and page.endswith("</html>\n") and "<script" not in page and "src=" not in page, page[:200]
        assert run(report, "records:all", data=data, check=False).returncode == 2
    evidence = folder / "case.evidence"
    vkey = get_text(port, "/api/v1/vkey").strip()
    for question in (["who", f"127.0.0.1:{port}"], ["search", "since:1h"]):
        run("export", "--evidence", evidence, *question, data=data)
        held = run("verify", evidence, "--vkey", vkey)
        told = json.loads(run("verify", evidence, "--json").stdout)
        assert "records hold: each is proven" in held.stdout and "Not signed themselves" in held.stdout, held.stdout
        assert told["ok"] and told["records"] > 0 and told["key"] == "own" and told["words_signed"] is False, told
    none = run("export", "--evidence", folder / "none.evidence", "who", "192.0.2.99:9", data=data, check=False)
    assert none.returncode == 3 and "nothing to prove" in none.stderr and not (folder / "none.evidence").exists(), none
    page = (folder / "case.evidence.html").read_text()
    assert page.startswith("<!doctype html>") and "<script" not in page, page[:200]
    changed = bytearray(evidence.read_bytes())
    changed[changed.index(b"record ") + 100] ^= 1
    (folder / "changed.evidence").write_bytes(changed)
    told = run("verify", folder / "changed.evidence", check=False)
    assert told.returncode == 1 and 'section "record ' in told.stdout, told.stdout
    assert run("export", "--evidence", evidence, "stats", data=data, check=False).returncode == 2
    assert run("export", data=data, check=False).returncode == 2
    (folder / "feed").write_text("127.0.0.0/8\n# not this\n192.0.2.1\n")
    listed = run("search", f"ip:@{folder / 'feed'}", "--csv", "--columns", "src.ip,dst.ip", data=data).stdout.splitlines()
    assert all("127." in line for line in listed[1:]), listed
    assert run("search", "ip:@/none", data=data, check=False).returncode == 3
    assert harness.get(port, "/api/v1/search", q="ip:@/etc/passwd")[0] == 400
    sent = [int(line.split(",")[3]) for line in run("stats", "--by", "src.port", "--sort", "bytes_out", "-n", "10000", "--csv", data=data).stdout.splitlines()[1:]]
    assert sent == sorted(sent, reverse=True), sent
    offered = subprocess.run(["bash", "-c", f"source <({harness.PORTBOOK} completion bash); COMP_WORDS=(portbook search dst.); COMP_CWORD=2; "
                              "_portbook; echo ${COMPREPLY[@]}; COMP_WORDS=(portbook who --p); _portbook; echo ${COMPREPLY[@]}"],
                             capture_output=True, text=True)
    assert "dst.port:" in offered.stdout and "--peer" in offered.stdout, (offered.stdout, offered.stderr)
    assert run("fields", "--json").returncode == 0
    assert run("search", "--server", f"http://127.0.0.1:{port}", "--json").returncode == 0
    no_book = run("search", data=folder / "none", check=False)
    assert no_book.returncode == 8 and "portbook up" in no_book.stderr and no_book.stderr.count("\n") == 1, no_book.stderr
    taken = run("up", "--listen", f"127.0.0.1:{port}", data=folder / "other", check=False)
    assert taken.returncode == 8 and "in use" in taken.stderr, taken.stderr
    beyond = run("up", "--listen", "0.0.0.0:0", data=folder / "other", check=False)
    assert beyond.returncode == 2 and "TLS" in beyond.stderr, beyond.stderr
    again = run("up", "--listen", "127.0.0.1:0", data=data, check=False)
    assert again.returncode == 8, (again.returncode, again.stderr)
    wrong = run("bogus", check=False)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1, wrong.stderr
    head = subprocess.run(f"{harness.PORTBOOK} search --json --data {data} | head -n 1", shell=True, capture_output=True, text=True)
    assert head.stdout.count("\n") <= 1 and "rror" not in head.stderr, head.stderr
    for command in ("up", "who", "trace", "map", "coverage", "search", "tail", "stats", "fields", "prove", "verify", "export", "doctor", "completion", "token", "follow"):
        text = run(command, "--help").stdout
        assert text.count("portbook " + command) >= 2, f"{command} --help lacks two examples"


def check_other_user(port):
    """Another user's process gets 403 and one sentence."""
    if os.geteuid() != 0:
        print("SKIPPED in part: needs root to become another user")
        return
    script = f"import os,urllib.request as u,urllib.error as e\nos.setgid(65534);os.setuid(65534)\ntry: u.urlopen('http://127.0.0.1:{port}/api/v1/status')\nexcept e.HTTPError as x: print(x.code, x.read().decode())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("403 ") and "may not read this book" in done.stdout, (done.stdout, done.stderr)


def check_reading_is_recorded(port):
    for _ in range(3):
        harness.get(port, "/api/v1/search", q="port:4711")
    def noted():
        lines = harness.rows(harness.get(port, "/api/v1/search", q='kind:admin action:read message:"search port:4711"')[1].decode())
        return [line for line in lines if "row" in line and line["row"]["record"]["message"] == "search port:4711"]
    found = harness.wait_for(noted, "the admin record of a search")
    assert len(found) == 1, "a question that is asked again is not written again"


def main():
    with harness.folder() as folder:
        data = folder / "book"
        with harness.Book(data) as book:
            check_description(book.port)
            check_refusals(book.port)
            check_reading_is_recorded(book.port)
            captured = check_tail(book.port)
            if captured:
                check_pages(book.port)
                check_answers_with_rows(book.port)
            check_other_user(book.port)
            check_command_line(data, folder, book.port)
        assert book.process.returncode == 0, f"up ended with {book.process.returncode} after SIGTERM"
        assert not (data / "portbook.sock").exists(), "the unix socket is left behind"
        done = harness.run("verify", str(data), "--json", check=False)
        assert done.returncode == 0 and json.loads(done.stdout)["key"] == "own", done.stdout + done.stderr
        vkey = (data / "vkey").read_text().strip()
        given = json.loads(harness.run("verify", str(data), "--json", "--vkey", vkey).stdout)
        assert given["ok"] and given["key"] == "given", given
    print("ok" if captured else "ok; SKIPPED in part: nothing is captured here, so no rows were compared")
    return 0


if __name__ == "__main__":
    sys.exit(main())
