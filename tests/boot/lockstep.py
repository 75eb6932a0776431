#!/usr/bin/env python3
"""Boots a kernel with both engines in lockstep, up to a message of the kernel's or, without one, to
userspace, where it runs commands and powers off. Usage: lockstep.py DOPPEL KERNEL [MESSAGE]"""

import sys

from guest import GUESTS, PROMPT, Guest, expect

SECONDS = 3000  # a bound for a hang


def main():
    doppel, kernel, *message = sys.argv[1:]
    with Guest(doppel, kernel) as guest:
        if message:
            guest.read_until(message[0].encode(), SECONDS)
            print(f"ok: the engines agree up to {message[0]!r}")
            return
        guest.read_until(PROMPT, SECONDS)
        print("ok: the shell's prompt")
        for script in ["selfcheck"] + (["selfcheck32"] if "BOTH" in GUESTS[kernel][1] else []):
            guest.type(f"sh /scripts/{script}")
            text = guest.read_text(rb"selfcheck: .*\n", SECONDS)
            expect(script, " 0 failed" in text, text[-2000:])
        guest.type("poweroff -f")
        guest.end("power-off")


main()
