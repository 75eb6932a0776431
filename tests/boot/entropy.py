#!/usr/bin/env python3
"""Linux reads the host's random numbers from virtio-rng. Usage: entropy.py DOPPEL"""

import sys

from guest import BOOT_SECONDS, PROMPT, Guest, expect


def main():
    with Guest(sys.argv[1], "disk") as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        guest.run("for m in virtio_pci virtio-rng; do modprobe $m; done")
        got = guest.run("cat /sys/class/misc/hw_random/rng_current")
        expect("the device is Linux's source", "virtio_rng" in got, got)
        got = guest.run("dd if=/dev/hwrng bs=4096 count=16 2>/dev/null >/tmp/a; wc -c </tmp/a; gzip -c /tmp/a | wc -c")
        size, packed = map(int, got.split()[:2])
        expect("it gives what cannot be compressed", size == 65536 and packed > size, got)
        guest.type("poweroff -f")
        guest.end("power-off")


main()
