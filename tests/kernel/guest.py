#!/usr/bin/env python3
"""What `./dev test kernel` runs inside the guest: the capture tests, smaller than on the host, since the processor is emulated.

Each test is a program with exit code 0 for success; 77, which elsewhere means skipped, is a failure here: the guest has all that they need.
"""
import os
import pathlib
import re
import subprocess
import sys
import time

SOURCE = pathlib.Path(os.environ["SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["BUILD_DIR"])
E2E = SOURCE / "tests/e2e"
PYTHON = "/usr/bin/python3"
ENVIRONMENT = {
    "PORTBOOK": str(BUILD / "portbook"),
    "TRUTH_PEER": str(BUILD / "tests/truth_peer"),
    "CAPTURE_DUMP": str(BUILD / "src/capture/capture_dump"),
    "CAPTURE_LOAD": str(BUILD / "src/capture/capture_load"),
    "TRUTH_PROCESSES": "40",
    "PATIENCE": "10",  # times every time limit: an emulated processor is about so much slower
}
# (name, seconds at most, command)
TESTS = [
    ("doctor", 60, [PYTHON, SOURCE / "tests/kernel/doctor.py"]),
    ("unit tests of capture", 300, [BUILD / "src/capture/portbook_capture_test", "--gtest_brief=1"]),
    ("capture_truth", 600, [PYTHON, E2E / "truth.py", "--via", "dump"]),
    ("truth", 600, [PYTHON, E2E / "truth.py", "--via", "book"]),
    ("capture_cases", 600, [PYTHON, E2E / "capture_cases.py"]),
    ("who", 300, ["/usr/bin/env", "TRUTH_PROCESSES=10", PYTHON, E2E / "who.py"]),
    ("ends", 300, [PYTHON, E2E / "ends.py"]),
    ("degraded", 300, [PYTHON, E2E / "degraded.py"]),
]


def run(name, seconds, command):
    began = time.monotonic()
    print(f"---- {name}", flush=True)
    try:
        code = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, timeout=seconds, env={**os.environ, **ENVIRONMENT}, cwd=SOURCE).returncode
    except subprocess.TimeoutExpired:
        code = f"no end within {seconds} s"
    print(f"---- {name}: {'passed' if code == 0 else f'FAILED ({code})'}, {time.monotonic() - began:.1f} s", flush=True)
    return code == 0


def main():
    chosen = [test for test in TESTS if re.search(sys.argv[1], test[0])]
    print(f"Linux {os.uname().release}, {os.cpu_count()} emulated processors", flush=True)
    results = [run(*test) for test in chosen]
    print(f"KERNEL TEST: {sum(results)} passed, {len(results) - sum(results)} failed", flush=True)


if __name__ == "__main__":
    main()
