"""Random scripts for script_peer: what one client socket does, and what the server's end is told to do. Everything comes from the
random.Random that is passed in, so that a seed replays it."""
import dataclasses
import random

SERVER = {"4": "10.77.2.2", "6": "fd77:2::2"}
CLIENTS = {"a": {"4": ["10.77.1.2", "10.77.1.3"], "6": ["fd77:1::2", "fd77:1::3"]},
           "b": {"4": ["10.77.3.2", "10.77.3.3"], "6": ["fd77:3::2", "fd77:3::3"]}}
ROUTER_DNAT = {"4": "10.77.9.9", "6": "fd77:9::9"}  # the router sends it on to the server
OWN_DNAT = {"4": "10.77.8.8", "6": "fd77:8::8"}     # client a's own host does
KEEPING, RANDOM, OWN, PLAIN = 7001, 7002, 7003, 7009
SELF, PASSING, IDLE, SHUTTING, DUAL, BLIND = 7011, 7012, 7013, 7015, 7014, 7016
LOCAL = 7020
UNREACHABLE, SILENT, CLOSED = 7997, 7998, 7999
PROGRAMS = 4
USERS = [1001, 1002, 1003]


@dataclasses.dataclass
class Plan:
    """One script. `resets`: which side ends its last connection with a reset: client, server, or empty."""
    text: str
    resets: str = ""
    slow: bool = False


def written(family, ip):
    """The address as a socket of that family takes it; m: IPv6 that speaks IPv4."""
    return "::ffff:" + ip if family == "m" else ip


def sock(family):
    return f"sock {4 if family == '4' else 6};"


def inner(script):
    return script.replace(";", ",").replace(" ", "~")


class Writer:
    """Writes scripts for the clients of one namespace."""

    def __init__(self, name, chance):
        self.name, self.chance = name, chance
        self.port = 10_000  # explicit source ports, each once: below the ones that the kernel chooses

    def family(self):
        return self.chance.choice("446m")

    def source(self, family, local):
        """An explicit bind, or none."""
        kind = self.chance.random()
        if kind < 0.5:
            return ""
        version = "6" if family == "6" else "4"
        ip = self.chance.choice(CLIENTS[self.name][version]) if not local else {"4": "127.0.0.1", "6": "::1"}[version]
        ip = written(family, ip)
        if kind < 0.6:
            return f"bind {ip} 0;"
        if kind < 0.7:
            return f"bind {ip} 0 late;"
        self.port += 1
        return f"bind {ip if kind < 0.9 else {'4': '0.0.0.0'}.get(family, '::')} {self.port};"

    def places(self, version):
        """Addresses and ports of those who answer."""
        places = [(SERVER[version], port) for port in (KEEPING, RANDOM, PLAIN, SELF, PASSING, BLIND, IDLE, SHUTTING, DUAL)]
        places += [(ROUTER_DNAT[version], port) for port in (KEEPING, RANDOM, PLAIN)]
        if self.name == "a":
            places += [(SERVER[version], OWN), (SERVER[version], OWN), (OWN_DNAT[version], PLAIN)]
            places.append(("::1" if version == "6" else "127.0.0.1", LOCAL))
        return places

    def tail(self, passed):
        """What both ends do once they are connected, and which of them resets. `passed`: in a process that must not end."""
        more = self.chance.choice([0, 0, 1, 1000, 8000])
        send, take = (f"send {more};", f"recv {more};") if more else ("", "")
        tails = [
            (f"hdr S;{send}recv 2;close", f"{take}send 2;eof;close", ""),
            (f"hdr S;{send}recv 2;eof;close", f"{take}send 2;close", ""),
            (f"hdr S;{send}shut wr;eof;close", "eof;send 2;close", ""),
            (f"hdr S;{send}recv 2;shut rdwr;close", f"{take}send 2;eof;close", ""),
            (f"hdr S;{send}recv 2;linger;close", f"{take}send 2;eof;close", "client"),
            (f"hdr S;{send}eof;close", f"{take}linger;close", "server"),
            (f"hdr S;{send}readable;close", f"{take}send 2;eof;close", "client"),
            (f"hdr S;{send}eof;close", f"{take}fork leave;kill", ""),
            (f"hdr S;{send}eof;close", f"{take}fork leave;exec {self.chance.randrange(PROGRAMS)} cloexec", ""),
            (f"hdr S;{send}recv 2;close", f"fork leave;exec {self.chance.randrange(PROGRAMS)} keep;{take}send 2;eof;close", ""),
        ]
        ends = ["kill", "exit", f"exec {self.chance.randrange(PROGRAMS)} cloexec", f"exec {self.chance.randrange(PROGRAMS)} keep;close"]
        if not passed:
            tails += [(f"hdr S;{send}recv 2;{end}", f"{take}send 2;eof;close", "") for end in ends]
        return self.chance.choice(tails)

    def short_tail(self, port, passed):
        """For servers that expect nothing: the idle one closes after the client, the other at once."""
        if port == SHUTTING:
            return "eof;close", ""
        tails = [("close", ""), ("shut wr;eof;close", ""), ("linger;close", "client")]
        if not passed:
            tails += [("kill", ""), ("exit", "")]
        return self.chance.choice(tails)

    def share(self, script, after, ways):
        """Now and then another process goes on with the socket after its first `after` calls."""
        if self.chance.random() > 0.25:
            return script
        calls = script.split(";")
        calls.insert(after, self.chance.choice(ways))
        return ";".join(calls)

    def connection(self):
        family = self.family()
        ip, port = self.chance.choice(self.places("6" if family == "6" else "4"))
        sharing = self.chance.choice([None] * 4 + ["fork keep", "fork leave", "pass", "pass before", "fork keep before"])
        passed = sharing in ("pass", "pass before")
        if port in (IDLE, SHUTTING):
            tail, resets = self.short_tail(port, passed)
        else:
            tail, answer, resets = self.tail(passed)
            ways = ["fork keep", "fork leave"] + ([] if port in (PASSING, BLIND) or self.ends_process(answer) else ["pass"])  # a partner has no partner
            answer = self.share(answer, self.chance.choice([0, 1]), ways)
            tail = tail.replace("hdr S", "hdr " + inner(answer))
        before = sharing.removesuffix(" before") + ";" if sharing and sharing.endswith("before") else ""
        after = sharing + ";" if sharing and not before else ""
        text = f"{sock(family)}{self.source(family, port == LOCAL)}{before}conn {written(family, ip)} {port};{after}{tail}"
        return Plan(self.process(text, must=not passed and self.ends_process(tail)), resets)

    @staticmethod
    def ends_process(tail):
        return any(call.split(" ")[0] in ("kill", "exit", "exec") for call in tail.split(";"))

    def process(self, text, must):
        """Now and then, and when it must be, in a process of its own, of another user, of another program."""
        kind = self.chance.random()
        if kind < 0.15:
            return f"fork leave;user {self.chance.choice(USERS)};{text}"
        if kind < 0.3:
            return f"fork leave;exec {self.chance.randrange(PROGRAMS)} keep;{text}"
        return f"fork leave;{text}" if must or kind < 0.5 else text

    def packets(self, place, waits=True):
        """A few packets to that place ("-" when connected), each answer taken."""
        parts = []
        for _ in range(self.chance.choice([1, 1, 2, 5])):
            answer = self.chance.choice([0, 1, 100, 1400]) if waits else 0
            parts.append(f"to {place} {self.chance.choice([0, 1, 100, 1300])} {answer}" + (";from" if answer else ""))
        return ";".join(parts)

    def datagrams(self):
        """A UDP socket: connected to one peer, or with packets to several."""
        family = self.family()
        ends = ["close", "close", "close", "kill", "exit", f"exec {self.chance.randrange(PROGRAMS)} cloexec", f"exec {self.chance.randrange(PROGRAMS)} keep;close"]
        end = self.chance.choice(ends)
        source = self.source(family, False).replace(" late", "")
        start = f"{sock(family).removesuffix(';')} udp;{source}"
        places = [(ip, port) for ip, port in self.places("6" if family == "6" else "4") if port in (KEEPING, RANDOM, OWN, PLAIN, SELF, DUAL)]
        version = "6" if family == "6" else "4"
        kind = self.chance.random()
        if kind < 0.08:
            text = f"{start}conn {written(family, SERVER[version])} {CLOSED};to - 0 9 0;readable 100;from;{end}"  # the kernel limits how often it says so
        elif kind < 0.12:
            text = f"{start}conn {written(family, SERVER[version])} {UNREACHABLE};to - 0 9 0;{end}"
        elif kind < 0.16:
            text = f"{start}to {written(family, SERVER[version])} {self.chance.choice([CLOSED, SILENT])} 9 0;{end}"
        elif kind < 0.5:
            ip, port = self.chance.choice(places)
            sharing = self.chance.choice([""] * 3 + ["fork keep;", "fork leave;", "pass;"]) if end == "close" else ""
            text = f"{start}conn {written(family, ip)} {port};{self.packets('- 0')};{sharing}{self.packets('- 0')};{end}"
        else:
            chosen = self.chance.sample(places, self.chance.choice([1, 1, 2, 3]))
            parts = [self.packets(f"{written(family, ip)} {port}") for ip, port in chosen]
            sharing = self.chance.choice([""] * 3 + ["fork keep;", "fork leave;", "pass;"]) if end == "close" else ""
            text = f"{start}{sharing}{';'.join(parts)};{end}"
        return Plan(self.process(text, self.ends_process(text)))

    def failure(self):
        family = self.family()
        version = "6" if family == "6" else "4"
        ip = written(family, SERVER[version])
        start = f"{sock(family)}{self.source(family, False)}"
        kind = self.chance.random()
        if kind < 0.35:
            return Plan(self.process(f"{start}conn {ip} {CLOSED};close", False))
        if kind < 0.6:
            return Plan(self.process(f"{start}conn {ip} {UNREACHABLE} 10000;close", False))
        if kind < 0.75:
            return Plan(self.process(f"{start}conn {ip} {SILENT} 10;close", False))
        if kind < 0.85:
            return Plan(self.process(f"{start}conn {ip} {SILENT} 10;kill", True))
        answer = inner("send 2;eof;close")
        if kind < 0.95:  # the same socket again after a refusal
            return Plan(self.process(f"{sock(family)}conn {ip} {CLOSED};conn {ip} {PLAIN};hdr {answer};recv 2;close", False))
        return Plan(self.process(f"{sock(family)}conn {ip} {PLAIN};hdr {answer};recv 2;disconnect;conn {ip} {KEEPING};hdr {answer};recv 2;close", False))

    def timeout(self):
        family = self.family()
        return Plan(f"{sock(family)}syncnt 1;conn {written(family, SERVER['6' if family == '6' else '4'])} {SILENT} 20000;close", slow=True)


def write(name, count, chance: random.Random):
    """`count` plans for the clients of namespace `name`; three in ten are UDP, one in ten fails to connect, eight run out of time."""
    writer = Writer(name, chance)
    kinds = chance.choices([writer.datagrams, writer.failure, writer.connection], [30, 10, 60], k=count - 8)
    plans = [kind() for kind in kinds]
    return plans + [writer.timeout() for _ in range(8)]
