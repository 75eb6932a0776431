#!/usr/bin/env python3
"""Boots, lets Linux keep time by each clocksource for seconds, and compares with the host's clock.
Usage: clocks.py DOPPEL"""

import re
import sys
import time

from guest import BOOT_SECONDS, Guest, expect

SOURCES = ("tsc", "hpet", "acpi_pm")
STAMPS = 15


def read_lag(guest, source):
    """How far the guest's time stamps lie behind the host's clock: the least of several, because
    printing, and a busy host, only add to it. Returns the host's time too."""
    lags = []
    for _ in range(STAMPS):
        text = guest.read_text(rb"stamp " + source.encode() + rb" now at \d+ nsecs", BOOT_SECONDS)
        lags.append(time.monotonic() - int(text.split()[-2]) / 1e9)
    return min(lags), time.monotonic()


def main():
    with Guest(sys.argv[1], "cloud", "doppel.run=clocks") as guest:
        text = guest.read_text(rb"\nclocksources: .*\n", BOOT_SECONDS)
        for source in SOURCES:
            expect(f"{source} is there", re.search(rf"clocksources:.*\b{source}\b", text), text[-500:])
        for source in SOURCES:
            guest.read_until(rf"now {source}\s".encode(), BOOT_SECONDS)
            before, start = read_lag(guest, source)
            after, end = read_lag(guest, source)
            drift = (after - before) / (end - start)
            expect(f"{source} drifts from the host by less than 0.1 %: {drift * 1e6:.0f} ppm in "
                   f"{end - start:.1f} s", abs(drift) < 0.001, (before, after))
        text = guest.read_text(rb"\nclocks: done", BOOT_SECONDS)
        guest.end("power-off")
    expect("Linux trusts them all", not re.search("nstable|skew", text), text)


main()
