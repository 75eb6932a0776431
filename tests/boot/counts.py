#!/usr/bin/env python3
"""Boots, runs a script of commands and powers off, translated, and bounds what Doppel counted: nothing that
depends on how fast the host is. Usage: counts.py DOPPEL"""

import json
import pathlib
import sys
import tempfile

from guest import Guest, expect

# What the interpreter counts for the same run.
INSTRUCTIONS = 1_440_000_000

# Some 5 % above what is measured; more, where the guest's own way depends on time.
BOUNDS = {
    "host bytes a guest byte": 7.9,
    "checks an access": 0.57,
    "exits a thousand instructions": 0.25,
    "decoded instructions": 520_000,
    "translated blocks a decoded block": 0.65,
}


def counts(stats):
    left = sum(stats[f"left_by_{why}"] for why in ("handler", "mode", "miss", "link"))
    return {
        "host bytes a guest byte": stats["host_bytes"] / stats["translated_bytes"],
        "checks an access": stats["translated_checks"] / stats["translated_accesses"],
        "exits a thousand instructions": left * 1000 / INSTRUCTIONS,
        "decoded instructions": stats["instructions_decoded"],
        "translated blocks a decoded block": stats["translated_blocks"] / stats["blocks_decoded"],
    }


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "stats.json"
        # The layout decides which jumps collide in the tables.
        with Guest(sys.argv[1], "demo", "quiet nokaslr doppel.run=tour", [f"--stats={path}"]) as guest:
            guest.end("power-off")
        got = counts(json.loads(path.read_text()))
    for what, bound in BOUNDS.items():
        expect(f"{what}: {got[what]:.3f} of at most {bound}", got[what] <= bound, got)


main()
