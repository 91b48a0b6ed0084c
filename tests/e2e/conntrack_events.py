#!/usr/bin/env python3
"""The kernel's own account of connection tracking in this network namespace, straight from netlink: each entry's beginning and end as a
line of JSON with both tuples, id and time, until stopped with SIGINT. (`conntrack -E` 1.4.7 sets its buffer size on another socket than
the one it listens on, and loses events.) Source: linux/netfilter/nfnetlink_conntrack.h.

    conntrack_events.py          prints "listening" to the standard error stream, then the events; exit code 3 when events were lost
"""
import errno
import json
import signal
import socket
import struct
import sys

NETLINK_NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP, SO_RCVBUFFORCE = 12, 270, 1, 33
GROUP_NEW, GROUP_DESTROY = 1, 3
CT_NEW, CT_DELETE, CTNETLINK = 0, 2, 1
TUPLE_ORIG, TUPLE_REPLY, ID, TIMESTAMP, TIMESTAMP_EVENT = 1, 2, 12, 20, 27
TUPLE_IP, TUPLE_PROTO = 1, 2
PROTO_NUM, SRC_PORT, DST_PORT = 1, 2, 3


def attributes(data):
    """Type to payload of a run of netlink attributes."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


def text_of(ip):
    return socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)


def tuple_of(data):
    """[source, destination], each [ip, port]; and the protocol."""
    parts = attributes(data)
    addresses, protocol = attributes(parts[TUPLE_IP]), attributes(parts[TUPLE_PROTO])
    source, target = (addresses[1], addresses[2]) if 1 in addresses else (addresses[3], addresses[4])
    port = lambda kind: struct.unpack(">H", protocol[kind])[0] if kind in protocol else 0
    return [[text_of(source), port(SRC_PORT)], [text_of(target), port(DST_PORT)]], protocol[PROTO_NUM][0]


def events(data):
    at = 0
    while at + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind >> 8 == CTNETLINK and kind & 0xFF in (CT_NEW, CT_DELETE):
            found = attributes(data[at + 20 : at + length])
            original, protocol = tuple_of(found[TUPLE_ORIG])
            reply, _ = tuple_of(found[TUPLE_REPLY])
            times = attributes(found.get(TIMESTAMP, b""))
            whole = lambda raw: struct.unpack(">Q", raw)[0] if raw else None
            yield {"event": "new" if kind & 0xFF == CT_NEW else "destroy", "proto": protocol, "original": original, "reply": reply,
                   "id": struct.unpack(">I", found[ID])[0], "time": whole(found.get(TIMESTAMP_EVENT)), "start": whole(times.get(1)), "stop": whole(times.get(2))}
        at += (length + 3) & ~3


def main():
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
    listener.bind((0, 0))
    for group in (GROUP_NEW, GROUP_DESTROY):
        listener.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    stopped = []
    signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
    listener.settimeout(0.2)
    print("listening", file=sys.stderr, flush=True)
    while True:
        try:
            data = listener.recv(1 << 16)
        except TimeoutError:
            if stopped:
                return 0
            continue
        except OSError as wrong:
            if wrong.errno == errno.ENOBUFS:
                return 3
            raise
        for event in events(data):
            print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())
