#!/usr/bin/env python3
"""Rules of this repository that a reader would otherwise have to remember. Each names what to do instead.

Run without arguments in the repository: checks every file that git tracks. First each rule is tried on a line that breaks it,
so that a rule which can no longer fail is itself a failure.
"""
import pathlib
import re
import subprocess
import sys

# A folder may include itself and what stands to the left of it; privilege stands on base, capture on record
# and privilege, sources on record, ship on store, logs on sources and ship. capture/bpf has the structs that the kernel programs share with whoever loads and reads them.
LAYERS = ["base", "record", "merkle", "store", "book", "query", "server", "cli"]
ALLOWED = {name: set(LAYERS[: i + 1]) for i, name in enumerate(LAYERS)}
ALLOWED["privilege"] = {"base", "capture/bpf", "privilege"}
ALLOWED["capture"] = {"base", "capture/bpf", "privilege", "record", "capture"}
ALLOWED["sources"] = {"base", "record", "sources"}
ALLOWED["ship"] = {"base", "record", "merkle", "store", "ship"}
ALLOWED["logs"] = ALLOWED["ship"] | {"sources", "logs"}
ALLOWED["server"] |= {"capture", "ship"}
ALLOWED["cli"] |= {"capture", "logs", "privilege", "ship", "sources"}

CXX = re.compile(r"\.(cc|h)$")
# (name, files, pattern, instead, a line that breaks it)
BANNED = [
    ("sprintf", CXX, r"\bv?sprintf\s*\(", "fmt::format", "sprintf(buffer, text);"),
    ("strcpy", CXX, r"\bstr(n?cpy|n?cat)\s*\(", "std::string or std::memcpy with a checked length", "strcpy(a, b);"),
    ("atoi", CXX, r"\b(atoi|atol|atof|strtoul?l?|stoi|stoul)\s*\(", "std::from_chars, which reports what it could not read", "x = atoi(t);"),
    ("rand", CXX, r"\b(s?rand|srandom)\s*\(", "a seeded std::mt19937_64 that is passed in", "x = rand();"),
    ("system", CXX, r"\b(system|popen)\s*\(", "a library call; nothing is run through a shell", 'system("ls");'),
    ("naked new", CXX, r"=\s*new\b", "std::make_unique", "auto* x = new Thing;"),
    ("using namespace std", CXX, r"using namespace std;", "qualified names", "using namespace std;"),
    ("iostream", CXX, r"#include <iostream>", "fmt::print", "#include <iostream>"),
    ("unfinished", re.compile(r"\.(cc|h|c|ts|svelte|py|sh)$|^dev$"), r"\b(TODO|FIXME|XXX|HACK)\b", "finish it, or KNOWN GAP: with its consequence", "// TO" + "DO later"),
    ("sleeping test", re.compile(r"_test\.cc$"), r"\b(sleep_for|usleep|nanosleep)\b", "wait for the event", "std::this_thread::sleep_for(1s);"),
    ("skipped test", re.compile(r"(_test\.cc|\.(ts|mjs|js))$"), r"\b(DISABLED_|test\.skip|describe\.skip|it\.skip|test\.only|\.only\()", "a test that runs, or none", "TEST(A, DISABLED_b) {"),
    ("one machine's path", re.compile(r"^(?!LICENSE)"), r"(^|[^\w./-])/(work|root|home)/\w", "a path relative to the repository, or an option", "cd " + "/wo" + "rk/main"),
]
INCLUDE = re.compile(r'^#include "(capture/bpf|[a-z_]+)/')
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)|!\[[^\]]*\]\(([^)\s]+)\)")
LINES_MAX = 600


def tracked():
    return subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout.decode().split("\0")[:-1]


def banned(path, text):
    for name, files, pattern, instead, _ in BANNED:
        if path == "tests/repo_rules.py" or not files.search(path):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(pattern, line):
                yield f"{path}:{number}: {name}: use {instead}"


def includes(path, text):
    match = re.match(r"src/(\w+)/", path)
    if not match or not CXX.search(path):
        return
    folder = match.group(1)
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        if found and found.group(1) not in ALLOWED.get(folder, set()):
            yield f"{path}:{number}: {folder}/ may not include {found.group(1)}/: dependencies point one way ({' <- '.join(LAYERS)})"


def links(path, text):
    if not path.endswith(".md"):
        return
    for number, line in enumerate(text.splitlines(), 1):
        for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            target = match.group(1) or match.group(3)
            if re.match(r"[a-z]+:", target):
                continue
            if not (pathlib.Path(path).parent / target).exists():
                yield f"{path}:{number}: the link to {target} leads nowhere"


NAMED = re.compile(r"`((?:src|ui|tests|sim|bench|docs|fuzz|packaging)/[\w./-]*)`")
NAMED_FUNCTION = re.compile(r"`([\w:]+)(?:\(\))?` (?:in|\()\s*`(src/[\w./-]+)`")


def named_code(path, text):
    """Documents that name files and functions name real ones."""
    if not path.endswith(".md"):
        return
    flat = re.sub(r"\s+", " ", text)
    for name in NAMED.findall(flat):
        if not pathlib.Path(name).exists():
            yield f"{path}: names {name}, which does not exist"
    for function, name in NAMED_FUNCTION.findall(flat):
        file = pathlib.Path(name)
        if file.is_file() and function.split("::")[-1] not in file.read_text(encoding="utf-8"):
            yield f"{path}: names {function} in {name}, which does not have it"


def length(path, text):
    if re.match(r"(src|ui/src)/.*\.(cc|h|c|ts|svelte)$", path) and text.count("\n") > LINES_MAX:
        yield f"{path}: {text.count(chr(10))} lines; above {LINES_MAX} there is usually a second subject: split it"


RULES = [banned, includes, links, named_code, length]


def self_test():
    """Every rule must be able to fail."""
    for name, files, _, _, line in BANNED:
        path = next(p for p in ["src/base/x_test.cc", "src/base/x.cc", "ui/src/x.ts", "dev"] if files.search(p))
        if not list(banned(path, line)):
            yield f"the rule \"{name}\" does not find its own example"
    if not list(includes("src/base/x.cc", '#include "store/view.h"')) or list(includes("src/query/x.cc", '#include "store/view.h"')):
        yield "the rule on includes is broken"
    if not list(links("README.md", "[x](no/such/file.md)")) or list(links("README.md", "[x](LICENSE)")):
        yield "the rule on links is broken"
    if not list(named_code("A.md", "`src/none.cc`")) or not list(named_code("A.md", "`no_such` in `src/main.cc`")):
        yield "the rule on named code is broken"
    if not list(length("src/base/x.cc", "\n" * (LINES_MAX + 1))):
        yield "the rule on length is broken"


def main():
    problems = list(self_test())
    files = tracked()
    for path in files:
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        for rule in RULES:
            problems += rule(path, text)
    for problem in problems:
        print(problem)
    print(f"{len(files)} files checked, {len(problems)} problems")
    return 1 if problems or len(files) < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
