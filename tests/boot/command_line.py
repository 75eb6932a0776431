#!/usr/bin/env python3
"""Boots with kernel parameters that take away timers or interrupt controllers, and checks that the
guest is well and keeps time. Usage: command_line.py DOPPEL KERNEL PARAMETERS"""

import re
import sys
import time

from guest import BOOT_SECONDS, PROMPT, Guest, expect


def main():
    doppel, kernel, parameters = sys.argv[1:]
    with Guest(doppel, kernel, parameters) as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        before = time.monotonic()
        got = guest.run("read a b </proc/uptime; sleep 2; read c d </proc/uptime; echo $a $c")
        bound = time.monotonic() - before
        start, end = map(float, re.search(r"([0-9.]+) ([0-9.]+)$", got.strip()).groups())
        expect("sleep", 1.97 <= end - start <= bound + 0.05, (got, bound))
        got = guest.run("i=0; while [ $i -lt 30 ]; do env true && i=$((i + 1)); done; echo ran $i")
        expect("forks", "ran 30" in got, got)
        got = guest.run("dmesg | grep -c -E 'BUG|Oops|Call Trace|nobody cared'")
        expect("no complaints", got.split()[-1] == "0", guest.run("dmesg | tail -n 50"))
        print(guest.run("grep -v ' 0  ' /proc/interrupts"))
        print(guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"))
        guest.type("poweroff -f")
        if "acpi=off" not in parameters:
            guest.end("power-off")


main()
