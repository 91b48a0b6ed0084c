"""The scene of docs/tasks.md: one morning of five hosts, as the records that their agents wrote.

alice's forty sessions on web-7 go through the masquerade of gw to haproxy on lb, and from there to postgres on db; a container of
app-2 asks the same database; web-7 lost records for a minute."""
import json

DAY = "2025-11-20"
NS = 1_000_000_000
ADDRESSES = {"web-7": "10.8.3.17", "gw": "203.0.113.5", "lb": "198.51.100.9", "db": "10.9.0.7", "app-2": "10.8.4.9"}
CONTAINER = "8f2c41d09b7a" + "5e" * 26


def seconds(clock):
    hours, minutes, rest = clock.split(":")
    return round((int(hours) * 3600 + int(minutes) * 60 + float(rest)) * NS)


def moment(ns):
    whole, fraction = divmod(ns, NS)
    return f"{DAY}T{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{fraction:09}Z"


class Scene:
    def __init__(self):
        self.records = []
        self.cookies = {host: 0 for host in ADDRESSES}

    def add(self, at, kind, host, stream, vantage="socket", **fields):
        record = {"kind": kind, "time": moment(at), "vantage": vantage, "source": f"{host}/{stream}", "source_seq": 1, "host": host,
                  "clock_error": 400_000, "clock_state": "synchronised"}
        record.update({name.replace("__", "."): value for name, value in fields.items()})
        self.records.append((at, record))

    def process(self, at, host, pid, exe, user, uid, parent=None, **fields):
        """`parent` is (pid, start) of one that was added before; a process starts 10 ms before it is told."""
        start = at - 10_000_000
        extra = {"ppid": parent[0], "parent_start": parent[1]} if parent else {}
        self.add(at, "process", host, "socket", pid=pid, process_start=moment(start), exe=exe, comm=exe.split("/")[-1][:15], uid=uid,
                 user=user, **extra, **fields)
        return pid, moment(start), exe, uid

    def conn(self, host):
        self.cookies[host] += 1
        return f"{list(ADDRESSES).index(host) + 1:016x}{self.cookies[host]:016x}"

    def connection(self, begun, ended, host, process, direction, src, dst, sent, received, **fields):
        pid, start, exe, uid = process
        tuple_ = dict(proto="tcp", direction=direction, src__ip=src[0], src__port=src[1], dst__ip=dst[0], dst__port=dst[1],
                      conn=self.conn(host), pid=pid, process_start=start, exe=exe, uid=uid, **fields)
        tuple_.setdefault("nat", "none")
        if direction == "in":
            tuple_["role"] = "acceptor"
        self.add(begun, "open", host, "socket", **tuple_)
        self.add(ended, "close", host, "socket", **tuple_, start=moment(begun), end=moment(ended), bytes_out=sent, bytes_in=received)


def external_port(session):
    """As a fully random masquerade gives them: no order, none twice."""
    return 20_000 + (session * 7919 + 4242) % 40_000


def session_begin(session):
    return seconds("11:30:00") + session * 137_000_000


def add_hosts(scene):
    begun = seconds("09:00:00")
    for host, address in ADDRESSES.items():
        for stream, covers in (("socket", "tcp process"), ("nat", "nat tcp")):
            scene.add(begun, "source_start", host, stream, "book", about=f"{host}/{stream}", covers=covers)
        scene.add(begun, "address", host, "address", "book", address=address, prefix=24, interface="eth0", state="up")


def add_sessions(scene, haproxy, postgres):
    sshd = scene.process(seconds("11:20:00"), "web-7", 5012, "/usr/sbin/sshd", "root", 0)
    bash = scene.process(seconds("11:20:01"), "web-7", 5040, "/usr/bin/bash", "deploy", 1001, sshd[:2], login_user="alice", loginuid=1004)
    for session in range(1, 41):
        begun = session_begin(session)
        worker = scene.process(begun - 1_000_000, "web-7", 7300 + session, "/usr/bin/python3.11", "deploy", 1001, bash[:2], login_user="alice",
                               loginuid=1004, cmdline=f"python3 load.py --session {session}")
        sent, received = (48_392_117, 91_204) if session == 27 else (20_000 + session * 613, 4_000 + session * 97)
        ended = begun + (95 + session) * NS
        inside = (ADDRESSES["web-7"], 40_000 + session * 11)
        outside = (ADDRESSES["gw"], external_port(session))
        front = (ADDRESSES["lb"], 5432)
        leg = (ADDRESSES["lb"], 33_000 + session)
        scene.connection(begun, ended, "web-7", worker, "out", inside, front, sent, received, nat="unknown", nat_reason="not_covered")
        lease = dict(proto="tcp", src__ip=inside[0], src__port=inside[1], dst__ip=front[0], dst__port=5432, nat="translated",
                     src__nat__ip=outside[0], src__nat__port=outside[1], conn=scene.conn("gw"))
        scene.add(begun + 100_000, "nat_open", "gw", "nat", "nat", **lease)
        scene.add(ended + 120 * NS, "nat_close", "gw", "nat", "nat", **lease, start=moment(begun + 100_000), end=moment(ended + 120 * NS))
        scene.connection(begun + 200_000, ended, "lb", haproxy, "in", outside, front, received, sent)
        scene.connection(begun + 900_000, ended, "lb", haproxy, "out", leg, (ADDRESSES["db"], 5432), sent, received)
        scene.connection(begun + 1_000_000, ended, "db", postgres, "in", leg, (ADDRESSES["db"], 5432), received, sent)
        scene.add(ended, "proxy", "lb", "haproxy", "proxy", app="haproxy", src__ip=outside[0], src__port=outside[1], dst__ip=front[0],
                  dst__port=5432, up__src__ip=leg[0], up__src__port=leg[1], up__dst__ip=ADDRESSES["db"], up__dst__port=5432,
                  start=moment(begun + 900_000), end=moment(ended))


def add_container(scene, postgres):
    """Three connections of the container `reports`, one before the asked hour."""
    for number, clock in enumerate(("09:40:12.5", "10:04:01.25", "10:15:44")):
        begun = seconds(clock)
        psql = scene.process(begun - 1_000_000, "app-2", 812 + number, "/usr/bin/psql", "report", 70, container=CONTAINER, container__name="reports",
                             cmdline=f"psql -f daily-{number}.sql")
        src, dst = (ADDRESSES["app-2"], 51_000 + number), (ADDRESSES["db"], 5432)
        scene.connection(begun, begun + 4 * NS, "app-2", psql, "out", src, dst, 2_100 + number, 880_000, container=CONTAINER)
        scene.connection(begun + 100_000, begun + 4 * NS, "db", postgres, "in", src, dst, 880_000, 2_100 + number)


def add_gap(scene):
    """A minute of loss on web-7; one connection that began before it, and one refused after."""
    curl = scene.process(seconds("10:39:50"), "web-7", 6100, "/usr/bin/curl", "deploy", 1001)
    scene.connection(seconds("10:39:51"), seconds("10:42:00"), "web-7", curl, "out", (ADDRESSES["web-7"], 47_100), ("192.0.2.80", 443), 900, 120_000)
    scene.add(seconds("10:41:00"), "gap", "web-7", "socket", "book", about="web-7/socket", start=moment(seconds("10:40:00")),
              end=moment(seconds("10:41:00")), cause="the ring was full", count=3)
    pid, start, exe, uid = curl
    scene.add(seconds("10:43:07"), "failed", "web-7", "socket", proto="tcp", direction="out", outcome="refused", src__ip=ADDRESSES["web-7"],
              src__port=47_102, dst__ip="192.0.2.80", dst__port=22, nat="none", conn=scene.conn("web-7"), pid=pid, process_start=start,
              exe=exe, uid=uid, errno=111)


def records():
    """JSON lines in the order in which the book got them: each source's records of a minute together."""
    scene = Scene()
    add_hosts(scene)
    haproxy = scene.process(seconds("09:00:01"), "lb", 33, "/usr/sbin/haproxy", "haproxy", 101)
    postgres = scene.process(seconds("09:00:01"), "db", 44, "/usr/lib/postgresql/15/bin/postgres", "postgres", 26)
    add_container(scene, postgres)
    add_gap(scene)
    add_sessions(scene, haproxy, postgres)
    for host in ADDRESSES:
        for stream in ("socket", "nat"):
            scene.add(seconds("12:00:00"), "source_stop", host, stream, "book", about=f"{host}/{stream}")
    ordered = sorted(scene.records, key=lambda one: (one[0] // (60 * NS), one[1]["source"], one[0]))
    return "".join(json.dumps(record) + "\n" for _, record in ordered)


def samples():
    """The auditor's list: the forty sessions, five that nobody had, five of an address that no source had."""
    lines = ["no,endpoint,time"]
    for session in range(1, 41):
        lines.append(f"{session},{ADDRESSES['gw']}:{external_port(session)},{moment(session_begin(session) + 3 * NS)[:-7]}Z")
    lines += [f"{41 + n},{ADDRESSES['gw']}:{61_000 + n},{DAY}T11:45:0{n}Z" for n in range(5)]
    lines += [f"{46 + n},198.51.100.77:{50_000 + n},{DAY}T11:45:0{n}Z" for n in range(5)]
    return "\n".join(lines) + "\n"
