#!/usr/bin/env python3
"""Boots a kernel, reboots from its shell, and sees it come up again. Usage: reboot.py DOPPEL KERNEL"""

import sys

from guest import BOOT_SECONDS, PROMPT, Guest, expect


def main():
    doppel, kernel = sys.argv[1:]
    with Guest(doppel, kernel) as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        guest.run("touch /tmp/before")
        guest.type("reboot -f")
        guest.read_until(rb"Linux version", BOOT_SECONDS)
        guest.read_until(PROMPT, BOOT_SECONDS)
        got = guest.run("ls /tmp; cut -d . -f 1 /proc/uptime")
        expect("a fresh system after the reboot", "before" not in got, got)
        guest.type("exit")
        guest.end("power-off")


main()
