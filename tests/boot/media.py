#!/usr/bin/env python3
"""Linux whose CD is changed by QMP: what it has mounted is locked, and it sees the next one.
Usage: media.py DOPPEL"""

import os
import subprocess
import sys
import tempfile

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "control"))
from client import Qmp  # noqa: E402
from guest import BOOT_SECONDS, PROMPT, Guest, expect

DRIVE = "ide1-cd0"


def make_iso(folder, name):
    os.mkdir(f"{folder}/{name}")
    with open(f"{folder}/{name}/name", "w") as file:
        file.write(f"this is {name}\n")
    iso = f"{folder}/{name}.iso"
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso, f"{folder}/{name}"], check=True,
                   stderr=subprocess.DEVNULL)
    return iso


def main():
    with tempfile.TemporaryDirectory(prefix="doppel-media-") as folder:
        first, second = make_iso(folder, "first"), make_iso(folder, "second")
        with Guest(sys.argv[1], "disk", options=["--cdrom", first, "--qmp", f"unix:{folder}/qmp"]) as guest:
            qmp = Qmp(f"{folder}/qmp")
            guest.read_until(PROMPT, BOOT_SECONDS)
            guest.run("modprobe ata_piix; modprobe sr_mod; modprobe isofs; mkdir /mnt; "
                      "until [ -b /dev/sr0 ]; do usleep 100000; done")
            mount = "mount -t iso9660 -o ro /dev/sr0 /mnt"
            text = guest.run(f"{mount}; cat /mnt/name")
            expect("Linux reads the first CD", text == "this is first", text)
            reply = qmp.execute("blockdev-change-medium", device=DRIVE, filename=second)
            expect("a mounted CD is locked", "locked" in reply.get("error", {}).get("desc", ""), reply)
            guest.run("umount /mnt")
            qmp.run("blockdev-change-medium", device=DRIVE, filename=second)
            text = guest.run(f"{mount}; cat /mnt/name; umount /mnt")
            expect("Linux reads the second CD", text == "this is second", text)
            qmp.run("eject", device=DRIVE)
            text = guest.run(f"{mount} || echo no''thing")
            expect("Linux finds no medium", "nothing" in text, text)
            qmp.run("blockdev-change-medium", device=DRIVE, filename=first)
            text = guest.run(f"{mount}; cat /mnt/name; umount /mnt")
            expect("Linux reads the first CD again", "this is first" in text, text)
            qmp.close()
            guest.type("poweroff -f")
            guest.end("power-off")


main()
