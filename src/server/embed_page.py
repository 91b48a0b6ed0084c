"""Makes the page's files part of the program.

Usage: embed_page.py DIST OUT_ASSEMBLY OUT_TABLE
Writes an assembly file that holds each file of DIST as it is and gzipped, and a C++ table of their paths, types and hashes.
A DIST that does not exist gives an empty table: the server then says how the page is built.
"""

import gzip
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json; charset=utf-8",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


def main() -> None:
    dist, out_assembly, out_table = (pathlib.Path(argument) for argument in sys.argv[1:4])
    files = sorted(path for path in dist.rglob("*") if path.is_file()) if dist.is_dir() else []
    assembly = [".section .rodata"]
    declarations = []
    entries = []
    for number, path in enumerate(files):
        content = path.read_bytes()
        packed = gzip.compress(content, 9, mtime=0)
        packed_path = out_assembly.parent / f"page_file_{number}.gz"
        packed_path.write_bytes(packed)
        name = "/" + path.relative_to(dist).as_posix()
        for label, file in ((f"page_file_{number}", path), (f"page_packed_{number}", packed_path)):
            assembly += [f".global {label}", f"{label}:", f'.incbin "{file.resolve()}"', ".byte 0"]
            declarations.append(f'extern const char {label}[];')
        kind = TYPES.get(path.suffix, "application/octet-stream")
        etag = hashlib.sha256(content).hexdigest()[:32]
        # The packed form is left out where it saves nothing.
        packed_size = len(packed) if len(packed) < len(content) else 0
        entries.append(
            f'    {{"{name}", "{kind}", "{etag}", {{page_file_{number}, {len(content)}}}, {{page_packed_{number}, {packed_size}}}}},'
        )
    assembly.append('.section .note.GNU-stack,"",@progbits')
    out_assembly.write_text("\n".join(assembly) + "\n")
    count = len(entries)
    table = ['#include "server/page_file.h"', "", 'extern "C" {', *declarations, "}", "", "namespace portbook {", ""]
    if count:
        table += [f"static const PageFile kFiles[{count}] = {{", *entries, "};", "", "std::span<const PageFile> page_files() { return kFiles; }"]
    else:
        table += ["std::span<const PageFile> page_files() { return {}; }"]
    table += ["", "}  // namespace portbook", ""]
    out_table.write_text("\n".join(table))


main()
