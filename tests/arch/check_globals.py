#!/usr/bin/env python3
"""No mutable globals: everything hangs off a guest's structures, so that several guests can live
in one process. Looks for symbols in writable sections.

Usage: check_globals.py LIBRARY.a ...
"""
import re
import subprocess
import sys

# What may be writable, and why.
ALLOWED = {
    "terminal": "signal handlers restore the terminal, and are passed nothing (host/terminal.c)",
}

# "value flags section<tab>size name"; .data.rel.ro is constant once the program is loaded.
SYMBOL = re.compile(r"^[0-9a-f]+ (.{7}) (\S+)\t[0-9a-f]+\s+(?:\.hidden )?(\S+)$")
WRITABLE = re.compile(r"^(\.data(?!\.rel\.ro)|\.bss|\.tdata|\.tbss|\*COM\*)")


def writable_symbols(library):
    member = ""
    output = subprocess.run(["objdump", "-t", library], check=True, capture_output=True, text=True)
    for line in output.stdout.splitlines():
        if ":     file format" in line:
            member = line.split(":")[0]
        match = SYMBOL.match(line)
        # Flag d marks symbols for sections and debuggers.
        if match and "d" not in match[1] and WRITABLE.match(match[2]):
            yield member, match[2], match[3]


def main():
    found = []
    for library in sys.argv[1:]:
        for member, section, name in writable_symbols(library):
            if name not in ALLOWED:
                found.append(f"{library}({member}): '{name}' is writable ({section})")
    print("\n".join(found) or f"{len(sys.argv) - 1} libraries have no mutable globals")
    return 1 if found or len(sys.argv) < 2 else 0


sys.exit(main())
