"""Questions about a file of the workload's lines, with what the answer must hold. Seeded: the same file and seed give the same questions."""
import dataclasses
import datetime
import json
import random

SAMPLED = 4_000  # lines of each kind that questions are chosen from
LATE_NS = 30_000_000_000


@dataclasses.dataclass
class Who:
    sort: str  # closed, external, late, never closed, nobody
    ip: str
    port: int
    at: int  # ns since 1970
    conn: str | None  # that of the connection or lease which the answer must name


@dataclasses.dataclass
class Questions:
    records: int
    first: int  # ns since 1970: least and greatest `time`
    last: int
    who: list[Who]
    endpoints: list[tuple[str, int]]  # any time
    uids: list[int]
    ports: list[int]


def ns(text):
    """RFC 3339 with Z and nine digits as ns since 1970."""
    seconds = datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp()
    return int(seconds) * 1_000_000_000 + int(text[20:29])


def utc(at):
    return datetime.datetime.fromtimestamp(at // 1_000_000_000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at % 1_000_000_000:09}Z"


class Reservoir:
    """A uniform sample of what it is shown."""

    def __init__(self, chance):
        self.chance, self.seen, self.kept = chance, 0, []

    def wants(self):
        self.seen += 1
        if len(self.kept) < SAMPLED:
            self.kept.append(None)
            self.at = len(self.kept) - 1
            return True
        self.at = self.chance.randrange(self.seen)
        return self.at < SAMPLED

    def put(self, value):
        self.kept[self.at] = value


def choose(lines, count, seed):
    """`count` questions of each sort about the file `lines`."""
    chance = random.Random(seed)
    closed, late, opened, leases = (Reservoir(chance) for _ in range(4))
    records, first, newest = 0, None, 0
    with open(lines, encoding="utf-8") as file:
        for line in file:
            records += 1
            kind = line[9:line.index('"', 9)]
            at_time = line.index('"time":"') + 8
            # Only what is sampled is parsed; of the rest the time, as text of fixed width, says what came late.
            if kind == "close":
                told = ns(line[at_time:at_time + 30]) if records % 16 == 0 else newest
                behind = newest - told > LATE_NS
                pool = late if behind else closed
                if (behind or records % 16 == 8) and '"direction":"out"' in line and pool.wants():
                    pool.put(json.loads(line))
            elif kind == "open" and records % 16 == 1:
                newest = max(newest, ns(line[at_time:at_time + 30]))
                first = first or newest
                if '"direction":"out"' in line and opened.wants():
                    opened.put(json.loads(line))
            elif kind == "nat_close" and leases.wants():
                leases.put(json.loads(line))
    ago = (newest - first) // 4
    unclosed = {record["conn"]: record for record in opened.kept if ns(record["time"]) < newest - ago}
    with open(lines, encoding="utf-8") as file:
        for line in file:
            if not line.startswith('{"kind":"open"'):
                at = line.find('"conn":"')
                if at >= 0:
                    unclosed.pop(line[at + 8:at + 40], None)

    who = []
    for sort, kept in (("closed", closed.kept), ("late", late.kept)):
        for record in chance.sample(kept, min(count, len(kept))):
            start, end = ns(record["start"]), ns(record["end"])
            who.append(Who(sort, record["src.ip"], record["src.port"], (start + end) // 2, record["conn"]))
    for record in chance.sample(leases.kept, min(count, len(leases.kept))):
        start, end = ns(record["start"]), ns(record["end"])
        who.append(Who("external", record["src.nat.ip"], record["src.nat.port"], (start + end) // 2, record["conn"]))
    for record in chance.sample(sorted(unclosed.values(), key=lambda one: one["conn"]), min(count, len(unclosed))):
        who.append(Who("never closed", record["src.ip"], record["src.port"], ns(record["time"]) + ago // 2, record["conn"]))
    for record in chance.choices(closed.kept, k=count):
        who.append(Who("nobody", record["src.ip"], chance.randrange(61_000, 65_536), chance.randrange(first, newest), None))
    chance.shuffle(who)
    sampled = chance.choices(closed.kept, k=count)
    return Questions(records, first, newest, who, [(one["src.ip"], one["src.port"]) for one in sampled],
                     [one["uid"] for one in chance.choices(closed.kept, k=200) if "uid" in one], [one["dst.port"] for one in sampled])
