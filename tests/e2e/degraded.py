#!/usr/bin/env python3
"""A machine that lacks something: `portbook up` says what in one sentence each, goes on with the rest, and ends cleanly.

Each lack is made in a mount or network namespace of the test's own.
"""
import subprocess
import sys

import harness

# (name, what prepares the namespace, a word that must be said, what then is in state "off" or "warn")
LACKS = [
    ("no BTF", "mkdir -p $DIR/empty && mount --bind $DIR/empty /sys/kernel/btf", "BTF", "TCP"),
    ("no cgroup2", "for at in $(awk '/ - cgroup2 /{print $5}' /proc/self/mountinfo); do umount -l $at; done", "cgroup2 is not mounted", "TCP"),
    ("no conntrack", "true", "", "Address translation"),
]


def main():
    harness.need_root()
    for name, prepare, word, what in LACKS:
        with harness.folder() as folder:
            data = folder / "book"
            port = harness.free_port()
            unshare = ["unshare", "-m"] + (["-n"] if name == "no conntrack" else [])
            script = prepare.replace("$DIR", str(folder)) + (" && ip link set lo up" if name == "no conntrack" else "")
            log = open(folder / "log", "w+")
            process = subprocess.Popen([*unshare, "sh", "-c", f"{script} && exec {harness.PORTBOOK} up --data {data} --listen 127.0.0.1:{port}"], stdout=log, stderr=log)
            try:
                harness.wait_for(lambda: (data / "portbook.sock").exists() or process.poll() is not None, f"up with {name}")
                assert process.poll() is None, f"{name}: it ended with {process.returncode}: {open(log.name).read()}"
                # The book is there before its agent has said what it can do.
                status = harness.wait_for(lambda: (lambda lines: lines if any(line["what"].startswith(what) for line in lines) else None)(
                    harness.rows(harness.run("doctor", "--json", data=data, check=False).stdout)), f"doctor to speak of {what}")
                said = [line for line in status if line["what"].startswith(what)]
                if name == "no conntrack":
                    # Other namespaces of this machine may track connections; this one says that it does not.
                    assert said, status
                else:
                    assert any(line["state"] != "ok" and word.lower() in line["detail"].lower() + line["means"].lower() for line in status), f"{name}: not said in {status}"
                assert harness.run("verify", data=data, check=False).returncode == 0
                print(f"ok    {name}: " + "; ".join(f"{line['what']} {line['state']}: {line['detail']}" for line in said)[:300])
            finally:
                process.terminate()
                code = process.wait(20)
            assert code == 0, f"{name}: ended with {code}: {open(log.name).read()}"


if __name__ == "__main__":
    sys.exit(main())
