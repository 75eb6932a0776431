#!/usr/bin/env python3
"""Who may include whom: the rooms of src/, as doc/architecture.md has them.

Usage: check_includes.py SOURCE_DIRECTORY
"""
import pathlib
import re
import sys

# Each room and the rooms, besides itself, whose headers it may include.
ROOMS = {
    "base": [],
    "host": ["base"],
    "decoder": ["base"],
    "bus": ["base", "host"],
    "mmu": ["base", "host", "decoder", "bus"],
    "cpu": ["base", "host", "decoder", "bus", "mmu"],
    "jit": ["base", "host", "decoder", "bus", "mmu", "cpu"],
    "cosim": ["base", "host", "decoder", "bus", "mmu", "cpu", "jit"],
    "backends": ["base", "host", "bus"],
    "devices": ["base", "host", "bus", "backends"],
    "machine": ["base", "host", "decoder", "bus", "mmu", "cpu", "jit", "cosim", "backends",
                "devices"],
    "control": ["base", "host", "decoder", "bus", "mmu", "cpu", "jit", "backends", "devices",
                "machine"],
    "ui": ["base", "host", "backends"],
    "cli": ["base", "host", "decoder", "bus", "mmu", "cpu", "jit", "backends", "devices",
            "machine", "control", "ui"],
}
# Single headers that may be included all the same: the CPU state that page walks read and change.
ALSO = {"mmu": ["cpu/state.h", "cpu/model.h"]}

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def complaints(source, path):
    room = path.relative_to(source).parts[0]
    if room not in ROOMS:
        yield f"the room '{room}' is not in the list of rooms"
        return
    for header in INCLUDE.findall(path.read_text()):
        if not (source / header).is_file():
            yield f'"{header}" is not named by its path below src/'
        elif header.split("/")[0] not in [room, *ROOMS[room]] and header not in ALSO.get(room, []):
            yield f'"{header}": {room} may include {", ".join(ROOMS[room]) or "only itself"}'


def main():
    source = pathlib.Path(sys.argv[1])
    paths = sorted(p for p in source.rglob("*") if p.suffix in (".c", ".h", ".S", ".def"))
    found = [f"{path}: {text}" for path in paths for text in complaints(source, path)]
    print("\n".join(found) or f"{len(paths)} files include only what they may")
    return 1 if found or not paths else 0


sys.exit(main())
