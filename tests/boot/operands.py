#!/usr/bin/env python3
"""Boots, runs a script of commands and powers off, translated, by a build that records the memory operands
that it emits. Where one has no record, or is not what its record says, Doppel aborts and shows it.
Usage: operands.py DOPPEL KERNEL APPEND [OPTION...]"""

import json
import pathlib
import sys
import tempfile

from guest import Guest, expect

# Fewer than any boot has: it tells that they were checked at all.
CHECKED = 200_000


def main():
    doppel, kernel, append, *options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "stats.json"
        with Guest(doppel, kernel, append, [f"--stats={path}", *options]) as guest:
            guest.end("power-off")
        checked = json.loads(path.read_text())["operands_checked"]
    expect(f"{checked} memory operands have their records", checked >= CHECKED, checked)


main()
