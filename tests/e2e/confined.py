#!/usr/bin/env python3
"""The processes of a running `portbook up`: who they are, what they may, and what happens when the helper is killed."""
import os
import pathlib
import resource
import signal
import sys

import harness


# What ARCHITECTURE.md and decision 11 give to each part: numbers of linux/capability.h.
CAPABILITIES = {"book": set(), "agent": set(), "helper": {2: "dac_read_search", 12: "net_admin", 19: "sys_ptrace", 21: "sys_admin", 38: "perfmon", 39: "bpf"}.keys()}


def capabilities(text):
    return {number for number in range(64) if int(text, 16) >> number & 1}


def status_of(pid):
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def children_of(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return not status_of(pid)["State"].startswith("Z")
    except FileNotFoundError:
        return False


def parts(book):
    """Book, agent and helper by what they were started as; none while one is missing or has not given up yet what it does not need."""
    found = {}
    for child in children_of(book.process.pid):
        arguments = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if len(arguments) > 1:
            found["book" if arguments[1] == b"serve" else "agent"] = child
    for child in children_of(found["agent"]) if "agent" in found else []:
        found["helper"] = child
    return found if len(found) == 3 and all(status_of(pid)["Seccomp"] == "2" for pid in found.values()) else None


def look(book, wrong):
    found = harness.wait_for(lambda: parts(book), "book, agent and helper")
    owner = os.stat(book.data).st_uid
    users = {}
    for name, pid in found.items():
        status = status_of(pid)
        users[name] = int(status["Uid"].split()[0])
        expected = {"NoNewPrivs": "1", "Seccomp": "2", "CapBnd": "0" * 16, "CapAmb": "0" * 16, "CapInh": "0" * 16, "Groups": ""}
        for key, value in expected.items():
            if status[key].strip() != value:
                wrong.append(f"{name}: {key} is {status[key]}")
        if len(set(status["Uid"].split())) != 1 or len(set(status["Gid"].split())) != 1:
            wrong.append(f"{name}: its users differ: {status['Uid']}, {status['Gid']}")
        limit = next(line.split() for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines() if line.startswith("Max open files"))
        if name != "book" and limit[3] != limit[4]:
            wrong.append(f"{name}: may hold {limit[3]} descriptors of {limit[4]}: namespaces that anybody makes use them up")
        for key in ("CapEff", "CapPrm"):
            if capabilities(status[key]) != CAPABILITIES[name]:
                wrong.append(f"{name}: {key} is {sorted(capabilities(status[key]))}, not {sorted(CAPABILITIES[name])}")
    if users["agent"] == 0 or users["helper"] in (0, users["agent"]) or users["agent"] == owner:
        wrong.append(f"users are not apart: {users}, the folder's owner is {owner}")
    if users["book"] == 0:
        wrong.append("the book has root's number")
    if users["book"] != owner:
        wrong.append(f"the book runs as {users['book']}, its folder belongs to {owner}")
    if os.stat(book.data).st_mode & 0o7777 != 0o700:
        wrong.append(f"the data folder's mode is {os.stat(book.data).st_mode & 0o7777:o}")
    return found


def tree(folder):
    return [folder, *folder.rglob("*")]


def was_root_s(data, wrong):
    """A book of an earlier version, which ran as root's number: given to another with what it holds, and nothing else of root's."""
    for path in tree(data):
        os.chown(path, 0, 0, follow_symlinks=False)
    kept, linked = data / "linked", data.parent / "secret"
    linked.write_text("root's")
    os.link(linked, kept)
    (data / "link").symlink_to(linked)
    with harness.Book(data) as book:
        found = look(book, wrong)
        owner = os.stat(data).st_uid
        strange = [path.name for path in tree(data) if path.lstat().st_uid != (0 if path.name in ("linked", "link") else owner)]
        if strange or linked.stat().st_uid != 0:
            wrong.append(f"not given, or given though it is not the book's: {strange}, {linked.stat()}")
        if "helper" not in found:
            wrong.append("it does not run whole")
    done = harness.run("verify", data=data, check=False)
    if done.returncode != 0:
        wrong.append(f"verify, by root, of a book that is another's: {done.stdout}{done.stderr}")
    # A folder of root's that holds other things, and a link in the folder's place, are not touched.
    strange = data.parent / "strange"
    strange.mkdir()
    (strange / "shadow").write_text("root's")
    (data.parent / "link").symlink_to(strange)
    for path, word in ((strange, "shadow"), (data.parent / "link", "is a link")):
        for command in (("serve", "--data"), ("agent", "--spool")):
            done = harness.run(*command, path, check=False)
            if done.returncode != 2 or word not in done.stderr:
                wrong.append(f"{command} {path}: {done.returncode} {done.stderr}")
    if any(path.stat().st_uid != 0 for path in tree(strange)):
        wrong.append("root's own folder was given away")


def main():
    harness.need_root()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))  # as everywhere
    wrong = []
    with harness.folder() as place:
        with harness.Book(place / "book") as book:
            found = look(book, wrong)
            said = harness.run("doctor", "--json", data=book.data, check=False)
            lines = {row["what"]: row for row in harness.rows(said.stdout)}
            for what in ("Book", "Privileges"):
                if lines.get(what, {}).get("state") != "ok":
                    wrong.append(f"doctor says of {what}: {lines.get(what)}")
            gaps = len(harness.rows(harness.run("search", "kind:gap", "--json", data=book.data, check=False).stdout))
            os.kill(found["helper"], signal.SIGKILL)
            # The agent says so, stops, and is started anew with a new helper.
            harness.wait_for(lambda: (parts(book) or found)["helper"] != found["helper"], "a new helper")
            found = look(book, wrong)
            harness.wait_for(lambda: len(harness.rows(harness.run("search", "kind:gap", "--json", data=book.data, check=False).stdout)) > gaps,
                             "a gap")
            if "privileged helper is gone" not in book.log.read_text():
                wrong.append(f"nobody said that the helper was gone:\n{book.log.read_text()}")
        for name, pid in found.items():
            harness.wait_for(lambda pid=pid: not is_running(pid), f"the {name} to end")
        was_root_s(book.data, wrong)
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
