"""The same comparison for UDP: a peer of a socket is a connection, told apart by its ends."""
import collections

import scripts
from truth_of_sockets import SETTLE_SLACK, UDP, is_mapped, nanoseconds, plain

ERRORS = {111: "refused", 113: "unreachable"}
ANY = ("0.0.0.0", "::")


class Flow:
    """One socket's packets to one peer."""

    def __init__(self, cookie, maker, peer, mapped):
        self.cookie, self.maker, self.peer, self.mapped = cookie, maker, peer, mapped
        self.sent, self.local, self.own, self.took, self.gave = [], None, None, [], []
        self.real = peer
        self.of_many = False  # its socket has further peers


def flows_of(truth, cookie, calls):
    """The client's flows, each with the packets that it sent; the address that an unbound socket spoke from is told by conntrack."""
    maker = next(call for call in calls if call["op"] == "sock")
    conn = next((call for call in calls if call["op"] == "conn"), None)
    flows = {}
    for call in calls:
        if call["op"] != "to" or call["errno"] != 0:
            continue
        peer = call.get("peer") or conn["peer"]
        flow = flows.setdefault(plain(peer), Flow(cookie, maker, plain(peer), is_mapped(peer)))
        flow.sent.append(call)
        flow.local = plain(call["local"])
    for flow in flows.values():
        flow.of_many = len(flows) > 1
        find_translation(truth, flow)
    return list(flows.values())


def find_translation(truth, flow):
    end, first = truth.end_of(flow.sent[0]), flow.sent[0]
    version = "6" if ":" in flow.peer[0] else "4"
    locals_ = [(ip, flow.local[1]) for ip in scripts.CLIENTS[end][version]] if flow.local[0] in ANY else [flow.local]
    for local in locals_:
        for where in (end, "r"):
            one = truth.entry_of(truth.tracked.get((where, UDP, local, flow.peer), ()), first, SETTLE_SLACK)
            if one:
                flow.local = local
                if where == end:
                    flow.own = one
                    routed = truth.entry_of(truth.tracked.get(("r", UDP, one.external, one.answered_by), ()), first, SETTLE_SLACK)
                    one = routed or one
                flow.external, flow.real = one.external, one.answered_by
                return
    flow.external = flow.local  # not tracked: nothing answered


def compare(c):
    """Every flow of the clients and of the servers, and every bound socket."""
    truth = c.truth
    of_ends = collections.defaultdict(lambda: collections.defaultdict(list))
    for record in c.records:
        if record["vantage"] == "socket" and record["proto"] == "udp" and record["kind"] in ("open", "close", "failed", "used_by"):
            ends = (record.get("src.ip"), record.get("src.port")), (record.get("dst.ip"), record.get("dst.port"))
            of_ends[record["netns"], record["direction"], *ends][record["conn"]].append(record)
    served = collections.defaultdict(list)
    for calls in truth.calls.values():
        for call in calls:
            if call["op"] in ("took", "gave"):
                served[plain(call["peer"]), plain(call["local"]), call["n"]].append(call)
    flows = [flow for cookie, calls in truth.calls.items() if any("udp" in call for call in calls) for flow in flows_of(truth, cookie, calls)]
    for flow in sorted(flows, key=lambda flow: flow.sent[0]["before"]):
        number = flow.sent[0]["n"]
        packets = served.get((flow.external, flow.real, number), [])
        flow.took, flow.gave = ([call for call in packets if call["op"] == operation] for operation in ("took", "gave"))
        story = (f"script {number} of client {truth.plans[number][0]}: {truth.plans[number][1].text}", *truth.calls[flow.cookie], *packets)
        compare_client(c, flow, earliest(c, of_ends[truth.netns_of(flow.sent[0]), "out", flow.local, flow.peer]), story)
    begun = collections.defaultdict(list)  # the clients' first packets, by the ends that the server saw
    for flow in flows:
        begun[flow.external, flow.real].append(flow.sent[0])
    for ends, packets in packets_of_ends(truth).items():
        of_conn = of_ends[truth.netns_of(packets[0]), "in", *ends]
        # The same ends again within a minute are the same peer still.
        found = [earliest(c, of_conn) for _ in range(max(1, len(of_conn)))]
        for number, records in enumerate(found):
            until = nanoseconds(found[number + 1][0]["time"]) if number + 1 < len(found) else None
            mine = [call for call in packets if until is None or call["after"] < until]
            packets = packets[len(mine) :]
            if mine:
                first = max((call for call in begun[ends] if call["before"] <= mine[0]["after"]), key=lambda call: call["before"], default=None)
                if c.check(first is not None, "the test itself: a packet that came was sent", ends, *mine):
                    compare_server(c, ends, first, mine, records)
    for cookie, calls in truth.calls.items():
        if any("udp" in call for call in calls):
            for call in calls:
                if call["op"] == "bind":
                    c.accept_listen(c.take(cookie, "listen", "in"), call, *calls)
        if cookie in truth.listens or any("udp" in call for call in calls):
            check_users_of_socket(c, cookie, calls)
    print(f"{len(flows)} UDP peers of clients, {sum(len(flow.took) for flow in flows)} packets to servers")


def packets_of_ends(truth):
    """What servers took and gave, in order of time."""
    found = collections.defaultdict(list)
    for calls in truth.calls.values():
        for call in calls:
            if call["op"] in ("took", "gave"):
                found[plain(call["peer"]), plain(call["local"])].append(call)
    return {ends: sorted(calls, key=lambda call: call["before"]) for ends, calls in found.items()}


def check_users_of_socket(c, cookie, calls):
    """Who received or sent on a socket with many peers may be named with the socket instead of a peer."""
    users = {call["pid"] for call in calls}
    for record in c.take(cookie, "used_by", "in"):
        c.check(record["pid"] in users, "UDP: used_by of a socket names one who used it", record, *calls[:5])


def earliest(c, of_conn):
    """The records of the first flow with these ends that no other has taken."""
    if not of_conn:
        return []
    conn = min(of_conn, key=lambda conn: min(record["time"] for record in of_conn[conn]))
    records = of_conn.pop(conn)
    c.left.difference_update(map(id, records))
    return sorted(records, key=lambda record: record["time"])


def of_kind(records, kind):
    return [record for record in records if record["kind"] == kind]


def compare_client(c, flow, records, story):
    story = (*story, "records:", *records)
    calls, first = c.truth.calls[flow.cookie], flow.sent[0]
    covered = c.truth.end_of(first) in c.truth.translations
    opens, closes, uses = (of_kind(records, kind) for kind in ("open", "close", "used_by"))
    c.check(len(opens) == 1 and len(closes) == 1 and not of_kind(records, "failed"), "UDP: exactly one open and one close, out", *story)
    for record in opens + closes:
        what = f"UDP {record['kind']} out"
        c.ends(record, flow.local, flow.peer, flow.mapped, what, *story)
        c.owner(record, first["pid"], first["before"], first["after"], what, *story)
        c.check(record["role"] == ("creator" if flow.maker["pid"] == first["pid"] else "user"), f"{what}: role", record, *story)
        c.nat(record, flow.own, covered, what, *story)
    for record in opens:
        c.within(record, "time", first["before"], first["after"], "UDP open out", *story)
    error = next((call["errno"] for call in calls if call["errno"] in ERRORS), 0)
    for record in closes:
        c.check((record["outcome"], record.get("errno", 0)) == (ERRORS.get(error, "ok"), error), "UDP close out: outcome", record, *story)
        sent = sum(call["bytes"] for call in flow.sent), len(flow.sent)
        came = [call for call in calls if call["op"] == "from" and call["errno"] == 0 and plain(call["peer"]) == flow.peer]
        # An answer that was sent may be dropped on its way.
        least, most = ((sum(call["bytes"] for call in packets), len(packets)) for packets in (came, flow.gave))
        found = record["bytes_in"], record["packets_in"]
        c.check((record["bytes_out"], record["packets_out"]) == sent, "UDP close out: bytes and packets sent", f"should be {sent}", record, *story)
        c.check(all(low <= value <= high for low, value, high in zip(least, found, most)), "UDP close out: bytes and packets received", f"at least {least}, at most {most}", record, *story)
        ended = c.ended_by(calls)
        c.within(record, "end", ended[0], ended[1], "UDP close out", *story)
    creator = flow.maker["pid"] if flow.maker["pid"] != first["pid"] else None
    check_uses(c, uses, first["pid"], creator, flow.sent, calls, "UDP out", story)
    check_closer(c, flow, uses, creator, story)


def check_uses(c, uses, owner, creator, sent, calls, what, story):
    """Each process but the `owner` once: `creator`, if it is another; one who `sent` to this peer; others that used the socket, unless
    they are named with the socket, or as one too many not at all. Nobody else is."""
    c.check(creator is None or [record["pid"] for record in uses if record["role"] == "creator"] == [creator], f"{what}: used_by names the creator", f"should be {creator}", *story)
    named = [record["pid"] for record in uses]
    c.check(len(set(named)) == len(named) and owner not in named, f"{what}: used_by once for each further process", *story)
    senders = {call["pid"] for call in sent if call["errno"] == 0} - {owner, creator}
    c.check(not senders or senders & set(named), f"{what}: used_by names another one who sent", f"one of {senders}", *story)
    for record in uses:
        if record["role"] == "closer":
            continue
        mine = [call for call in calls if call["pid"] == record["pid"] and call["op"] in ("sock", "to", "from", "took", "gave")]
        if c.check(mine, f"{what}: used_by somebody who did not use it", record, *story):
            # When it sent or received first; a creator is named with the opening.
            moments = [mine[0]["before"], mine[-1]["after"]] if record["role"] == "creator" else [mine[0]["before"], mine[0]["after"]]
            c.owner(record, record["pid"], *moments, f"{what} used_by", *story)
            if record["role"] != "creator":
                c.within(record, "time", mine[0]["before"], mine[-1]["after"], f"{what} used_by", *story)
            c.check(record["role"] == ("creator" if record["pid"] == creator else "user"), f"{what}: role in used_by", record, *story)


def check_closer(c, flow, uses, creator, story):
    """Who closed a client's socket, if it did nothing else with it."""
    closers = [record for record in uses if record["role"] == "closer"]
    last = c.last_release(c.truth.calls[flow.cookie])
    if last is None or last.call["pid"] in {flow.sent[0]["pid"], creator, *(record["pid"] for record in uses if record["role"] != "closer")}:
        c.check(not closers, "UDP out: a closer who is known already, or of a socket that nobody closed", *story)
        return
    # Of a socket with several peers only the first one names it.
    c.check(len(closers) == 1 or not closers and flow.of_many, "UDP out: who closed is named once", last.call, *story)
    for record in closers:
        c.within(record, "time", last.first, last.until, "UDP out closer", last.call, *story)
        c.owner(record, last.call["pid"], last.first, last.until, "UDP out closer", *story)


def compare_server(c, ends, first, packets, records):
    """`first`: the client's first packet; `packets`: all that the server took and gave."""
    number = first["n"]
    story = (f"script {number} of client {c.truth.plans[number][0]}: {c.truth.plans[number][1].text}", first, *packets, "records of the server:", *records)
    took, gave = ([call for call in packets if call["op"] == operation] for operation in ("took", "gave"))
    bound = c.truth.listens[packets[0]["cookie"]]
    covered = c.truth.end_of(bound) in c.truth.translations
    opens, closes, uses = (of_kind(records, kind) for kind in ("open", "close", "used_by"))
    c.check(len(opens) == 1 and len(closes) == 1 and not of_kind(records, "failed"), "UDP: exactly one open and one close, in", *story)
    for record in opens + closes:
        what = f"UDP {record['kind']} in"
        c.ends(record, *ends, is_mapped(packets[0]["local"]), what, *story)
        c.owner(record, bound["pid"], bound["before"], bound["after"], what, *story)
        c.nat(record, None, covered, what, *story)
    for record in opens:
        c.within(record, "time", first["before"], took[0]["after"], "UDP open in", *story)
    for record in closes:
        wanted = [sum(call["bytes"] for call in calls) for calls in (gave, took)] + [len(gave), len(took)]
        found = [record[name] for name in ("bytes_out", "bytes_in", "packets_out", "packets_in")]
        c.check(found == wanted, "UDP close in: bytes and packets", f"should be {wanted}", record, *story)
        idle = "cause" in record and nanoseconds(record["time"]) < c.truth.stopped[0]
        span = (first["before"], packets[-1]["after"]) if idle else (c.truth.stopped[0], c.truth.stopped[1] + SETTLE_SLACK)
        c.within(record, "end", *span, "UDP close in", *story)
    check_uses(c, uses, bound["pid"], None, gave, packets, "UDP in", story)
    for record in uses:
        c.check(record["role"] != "closer" or record["pid"] in c.truth.identities, "UDP in: closer", record, *story)
