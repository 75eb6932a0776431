#!/usr/bin/env python3
"""Boots, lets Linux keep time by each clocksource for seconds, and compares with the host's clock.
Usage: clocks.py DOPPEL [SECONDS]: how long with each; 60 bound the drift to 0.1 % even where asking for the time
takes 30 ms, less time only finds greater drifts."""

import sys
import time

from guest import BOOT_SECONDS, COMMAND_SECONDS, PROMPT, Guest, expect

SOURCES = "/sys/devices/system/clocksource/clocksource0"
LIMIT = 0.001


def bound_offset(guest):
    """Bounds of guest time minus host time, as (least, greatest): what the guest says its time is lies
    between asking and answer, however busy the host is. Asks until the bounds are narrow."""
    least, greatest = float("-inf"), float("inf")
    for _ in range(60):
        if greatest - least < 0.003:
            break
        asked = time.monotonic()
        guest.type("grep -m 1 'now at' /proc/timer_list")
        answer = guest.read_text(rb"\nnow at \d+ nsecs", COMMAND_SECONDS)
        answered = time.monotonic()
        guest.read_until(PROMPT, COMMAND_SECONDS)
        stamp = int(answer.split()[-2]) / 1e9
        least, greatest = max(least, stamp - answered), min(greatest, stamp - asked)
    return least, greatest


def main():
    seconds_each = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    with Guest(sys.argv[1], "cloud") as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        got = guest.run(f"cat {SOURCES}/available_clocksource")
        expect("all clocksources are there", {"tsc", "hpet", "acpi_pm"} <= set(got.split()), got)
        for source in ("tsc", "hpet", "acpi_pm"):
            got = guest.run(f"echo {source} >{SOURCES}/current_clocksource; "
                            f"cat {SOURCES}/current_clocksource")
            expect(f"{source} can be chosen", source in got.split(), got)
            before, start = bound_offset(guest), time.monotonic()
            time.sleep(seconds_each)
            after, seconds = bound_offset(guest), time.monotonic() - start
            least = (after[0] - before[1]) / seconds
            greatest = (after[1] - before[0]) / seconds
            expect(f"{source} drifts from the host by less than 0.1 %: in {seconds:.1f} s by between "
                   f"{least * 1e6:.0f} and {greatest * 1e6:.0f} ppm",
                   (-LIMIT < least and greatest < LIMIT) if seconds_each >= 60 else
                   (least < LIMIT and greatest > -LIMIT), (before, after))
        got = guest.run("dmesg | grep -c -E 'nstable|skew'")
        expect("Linux trusts them all", got.split()[-1] == "0", got)
        guest.type("exit")
        guest.end("power-off")


main()
