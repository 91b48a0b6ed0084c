#!/usr/bin/env python3
"""Evidence as the book makes it: over HTTP the file that `portbook export --evidence` writes, which `portbook verify` checks without the book."""
import json
import os
import re
import subprocess
import sys

import harness
import tasks_scene

ENDPOINT, AT = "203.0.113.5:38055", "2025-11-20T11:31:00Z"
QUESTIONS = [("who", ENDPOINT, {"at": AT}), ("trace", f"{ENDPOINT}@{AT}", {}), ("search", "host:web-7 dst.port:5432", {"limit": "7"})]


def timeless(text):
    """Without what is another each time: when it was asked, how long it took, the size that the record of the reading adds to."""
    return re.sub(r'"(asked|cursor)":"[^"]*"|"(took_us|first_row_us|scanned|size)":\d+', "", text)


def sections(file):
    """(name, bytes) of each section, by the format's own words."""
    found, at = [], file.index(b"\n") + 1
    while not file.startswith(b"end ", at):
        line_end = file.index(b"\n", at)
        name, length, _ = re.fullmatch(rb"(.*): (\d+) ([0-9a-f]{64})", file[at:line_end]).groups()
        found.append((name.decode(), file[line_end + 1:line_end + 1 + int(length)]))
        at = line_end + 2 + int(length)
    return found


def check_the_same_from_both(folder, data, port, vkey):
    for of, question, more in QUESTIONS:
        options = [part for name, value in more.items() for part in (f"--{name}", value)]
        harness.run("export", "--evidence", folder / "cli.evidence", of, question, *options, data=data)
        harness.run("export", "--evidence", folder / "url.evidence", of, question, *options, "--server", f"http://127.0.0.1:{port}")
        status, body = harness.get(port, "/api/v1/evidence", of=of, q=question, **more)
        assert status == 200, body
        (folder / "api.evidence").write_bytes(body)
        parts = [sections((folder / f"{name}.evidence").read_bytes()) for name in ("cli", "url", "api")]
        for other in parts[1:]:
            assert [name for name, _ in other] == [name for name, _ in parts[0]], of
            for (name, ours), (_, theirs) in zip(parts[0], other):
                if not name.startswith(("proof", "report")):  # each has its own checkpoint: the reading itself is recorded
                    assert timeless(ours.decode()) == timeless(theirs.decode()), f"{of}: section {name} differs"
        answer = dict(parts[2])["answer"].decode()
        plain = harness.get(port, f"/api/v1/{of}", q=question, **more)[1].decode()
        assert timeless(plain) == timeless(answer), f"{of}: the answer in the file is not the answer"
        assert harness.run("verify", folder / "api.evidence", "--vkey", vkey).returncode == 0


def check_one_byte(folder, vkey):
    file = (folder / "api.evidence").read_bytes()
    for name, content in sections(file)[:5]:
        changed = bytearray(file)
        changed[file.index(content) + len(content) // 2] ^= 1
        (folder / "changed.evidence").write_bytes(changed)
        told = harness.run("verify", folder / "changed.evidence", "--vkey", vkey, check=False)
        assert told.returncode == 1 and f'section "{name}"' in told.stdout, told


def check_cut(folder, data, vkey):
    told = harness.run("export", "--evidence", folder / "cut.evidence", "search", "host:web-7", "--limit", "7", data=data).stderr
    words = "The answer ends after 7 rows: older rows that match, if there are any, are not in this file."
    assert words in told, told
    assert words in (folder / "cut.evidence.html").read_text() and words in harness.run("verify", folder / "cut.evidence", "--vkey", vkey).stdout
    assert json.loads(harness.run("verify", folder / "cut.evidence", "--json").stdout)["cut"] == words
    whole = harness.run("export", "--evidence", folder / "whole.evidence", "search", "host:web-7 dst.port:5432", data=data).stderr
    assert "ends after" not in whole, whole
    (folder / "feed.txt").write_text("198.51.100.9\n")
    harness.run("export", "--evidence", folder / "feed.evidence", "search", f"dst.ip:@{folder / 'feed.txt'}", data=data)
    for wrong in (["search", "host:web-7", "--limit", "0"], ["search", "host:web-7", "--limit", "10001"], ["stats"], ["coverage", "since:1h"],
                  ["search", "host:web-7", "--at", AT]):
        refused = harness.run("export", "--evidence", folder / "no.evidence", *wrong, data=data, check=False)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and not (folder / "no.evidence").exists(), (wrong, refused)


def check_reading_is_recorded(data):
    read = [row["record"]["message"] for row in harness.rows(harness.run("search", "kind:admin action:read", "--json", data=data).stdout)]
    assert [line for line in read if line.startswith("evidence who ")] == [f"evidence who {ENDPOINT}"], read  # once a session
    assert any(line.startswith("evidence search host:web-7") for line in read), read


def main():
    with harness.folder() as folder:
        data, port = folder / "book", harness.free_port()
        data.mkdir(mode=0o700)
        (folder / "scene.jsonl").write_text(tasks_scene.records())
        subprocess.run([os.environ["SCENE_BOOK"], str(folder / "scene.jsonl"), str(data), "case-17"], check=True)
        vkey = (data / "vkey").read_text().strip()
        with open(folder / "log", "ab") as log:
            serve = subprocess.Popen([harness.PORTBOOK, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--host", "case-17"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            harness.wait_for(lambda: harness.run("search", "-n", "1", data=data, check=False).returncode == 0, "the book to answer")
            check_the_same_from_both(folder, data, port, vkey)
            check_one_byte(folder, vkey)
            check_cut(folder, data, vkey)
            check_reading_is_recorded(data)
        finally:
            serve.terminate()
            serve.wait(20 * harness.PATIENCE)
    print("evidence: one file from the command line, a URL and the API; each changed byte is named; a cut is said")
    return 0


if __name__ == "__main__":
    sys.exit(main())
