"""What script_peer's programs and connection tracking wrote, put together per socket, and the comparison with records."""
import bisect
import collections
import datetime
import json
import re
import time

import scripts
import untold_ends

TCP, UDP = 6, 17
MS = 1_000_000
COOKIE_MASK = (1 << 44) - 1   # of a conn's second half; above it is which connection of the socket
CLOCK_SLACK = 50_000         # ns: the record's time comes from boot time and the offset of that moment
SETTLE_SLACK = 1_000 * MS    # how long after the last call the kernel may take to end an orderly connection
TICK = 10 * MS               # /proc counts a process's start in hundredths of a second, rounded down
FAILURES = {111: "refused", 113: "unreachable", 110: "timeout", 115: "timeout"}
UNREACHABLE = 113
GIVEN_UP = 115               # EINPROGRESS: no answer yet
NAT_LATE_SHARE_MAX = 0.1     # an open waits 20 ms for its translation, which a busy machine may miss; its close does not


def nanoseconds(text):
    base, fraction = text.rstrip("Z").split(".")
    whole = datetime.datetime.fromisoformat(base).replace(tzinfo=datetime.timezone.utc)
    return int(whole.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def plain(end):
    """An endpoint as records have it: mapped IPv6 is IPv4."""
    return (end[0].removeprefix("::ffff:") if "." in end[0] else end[0], end[1])


def is_mapped(end):
    return end[0].startswith("::ffff:") and "." in end[0]


class Translation:
    """The beginning or the end of a conntrack entry."""

    def __init__(self, event):
        self.event, self.proto, self.id, self.raw = event["event"], event["proto"], event["id"], event
        (self.asked_by, self.asked_for), (self.answered_by, self.external) = [[tuple(end) for end in event[name]] for name in ("original", "reply")]
        self.time = event["time"] or (event["start"] if self.event == "new" else event["stop"])

    @property
    def translated(self):
        return self.asked_by != self.external or self.asked_for != self.answered_by


Release = collections.namedtuple("Release", "call first until")


class Attempt:
    """One connect() of a client's socket and what followed until the next one."""

    def __init__(self, conn, calls, maker, plan):
        self.conn, self.calls, self.maker, self.plan = conn, calls, maker, plan
        self.local, self.asked = plain(conn["local"]), plain(conn["peer"])
        self.mapped = is_mapped(conn["peer"])
        self.failed = conn["errno"] != 0
        self.own = self.routed = None  # translations on the client's host and in the router
        self.accepted = None


class Truth:
    def __init__(self, path, trackers, listed, namespaces, plans, stopped):
        """`path`: what the programs wrote; `trackers`: of conntrack_events.py, by namespace; `listed`: of `conntrack -L` at the end; `stopped`:
        between which moments the servers were killed."""
        self.listed, self.plans, self.namespaces, self.stopped = listed, plans, namespaces, stopped
        self.end_of_netns = {inode: end for end, inode in namespaces.items()}
        self.boot_offset = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        self.identities, self.deaths = collections.defaultdict(list), {}
        self.calls, self.accepts, self.listens = collections.defaultdict(list), {}, {}
        for line in lines:
            if line["op"] == "me":
                self.identities[line["pid"]].append(line)
            elif line["op"] == "ended":
                self.deaths[line["pid"]] = line["after"]
            elif line["op"] == "accept":
                self.accepts[line["cookie"]] = line
            elif line["op"] in ("listen", "bound"):
                self.listens[line["cookie"]] = line
            else:
                self.calls[line.get("closed") or line["cookie"]].append(line)
        for calls in self.calls.values():
            calls.sort(key=lambda line: line["before"])
        self.translations = {end: [Translation(json.loads(line)) for line in file.read_text().splitlines()] for end, file in trackers.items()}
        self.attempts = [attempt for cookie in self.calls for attempt in self.attempts_of(cookie)]
        self.join()

    def attempts_of(self, cookie):
        calls = self.calls[cookie]
        starts = [at for at, call in enumerate(calls) if call["op"] == "conn"]
        maker = next((call for call in calls if call["op"] == "sock"), None)
        if maker is None or "udp" in maker:
            return
        for number, at in enumerate(starts):
            until = starts[number + 1] if number + 1 < len(starts) else len(calls)
            yield Attempt(calls[at], calls[at + 1 : until], maker, self.plans[calls[at]["n"]][1])

    def identity(self, pid, moment):
        """What the process was at that moment, as far as its own notes go."""
        notes = self.identities[pid]
        return notes[max(0, bisect.bisect_right([note["after"] for note in notes], moment) - 1)]

    def netns_of(self, call):
        return self.identities[call["pid"]][0]["netns"]

    def end_of(self, call):
        return self.end_of_netns[self.netns_of(call)]

    @staticmethod
    def first_after(candidates, moment, time_of):
        """The earliest that is not before the moment: a tuple may be used again later."""
        return min((one for one in candidates if time_of(one) >= moment), key=time_of, default=None)

    def entry_of(self, begun, conn, late=0):
        """The youngest of these entries that began before the call was over and was still there when it began; conntrack keeps an entry
        for a while after a connection, and a next one of the same tuple may go on with it."""
        one = max((one for one in begun if one.time <= conn["after"] + late), key=lambda one: one.time, default=None)
        return None if one is None or self.ends.get((one.id, one.time), conn["before"]) < conn["before"] else one

    def join(self):
        """Finds each attempt's translations and the socket that the server accepted, by the tuples alone."""
        tracked = self.tracked = collections.defaultdict(list)
        self.ends = {}  # of the entry with that id and beginning
        for end, translations in self.translations.items():
            living = {}
            for one in translations:
                if one.event == "new":
                    tracked[end, one.proto, one.asked_by, one.asked_for].append(one)
                    living[one.id] = one
                elif one.id in living:
                    self.ends[one.id, living.pop(one.id).time] = one.time
        accepted = collections.defaultdict(list)
        for line in self.accepts.values():
            accepted[plain(line["peer"]), plain(line["local"])].append(line)
        for attempt in self.attempts:
            ends, begun = (attempt.local, attempt.asked), attempt.conn["before"]
            for end, name in ((self.end_of(attempt.conn), "own"), ("r", "routed")):
                one = self.entry_of(tracked.get((end, TCP, *ends), ()), attempt.conn)
                setattr(attempt, name, one)
                if one:
                    ends = one.external, one.answered_by
            attempt.external, attempt.real = ends
            attempt.accepted = self.first_after(accepted.get(ends, ()), begun, lambda line: line["after"])

    def whole(self, records):
        """True once as many ends are recorded as there were beginnings."""
        found = collections.Counter(record["kind"] for record in records if record.get("netns") in self.end_of_netns)
        good = sum(not attempt.failed for attempt in self.attempts)
        leases = sum(one.event == "new" and one.translated for ones in self.translations.values() for one in ones)
        flows = {record["conn"] for record in records if record["kind"] == "open" and record["proto"] == "udp" and record.get("netns") in self.end_of_netns}
        return found["close"] >= 2 * good + len(flows) and found["failed"] >= len(self.attempts) - good and found["nat_close"] >= leases


class Comparison:
    def __init__(self, truth, records):
        self.truth = truth
        self.wrong, self.first = collections.Counter(), {}
        self.checks = 0
        self.records = [record for record in records if record.get("netns") in truth.end_of_netns and record["kind"] != "address"]
        self.all = records
        self.of_socket = collections.defaultdict(list)
        for record in self.records:
            if record["vantage"] == "socket" and "conn" in record and (record["proto"] == "tcp" or record["kind"] in ("listen", "used_by")):
                self.of_socket[int(record["conn"][16:], 16) & COOKIE_MASK].append(record)
        self.processes = {(record["pid"], record["process_start"]) for record in records if record["kind"] == "process"}
        self.left = {id(record) for record in self.records if record["vantage"] == "socket"}
        self.opens = self.late = 0
        self.untold = []

    def is_untold(self, record):
        if not untold_ends.is_untold(record):
            return False
        self.untold.append(record)
        return self.check(untold_ends.claims_nothing(record), "an untold end claims nothing", record)

    def check(self, good, what, *story):
        self.checks += 1
        if not good:
            self.wrong[what] += 1
            self.first.setdefault(what, story)
        return good

    def take(self, cookie, kind, direction, index=0):
        """The records of that socket's index-th connection, of a kind, in order of time; each is taken once."""
        conns = sorted({record["conn"] for record in self.of_socket[cookie]})
        found = [record for record in self.of_socket[cookie] if record["kind"] == kind and record["direction"] == direction
                 and conns.index(record["conn"]) == index]
        self.left.difference_update(map(id, found))
        return sorted(found, key=lambda record: record["time"])

    def accept_listen(self, found, line, *story):
        """A listener has its beginning and its end."""
        found = sorted(found, key=lambda record: "end" in record)
        if not self.check(["end" in record for record in found] == [False, True], "a listener has its beginning and its end", *found, line, *story):
            return
        for record in found:
            self.check((record.get("dst.ip"), record.get("dst.port")) == plain(line["local"]), "listen: address and port", record, line, *story)
            # Whoever began it, as what runs when the record is written: joining by time says the same.
            last = nanoseconds(record["time"]) + SETTLE_SLACK if "end" in record else line["after"]  # an exec may be what ends it
            self.owner(record, line["pid"], line["before"], last, "listen", line, *story)
        self.check(found[0].get("process_start") == found[1].get("process_start"), "listen: the same process at its end", *found, line, *story)
        self.within(found[0], "time", line["before"], line["after"], "listen", line, *story)

    def within(self, record, field, first, last, what, *story):
        moment = nanoseconds(record[field])
        self.check(first - CLOCK_SLACK <= moment <= last + CLOCK_SLACK, f"{what}: {field} lies between the clock before and after the call",
                   f"{record[field]} is {(moment - first) / 1000:.0f} us after the first and {(moment - last) / 1000:.0f} us after the last moment possible", record, *story)

    def owner(self, record, pid, first, last, what, *story):
        """The record names process `pid`, as it was at some time between the two moments."""
        if not self.check(record.get("pid") == pid, f"{what}: pid {'' if 'pid' in record else 'missing'}", f"should be {pid}", record, *story):
            return
        start = nanoseconds(record["process_start"])
        seen = [self.truth.identity(pid, first), self.truth.identity(pid, last)]
        born = seen[0]["ticks"] * TICK + self.truth.boot_offset
        self.check(-2 * MS <= start - born <= TICK + 2 * MS, f"{what}: process start", record, seen[0], *story)
        self.check(record.get("exe") in [one["exe"] for one in seen], f"{what}: exe", record, *seen, *story)
        self.check(record.get("uid") in [one["uid"] for one in seen], f"{what}: uid", record, *seen, *story)
        self.check((pid, record["process_start"]) in self.processes, f"{what}: has a process record", record, *story)

    def ends(self, record, source, target, mapped, what, *story):
        found = (record.get("src.ip"), record.get("src.port")), (record.get("dst.ip"), record.get("dst.port"))
        self.check(found == (source, target), f"{what}: addresses and ports", f"should be {source} -> {target}", record, *story)
        self.check(record.get("family") == ("inet6" if mapped else None), f"{what}: family", record, *story)

    def nat(self, record, tracked, covered, what, *story):
        """`tracked`: the host's own translation; `covered`: its namespace has connection tracking."""
        if not covered and record["kind"] == "open" and record["nat"] == "unknown" and record["nat_reason"] == "not_covered":
            self.late += 1  # nobody had looked in time
            return
        if not covered:
            self.check(record["nat"] == "unknown" and record["nat_reason"] in ("no_conntrack", "no_entry"), f"{what}: nat without connection tracking", record, *story)
            return
        self.opens += record["kind"] == "open"
        if record["kind"] == "open" and record["nat"] == "unknown":
            self.late += 1
            return
        translated = tracked is not None and tracked.translated
        self.check(record["nat"] == ("translated" if translated else "none"), f"{what}: nat", record, *story)
        for field, before, after in (("src.nat", "asked_by", "external"), ("dst.nat", "asked_for", "answered_by")):
            wanted = getattr(tracked, after) if translated and getattr(tracked, before) != getattr(tracked, after) else (None, None)
            self.check((record.get(field + ".ip"), record.get(field + ".port")) == wanted, f"{what}: {field}", f"should be {wanted}", record, *story)

    def uses(self, records, calls, skip, role, end, what, *story):
        """used_by: each process but `skip` that sent or received while the connection was there, once, in order; and, where it is none of
        these, who closed the connection."""
        wanted = {}
        for call in calls:
            if call["op"] in ("accept", "send", "recv", "eof") and "blind" not in call and call["pid"] not in skip:
                wanted.setdefault(call["pid"], call)
        closers = [record for record in records if record["role"] == "closer"]
        records = [record for record in records if record["role"] != "closer"]
        found = collections.Counter(record["pid"] for record in records)
        last = self.last_release(calls)
        if last and what == "in" and not wanted and last.call["pid"] not in skip and not any(call["op"] in ("send", "recv", "eof") for call in calls):
            wanted[last.call["pid"]] = last.call  # an accepted socket that nobody used: who closed it accepted it
        for pid, call in wanted.items():
            if end is None or call["after"] <= end:
                self.check(found[pid] == 1, f"{what}: used_by once for each further process", f"process {pid}: {found[pid]}", call, *records, *story)
        for record in records:
            call = wanted.get(record["pid"])
            if not self.check(call is not None, f"{what}: used_by somebody who did not use it", record, *story):
                continue
            # Several calls, if the first came before the connection was established or was long under way.
            self.within(record, "time", call["before"], call["after"], f"{what} used_by", call, *story)
            self.owner(record, call["pid"], call["before"], call["after"], f"{what} used_by", *story)
            self.check(record["role"] == role, f"{what}: role in used_by", f"should be {role}", record, *story)
            role = "user"
        self.closer(closers, last, {*skip, *found}, end, what, *story)

    def closer(self, records, last, named, end, what, *story):
        """`named`: processes that need not be named any more."""
        if last is None or last.call["pid"] in named or end is not None and end < last.first - CLOCK_SLACK:
            self.check(not records, f"{what}: a closer of what was closed already, or by one who is known", *records, *story)
            return
        if end is None or end > last.until + CLOCK_SLACK:
            self.check(len(records) == 1, f"{what}: who closed an open connection is named once", last.call, *records, *story)
        for record in records:
            self.within(record, "time", last.first, last.until, f"{what} closer", last.call, *story)
            self.owner(record, last.call["pid"], last.first, last.until, f"{what} closer", *story)

    def last_release(self, calls):
        """The call with which the last process let the socket go, and the moments between which it did."""
        calls = [call for call in calls if call["op"] in ("close", "kill", "exit") or call["op"] == "exec" and "closed" in call]
        if not calls:
            return None
        call = max(calls, key=lambda call: call["before"])
        if call["op"] == "close":
            return Release(call, call["before"], call["after"])
        # The process is gone by then, or runs the other program already.
        began = [note["after"] for note in self.truth.identities[call["pid"]] if note["after"] > call["after"]]
        return Release(call, call["before"], min([*began, self.truth.deaths.get(call["pid"], call["after"] + SETTLE_SLACK)]))

    def ended_by(self, calls):
        """Moments between which these calls ended their socket: before the first that could, after the last."""
        enders = [call for call in calls if call["op"] in ("shut", "close", "disconnect", "kill", "exit") or call["op"] == "exec" and "closed" in call]
        if not enders:
            return None
        return min(call["before"] for call in enders), max(max(call["after"], self.truth.deaths.get(call["pid"], 0) if call["op"] != "close" else 0) for call in enders)


def compare_failure(c, attempt, index, story):
    conn, cookie = attempt.conn, attempt.conn["cookie"]
    found = c.take(cookie, "failed", "out", index)
    c.check(len(found) == 1, "a failed connect has exactly one record", *found, *story)
    for record in found:
        local = attempt.local
        if local[0] in ("0.0.0.0", "::"):
            # The kernel took the address away before the program could ask: it was one of this client's.
            version = "6" if attempt.asked[0].count(":") else "4"
            local = record["src.ip"] if record.get("src.ip") in scripts.CLIENTS[c.truth.end_of(conn)][version] else None, local[1]
        c.ends(record, local, attempt.asked, attempt.mapped, "failed", *story)
        c.owner(record, conn["pid"], conn["before"], conn["after"], "failed", *story)
        if c.is_untold(record):
            continue
        c.check(record["outcome"] == FAILURES[conn["errno"]], "failed: outcome", record, *story)
        c.check(record.get("errno") == (None if conn["errno"] == GIVEN_UP else conn["errno"]), "failed: errno", record, *story)
        last = conn["after"]
        if conn["errno"] in (GIVEN_UP, UNREACHABLE):  # an ICMP error may leave the kernel's attempt going until the program closes
            last = max(last, (c.ended_by(attempt.calls) or (0, 0))[1])
        c.within(record, "time", conn["before"], last, "failed", *story)
        c.within(record, "start", conn["before"], conn["after"], "failed", *story)


def compare_closes(c, found, direction, attempt, calls, other_calls, what, story):
    """One close; its outcome, bytes, and times. Returns when it says that the connection ended."""
    if not c.check(len(found) == 1, f"exactly one close, {direction}", *found, *story):
        return None
    record = found[0]
    if c.is_untold(record):
        return None
    disconnected = any(call["op"] == "disconnect" for call in attempt.calls)
    resets = "client" if disconnected else attempt.plan.resets
    c.check(record["outcome"] == ("reset" if resets else "ok"), f"{what}: outcome", record, *story)
    sent = sum(call["bytes"] for call in calls if call["op"] == "send")
    received = sum(call["bytes"] for call in other_calls if call["op"] == "send")
    if resets:
        c.check(record["bytes_out"] <= sent and record["bytes_in"] <= received, f"{what}: at most the bytes that were sent", (sent, received), record, *story)
    else:
        c.check((record["bytes_out"], record["bytes_in"]) == (sent, received), f"{what}: payload bytes", (sent, received), record, *story)
    mine, theirs = c.ended_by(calls), c.ended_by(other_calls)
    if mine and theirs:
        first, last = min(mine[0], theirs[0]), max(mine[1], theirs[1]) + SETTLE_SLACK
        if resets == ("client" if direction == "out" else "server"):
            last = mine[1]  # a reset is the caller's own doing, at that moment
        c.within(record, "end", first, last, what, *story)
    c.check(record["time"] == record["end"], f"{what}: time is its end", record, *story)
    return nanoseconds(record["end"])


def compare_client(c, attempt, index, story):
    conn, cookie = attempt.conn, attempt.conn["cookie"]
    covered = c.truth.end_of(conn) in c.truth.translations
    opens, closes, uses = (c.take(cookie, kind, "out", index) for kind in ("open", "close", "used_by"))
    c.check(len(opens) == 1, "exactly one open, out", *opens, *story)
    diag = conn.get("diag")
    if diag:
        c.check((plain(diag["local"]), plain(diag["peer"])) == (attempt.local, attempt.asked), "the test itself: sock_diag and getsockname agree", *story)
    for record in opens + closes:
        what = record["kind"] + " out"
        c.ends(record, attempt.local, attempt.asked, attempt.mapped, what, *story)
        c.owner(record, conn["pid"], conn["before"], conn["after"], what, *story)
        c.nat(record, attempt.own, covered, what, *story)
        c.check(record["role"] == ("user" if attempt.maker["pid"] != conn["pid"] else "creator"), f"{what}: role", record, *story)
    for record in opens:
        c.within(record, "time", conn["before"], conn["after"], "open out", *story)
    for record in closes:
        c.within(record, "start", conn["before"], conn["after"], "close out", *story)
    accepted_calls = calls_of_accepted(c, attempt)
    end = compare_closes(c, closes, "out", attempt, attempt.calls, accepted_calls, "close out", story)
    creators = [record for record in uses if record["role"] == "creator"]
    wanted = [attempt.maker["pid"]] if attempt.maker["pid"] != conn["pid"] else []
    c.check([record["pid"] for record in creators] == wanted, "out: used_by names the creator", f"should be {wanted}", *uses, *story)
    for record in creators:
        c.owner(record, attempt.maker["pid"], attempt.maker["before"], attempt.maker["after"], "used_by creator", *story)
    others = [record for record in uses if record["role"] != "creator"]
    c.uses(others, attempt.calls, {conn["pid"], *wanted}, "user", end, "out", *story)


def calls_of_accepted(c, attempt):
    return c.truth.calls[attempt.accepted["cookie"]] if attempt.accepted else []


def compare_server(c, attempt, story):
    accepted, conn = attempt.accepted, attempt.conn
    if not c.check(accepted is not None, "the test itself: the server accepted it", *story):
        return
    cookie, calls = accepted["cookie"], calls_of_accepted(c, attempt)
    listener = c.truth.listens[accepted["listener"]]
    covered = c.truth.end_of(listener) in c.truth.translations
    opens, closes, uses = (c.take(cookie, kind, "in") for kind in ("open", "close", "used_by"))
    c.check(len(opens) == 1, "exactly one open, in", *opens, *story)
    end = compare_closes(c, closes, "in", attempt, calls, attempt.calls, "close in", story)
    for record in opens + closes:
        what = record["kind"] + " in"
        c.ends(record, attempt.external, attempt.real, is_mapped(accepted["local"]), what, *story)
        c.nat(record, None, covered, what, *story)
    for record in opens:
        c.within(record, "time", conn["before"], accepted["after"], "open in", *story)
        c.owner(record, listener["pid"], listener["before"], listener["after"], "open in", *story)
        c.check(record["role"] == "listener", "open in: role", record, *story)
    # Who takes it from the listener accepts it, unless that is the listener itself. Who does so without asking for the address is not
    # seen: then it is the first who uses it.
    taken = accepted
    if "blind" in accepted:
        taken = min((call for call in calls if call["op"] in ("send", "recv", "eof")), key=lambda call: call["before"], default=accepted)
    alone = taken["pid"] == listener["pid"]
    over = end is not None and end < taken["before"]  # by then the kernel had ended it
    for record in closes:
        if over or untold_ends.is_gone(record):
            c.owner(record, listener["pid"], listener["before"], listener["after"], "close in", *story)
        elif end is None or end > taken["after"]:
            c.owner(record, taken["pid"], taken["before"], end or taken["after"], "close in", *story)
            c.check(record["role"] in (("listener", "acceptor") if alone else ("acceptor",)), "close in: role", record, *story)
    c.uses(uses, [accepted, *calls], {listener["pid"]}, "acceptor", end, "in", *story)


def compare_listeners(c):
    for cookie, line in c.truth.listens.items():
        c.accept_listen(c.take(cookie, "listen", "in"), line)


def compare_leases(c):
    of_lease = collections.defaultdict(list)
    for record in c.records:
        if record["kind"] in ("nat_open", "nat_close"):
            of_lease[record["kind"], record["netns"], record["conntrack_id"]].append(record)
    conns = {}
    for end, translations in c.truth.translations.items():
        for one in translations:
            if not one.translated:
                continue
            kind = "nat_open" if one.event == "new" else "nat_close"
            netns = c.truth.namespaces[end]
            mine = [record for record in of_lease[kind, netns, one.id] if lease_tuple(record) == (one.asked_by, one.asked_for, one.external, one.answered_by)]
            # An id may be used again: each event takes the earliest record that is left.
            if not c.check(len(mine) >= 1, f"{kind} for each of conntrack's own events", one.raw, *of_lease[kind, netns, one.id]):
                continue
            record = min(mine, key=lambda record: record["time"])
            of_lease[kind, netns, one.id].remove(record)
            moment = nanoseconds(record["time"])
            c.check(moment == one.time, f"{kind}: time", record, one.raw)
            c.check(record["proto"] == {TCP: "tcp", UDP: "udp"}[one.proto], f"{kind}: protocol", record, one.raw)
            if kind == "nat_open":
                conns[netns, one.id, lease_tuple(record)] = record["conn"]
            else:
                c.check(conns.get((netns, one.id, lease_tuple(record))) == record["conn"], "nat_close: same conn as its nat_open", record, one.raw)
    for (kind, *_), records in of_lease.items():
        c.check(not records, f"no {kind} beyond conntrack's own events", *records[:3])
    for end, text in c.truth.listed.items():
        new, ended = ({one.id for one in c.truth.translations[end] if one.event == event} for event in ("new", "destroy"))
        for line in text.splitlines():
            c.check(int(re.search(r"id=(\d+)", line)[1]) in new & ended, "the test itself: what conntrack -L showed at the end had its events", line)


def lease_tuple(record):
    end = lambda name: (record.get(name + ".ip"), record.get(name + ".port"))
    source, target = end("src"), end("dst")
    return source, target, end("src.nat") if "src.nat.ip" in record else source, end("dst.nat") if "dst.nat.ip" in record else target


def compare_joined(c, attempt, story):
    """The lease that the router recorded leads from the internal port to the external one that the server saw."""
    if attempt.accepted is None:
        return
    c.check((plain(attempt.accepted["peer"]), plain(attempt.accepted["local"])) == (attempt.external, attempt.real), "the test itself: conntrack and getpeername agree", *story)


def compare(truth, records, further):
    """`further`: compares what is not TCP. Prints what differs, the first of each kind with its whole story; True when nothing does."""
    c = Comparison(truth, records)
    index_of = collections.Counter()
    accepted = collections.Counter()
    for attempt in sorted(truth.attempts, key=lambda one: one.conn["before"]):
        cookie = attempt.conn["cookie"]
        index = index_of[cookie]
        index_of[cookie] += 1
        number = attempt.conn["n"]
        story = (f"script {number} of client {truth.plans[number][0]}: {attempt.plan.text}", attempt.conn, *attempt.calls, attempt.accepted, *calls_of_accepted(c, attempt),
                 *(one.raw for one in (attempt.own, attempt.routed) if one), "records of the client's socket:", *c.of_socket[cookie],
                 "records of the server's socket:", *(c.of_socket[attempt.accepted["cookie"]] if attempt.accepted else ()))
        if attempt.failed:
            compare_failure(c, attempt, index, story)
            continue
        compare_client(c, attempt, index, story)
        compare_server(c, attempt, story)
        compare_joined(c, attempt, story)
        accepted[attempt.accepted["cookie"] if attempt.accepted else None] += 1
    c.check(max(accepted.values(), default=0) == 1, "the test itself: each accepted socket belongs to one client's")
    c.check(set(accepted) == set(truth.accepts), "the test itself: each accepted socket has a client", *[truth.accepts[one] for one in list(set(truth.accepts) - set(accepted))[:3]])
    compare_listeners(c)
    compare_leases(c)
    further(c)
    beyond = [record for record in c.records if id(record) in c.left]
    c.check(not beyond, "no record beyond what was done", *beyond[:3])
    c.check(c.late <= NAT_LATE_SHARE_MAX * c.opens, "few opens miss their translation", f"{c.late} of {c.opens}")
    compare_sequences(c)
    return report(c, index_of)


def compare_sequences(c):
    for good, what, *story in untold_ends.judge(c.untold, c.all, len(c.truth.attempts)):
        c.check(good, what, *story)
    of_source = collections.defaultdict(list)
    for record in c.all:
        if "source" in record and "source_seq" in record:
            of_source[record["source"]].append(record["source_seq"])
    for source, numbers in of_source.items():
        c.check(sorted(numbers) == list(range(min(numbers), max(numbers) + 1)), f"{source}: numbered without hole or double")


def report(c, sockets):
    told = set()
    for what, story in c.first.items():
        print(f"WRONG {c.wrong[what]} x {what}; the first:")
        for part in map(str, story):
            print("   ", part if part not in told else part[:120] + " … as above")
            told.add(part)
    failed = sum(attempt.failed for attempt in c.truth.attempts)
    print(f"{len(sockets)} client sockets, {len(c.truth.accepts)} accepted, {failed} failed connects, {len(c.truth.identities)} processes, "
          f"{sum(one.translated for ones in c.truth.translations.values() for one in ones)} lease events, {len(c.records)} records; "
          f"nat late in {c.late} of {c.opens} opens; {len(c.untold)} ends untold; {c.checks} checks, {sum(c.wrong.values())} wrong")
    return not c.wrong
