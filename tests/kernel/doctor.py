#!/usr/bin/env python3
"""What `portbook doctor` says on this kernel: everything is captured, and what is not is exactly what docs/capture.md says of it."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness

# Programs that a kernel lacks, by the version that brought what they attach to.
MISSING_BEFORE = {(6, 3): ("on_send", "on_receive")}


def main():
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    expected = {name for since, names in MISSING_BEFORE.items() if version < since for name in names}
    with harness.folder() as folder, harness.Book(folder / "book") as book:
        lines = harness.rows(harness.run("doctor", "--json", data=book.data, check=False).stdout)
    for line in lines:
        print(f"{line['state']:4} {line['what']}: {line['detail']}")
    off = [line["what"] for line in lines if line["state"] == "off" and line["what"] != "Never seen"]
    assert not off, f"not captured here: {off}"
    text = " ".join(line["detail"] for line in lines)
    unsaid = [name for name in expected if name not in text]
    assert not unsaid, f"this kernel lacks {unsaid}, and doctor does not say so"
    refused = [line["detail"] for line in lines if "load failed" in line["detail"]]
    assert not refused, f"the verifier refused: {refused}"


if __name__ == "__main__":
    main()
