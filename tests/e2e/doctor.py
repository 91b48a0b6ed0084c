#!/usr/bin/env python3
"""What `portbook doctor` and the start say when something lacks: an agent that is away, a disk that is nearly full, a user without rights,
a root that may not load kernel programs. Each in words that name what lacks, and what can go on goes on."""
import contextlib
import ctypes
import os
import platform
import shutil
import socket
import subprocess
import sys

import harness

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
BPF_CALL = {"x86_64": 321, "aarch64": 280}


def lines_of(*place):
    done = harness.run("doctor", "--json", *place, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {row["what"]: row for row in harness.rows(done.stdout)}


@contextlib.contextmanager
def running(log, *command, before=None):
    """A command in the background with its output in a file; stopped at the end."""
    with open(log, "ab") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL, preexec_fn=before)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20 * harness.PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_said(log, word, process):
    def said():
        assert process.poll() is None, f"it ended with {process.returncode}: {log.read_text()}"
        return word in log.read_text()
    harness.wait_for(said, f"{word!r} in {log.name}")


def agents(folder):
    """Every agent that is enrolled or ships has its line: one captures, one never came, one went away."""
    data, port = folder / "book", harness.free_port()
    with running(folder / "book.log", harness.PORTBOOK, "serve", "--data", data, "--listen", f"127.0.0.1:{port}", "--host", "here") as book:
        wait_said(folder / "book.log", "Agents ship to", book)
        assert "None has shipped" in harness.run("doctor", data=data, check=False).stdout
        for host in ("web-8", "web-9"):
            harness.run("enroll", host, "--token-file", folder / host, data=data)
        agent = subprocess.Popen([harness.PORTBOOK, "agent", "--host", "web-8", "--book", f"{data}-agent/ingest.sock", "--token-file", str(folder / "web-8"),
                                  "--spool", str(folder / "spool"), "--no-bpf"], stderr=subprocess.DEVNULL)
        try:
            line = harness.wait_for(lambda: (lambda one: one if one and one["state"] == "ok" else None)(lines_of("--data", data)[1].get("Agent web-8")), "web-8 to capture")
            code, lines = lines_of("--data", data)
            about = line["agent"]
            assert about["state"] == "capturing" and about["last_batch"] and about["spool_bytes"] == 0, about
            # It looks instead of watching, which is a gap that stands.
            assert about["gaps"]["standing"] >= 1 and "1 not ended" in line["detail"], line
            assert lines["web-8: TCP connections as they happen"]["state"] == "off", lines
            assert lines["Agent web-9"]["state"] == "off" and lines["Agent web-9"]["agent"]["state"] == "awaited" and code == 1, lines["Agent web-9"]
        finally:
            agent.kill()
            agent.wait()
        away = harness.wait_for(lambda: (lambda one: one if one["state"] == "off" else None)(lines_of("--data", data)[1]["Agent web-8"]), "web-8 to be away")
        assert away["agent"]["state"] == "away" and away["agent"]["behind_since"] and "Away since" in away["detail"] and "is not here yet" in away["detail"], away
        text = harness.run("doctor", data=data, check=False).stdout
        assert "Agent web-8" in text and "Agent web-9" in text, text
    return f"{away['detail']}"


def disk(folder):
    """A disk that is nearly full is named at the start; one that cannot hold a book is refused with what is needed."""
    place, port = folder / "disk", harness.free_port()
    place.mkdir()
    for size, expected in (("400m", None), ("20m", 7)):
        log = folder / f"disk-{size}.log"
        script = f"mount -t tmpfs -o size={size} none {place} && exec {harness.PORTBOOK} up --no-bpf --data {place}/book --listen 127.0.0.1:{port}"
        with running(log, "unshare", "-m", "sh", "-c", script) as process:
            if expected:
                process.wait(20 * harness.PATIENCE)
                assert process.returncode == expected and "disk is full" in log.read_text() and "MiB" in log.read_text(), (process.returncode, log.read_text())
                continue
            wait_said(log, "Disk, statfs. Nearly full", process)
            line = lines_of("--server", f"http://127.0.0.1:{port}")[1]["Disk"]
            assert line["state"] == "warn" and "MiB free" in line["detail"], line
    return log.read_text().strip()


def ordinary_user(folder):
    """What a user without rights cannot see is named with what to do, and not in the kernel's words; so is another's namespace."""
    binary = shutil.copy(harness.PORTBOOK, folder / "portbook")
    os.chmod(binary, 0o755)
    foreign = f"pbdoctor{os.getpid()}"

    def seen(named):
        # With named namespaces of its own, for others may come and go meanwhile.
        script = f'mkdir -p /run/netns && mount -t tmpfs none /run/netns && {f"ip netns add {foreign} && " if named else ""}exec "$@"'
        done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *AS_NOBODY, "env", f"HOME={folder}/none", str(binary), "doctor", "--json"],
                              capture_output=True, text=True, timeout=60 * harness.PATIENCE)
        assert done.returncode == 1 and "not permitted" not in done.stdout and "netlink groups" not in done.stdout, (done.stdout, done.stderr)
        return {row["what"]: row for row in harness.rows(done.stdout)}

    lines = seen(named=False)
    translation = lines["Address translation"]
    assert translation["state"] == "warn" and "run portbook as root" in translation["detail"] and "net_admin" in translation["detail"], translation
    assert "sudo portbook up" in lines["TCP connections as they happen"]["detail"] and lines["Addresses"]["state"] == "ok", lines
    other = seen(named=True)["Addresses"]
    assert other["state"] == "warn" and "1 of 2" in other["detail"], other
    return translation["detail"].split(". ")[-1]


def refuse_bpf():
    """In this process and those that it starts, bpf() fails with EPERM, as under a container's filter."""
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, BPF_CALL[platform.machine()]), (0x06, 0, 0, 0x00050000 | 1), (0x06, 0, 0, 0x7FFF0000)]

    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]
    array = (Instruction * len(instructions))(*(Instruction(*one) for one in instructions))
    set_seccomp, filter_mode = 22, 2
    assert ctypes.CDLL(None).prctl(set_seccomp, filter_mode, ctypes.byref(Program(len(instructions), array)), 0, 0) == 0


def without_programs(folder, name, command, before, helper_lacks):
    """Root's `up` where kernel programs are refused: it looks instead, says so everywhere, and records both ends of a connection."""
    data, log, port = folder / name, folder / f"{name}.log", harness.free_port()
    with running(log, *command, harness.PORTBOOK, "up", "--no-logs", "--data", data, "--listen", f"127.0.0.1:{port}", before=before) as process:
        wait_said(log, "portbook is recording", process)
        assert "The kernel does not let portbook watch it" in log.read_text(), log.read_text()
        _, lines = lines_of("--data", data)
        assert lines["TCP connections as they happen"]["state"] == "off" and "not permitted" in lines["TCP connections as they happen"]["detail"], lines
        assert lines["Connections, by looking"]["state"] == "warn" and lines["Processes, by looking"]["state"] == "ok", lines
        said = lines["Privileges"]["detail"]
        assert (f"started without {helper_lacks}" in said) if helper_lacks else "started without" not in said, said
        gaps = [row["record"] for row in harness.rows(harness.run("search", "kind:gap", "--json", data=data, check=False).stdout)]
        assert any(gap["source"].endswith("/polling") and "end" not in gap and "may be missing" in gap["cause"] for gap in gaps), gaps
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
            mine = client.getsockname()[1]
            # Asked over HTTP: a program that is started meanwhile would hold the two sockets too, until its exec.
            opens = harness.wait_for(lambda: (lambda found: found if len(found) == 2 else None)(
                [row["row"]["record"] for row in harness.rows(harness.get(port, "/api/v1/search", q=f"records:all kind:open port:{mine}")[1].decode()) if "row" in row]),
                "both ends of the connection")
            for record in opens:
                assert (record["src.port"], record["dst.port"], record["pid"]) == (mine, listener.getsockname()[1], os.getpid()), record
        assert "is started again" not in log.read_text(), log.read_text()
    assert process.returncode == 0, log.read_text()
    return f"polled, {len(opens)} records of the connection; {said.split('beside it ')[-1]}"


CASES = {
    "agents": agents,
    "disk": disk,
    "ordinary_user": ordinary_user,
    "bpf_refused": lambda folder: without_programs(folder, "filter", [], refuse_bpf, ""),
    "capabilities_withheld": lambda folder: without_programs(folder, "capabilities", ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin"], None, "bpf perfmon sys_admin"),
}


def main():
    harness.need_root()
    for name in sys.argv[1:] or CASES:
        with harness.folder() as folder:
            print(f"ok    {name}: {CASES[name](folder)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
