#!/usr/bin/env python3
"""What `portbook doctor` says on this kernel: as much as on the newest one; docs/capture.md says by what other means."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness

def main():
    with harness.folder() as folder, harness.Book(folder / "book") as book:
        lines = harness.rows(harness.run("doctor", "--json", data=book.data, check=False).stdout)
    for line in lines:
        print(f"{line['state']:4} {line['what']}: {line['detail']}")
    off = [line["what"] for line in lines if line["state"] == "off" and line["what"] != "Never seen"]
    assert not off, f"not captured here: {off}"
    poor = [line["what"] for line in lines if line["state"] == "warn" and line["what"] != "Clock"]
    assert not poor, f"less than on the newest kernel: {poor}"
    refused = [line["detail"] for line in lines if "load failed" in line["detail"]]
    assert not refused, f"the verifier refused: {refused}"


if __name__ == "__main__":
    main()
