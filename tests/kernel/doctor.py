#!/usr/bin/env python3
"""What `portbook doctor` says on this kernel: as much as on the newest one; docs/capture.md says by what other means."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness

# What docs/capture.md ("Tested kernels") says is less, by the version that brought it.
LESS_BEFORE = {(6, 3): {"Who receives UDP"}}


def main():
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    less = {what for since, names in LESS_BEFORE.items() if version < since for what in names}
    with harness.folder() as folder, harness.Book(folder / "book") as book:
        lines = harness.rows(harness.run("doctor", "--json", data=book.data, check=False).stdout)
    for line in lines:
        print(f"{line['state']:4} {line['what']}: {line['detail']}")
    off = [line["what"] for line in lines if line["state"] == "off" and line["what"] not in {"Never seen", *less}]
    assert not off, f"not captured here: {off}"
    poor = [line["what"] for line in lines if line["state"] == "warn" and line["what"] != "Clock"]
    assert less <= {line["what"] for line in lines if line["state"] != "ok"}, f"more than expected: docs/capture.md should say so of {less}"
    assert not poor, f"less than on the newest kernel: {poor}"
    refused = [line["detail"] for line in lines if "load failed" in line["detail"]]
    assert not refused, f"the verifier refused: {refused}"


if __name__ == "__main__":
    main()
