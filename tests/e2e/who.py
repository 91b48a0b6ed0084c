#!/usr/bin/env python3
"""`who` against what the programs themselves know: connections of short-lived processes through a real masquerade with random ports.
With the peer it gives exactly the opener; without it the opener is among the candidates; the far end was seen by, never owned.
In network namespaces that this test makes and removes."""
import collections
import json
import os
import signal
import sys

os.environ.setdefault("TRUTH_PROCESSES", "40")
import harness
import truth


def ask(port, **params):
    return harness.get_json(port, "/api/v1/who", **params)


def matches(answer, relation="owned"):
    return [one for one in answer["candidates"] if one["verdict"] == "matches" and one["relation"] == relation]


def time_of_lease(book, external, peer):
    """The middle of the lease, as the book has it."""
    rows = harness.rows(harness.run("search", f"records:all kind:nat_close {external} {peer}", "--json", data=book.data).stdout)
    return [row["record"]["start"] for row in rows]


def check_external(book, connects, accept, check):
    opener = connects[accept["label"]]
    external, peer = truth_text(accept["peer"]), truth_text(opener["remote"])
    for moment in time_of_lease(book, external, peer):
        with_peer = ask(book.port, endpoint=external, at=moment, peer=peer)
        found = matches(with_peer)
        check(with_peer["verdict"] == "owner", "with the peer there is one owner", external, with_peer["sentence"], with_peer["candidates"])
        check(len(found) == 1 and (found[0]["process"] or {}).get("pid") == opener["pid"], "with the peer it is the opener", opener, found)
        if found:
            check(found[0]["internal"] == truth_text(opener["local"]), "internal endpoint", opener, found)
            check(found[0]["lease"] is not None and found[0]["external"] == external, "lease", opener, found)
            check(len(found[0]["ancestors"]) > 0, "ancestors", found)
            kinds = [hop["kind"] for hop in found[0]["hops"]]
            check(kinds[:4] == ["endpoint", "lease", "endpoint", "socket"], "the chain leads from outside to the process", kinds)
            check(all(hop["records"] for hop in found[0]["hops"] if hop["kind"] != "endpoint"), "every hop has records", found[0]["hops"])
        without = ask(book.port, endpoint=external, at=moment)
        pids = [one["process"]["pid"] for one in matches(without) if one["process"]]
        check(opener["pid"] in pids, "without the peer the opener is among the candidates", opener, without["sentence"])


def check_seen_by(book, accept, check):
    """At the server's end the client's endpoint is seen, not owned, by the process that accepted."""
    answer = ask(book.port, endpoint=truth_text(accept["peer"]), at="now", window="1h", peer=truth_text(accept["local"]))
    seen = matches(answer, "seen_by")
    check(any(one["process"] and one["process"]["pid"] == accept["pid"] for one in seen), "seen by the acceptor", accept, seen)


def truth_text(place):
    ip, port = place
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def main():
    harness.need_root()
    check = truth.Checks()
    with harness.folder() as folder, truth.network() as (client, router, server):
        lines_path = folder / "truth.ndjson"
        with truth.BookRecorder(folder) as recorder:
            book = recorder.book
            namespaces = {os.stat(f"/run/netns/{name}").st_ino for name in (client, router, server)}
            truth.run_traffic(client, server, lines_path)
            for name in (router, client):
                truth.sh("ip", "netns", "exec", name, "conntrack", "-F")
            harness.wait_for(lambda: truth.settled(recorder, lines_path, namespaces), "all closes to be recorded", 30)
            lines = [json.loads(line) for line in lines_path.read_text().splitlines()]
            connects = {line["label"]: line for line in lines if line["what"] == "connect" and line["errno"] == 0}
            accepts = [line for line in lines if line["what"] == "accept" and line["label"] in connects]
            for accept in accepts:
                check_external(book, connects, accept, check)
                check_seen_by(book, accept, check)
            check(len(accepts) >= 4 * truth.PROCESSES, "connections were made", len(accepts))
            nobody = ask(book.port, endpoint="192.0.2.99:4242", at="now")
            check(nobody["verdict"] == "not_covered", "an address that nobody claims is not covered", nobody["verdict"])
            own = ask(book.port, endpoint=f"{truth.SERVER4}:4242", at=accepts[0].get("time", "now"))
            check(own["verdict"] in ("nobody", "incomplete"), "a claimed address without an owner", own["verdict"], own["sentence"])
            listener = ask(book.port, endpoint=f"{truth.SERVER4}:{truth.KEEPING}", at="now", window="1h")
            check(any(one["relation"] == "listener" for one in listener["candidates"]), "a server's endpoint names its listener", listener["sentence"])
            print(collections.Counter(one["state"].split(" at ")[0] for one in ask(
                book.port, endpoint=truth_text(accepts[0]["peer"]), at="now", window="1h")["candidates"]))
    return 0 if check.report() else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the namespaces go in any case
    sys.exit(main())
