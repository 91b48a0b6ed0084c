"""Ends of connections that no kernel program was told of.

Where the kernel runs no tracing program while some task is current (docs/capture.md), an end may reach none. Then its record says so and claims nothing that was not seen.
"""
SHARE_MAX = 0.01
LATE = "the kernel did not tell of its end"  # until the socket was freed
GONE = "it was gone when the kernel was asked"  # not even then: the comparison with the kernel found it, which is a gap


def is_gone(record):
    return GONE in record.get("cause", "")


def is_untold(record):
    return is_gone(record) or LATE in record.get("cause", "")


def claims_nothing(record):
    """Neither when it ended nor, without an error, how."""
    return "end" not in record and ("outcome" in record) == ("errno" in record)


def judge(untold, records, connections):
    """Yields (good, what, *examples) for those ends among all records: few, and each that was found gone is counted by a gap."""
    lost = [record for record in records if record["kind"] == "gap" and record.get("count", 0) > 0]
    gone = [record for record in untold if is_gone(record)]
    yield sum(gap["count"] for gap in lost) == len(gone), "nothing was lost but what a gap counts", *lost[:2], *gone[:2]
    for record in gone:
        yield any(gap["end"][:19] <= record["time"] for gap in lost), "what was found gone ends a gap", record, *lost
    yield len(untold) <= SHARE_MAX * connections, "few ends are untold", f"{len(untold)} of {connections}", *untold[:2]
