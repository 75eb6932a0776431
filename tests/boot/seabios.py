#!/usr/bin/env python3
"""SeaBIOS without anything to boot, by its log on the debug console.

Usage: seabios.py DOPPEL [OPTION...]      DOPPEL_TEST_ENGINE names the engine, if not interp
"""
import os
import subprocess
import sys
import threading

# In this order. The last one is where it gives up.
MARKERS = [
    "SeaBIOS (version 1.16",
    "Running on QEMU (i440fx)",
    "QEMU fw_cfg DMA interface supported",
    "Moving pm_base to 0x600",
    "id=8086:7113",
    "Using pmtimer, ioport 0x608",
    "Found 1 cpu(s)",
    "Copying SMBIOS",
    "ACPI: parse DSDT",
    "Found 1 serial ports",
    "PS2 keyboard initialized",
    "No bootable device.",
]
TIMEOUT = 300


def main():
    command = [sys.argv[1], "run", "--engine", os.environ.get("DOPPEL_TEST_ENGINE", "interp"),
               "--firmware", "bios", "--serial", "none", "--debugcon", "stdio",
               "--debugcon-port", "0x402"] + sys.argv[2:]
    guest = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    watchdog = threading.Timer(TIMEOUT, guest.kill)
    watchdog.start()
    log = ""
    while MARKERS[-1] not in log:
        some = os.read(guest.stdout.fileno(), 4096)
        if not some:
            break
        log += some.decode(errors="replace")
    watchdog.cancel()
    guest.kill()
    guest.wait()
    print(log)
    at = 0
    for marker in MARKERS:
        at = log.find(marker, at)
        if at < 0:
            raise SystemExit(f"{marker!r} is not in the log, or not in its place")


main()
