#!/usr/bin/env python3
"""SeaBIOS boots the drive that the command line puts first. Usage: boot_order.py DOPPEL"""

import subprocess
import sys
import tempfile

from guest import BOOT_SECONDS, Guest, expect

# Tells its name on COM1, then waits for ever: mov al, NAME; mov dx, 0x3f8; out dx, al; hlt; jmp $-1
BOOT_SECTOR = b"\xb0%c\xba\xf8\x03\xee\xf4\xeb\xfd"

# Drives by their names, --boot, and who boots.
CASES = [
    ("I V", None, "I"),
    ("V I", None, "V"),
    ("V W I", None, "V"),
    ("J I V", None, "J"),
    ("C V", None, "V"),
    ("C I V", "cdrom,disk", "C"),
    ("W V C", "disk,cdrom", "W"),
    ("V C", "cdrom", "C"),
]


def make_drives(folder):
    options = {}
    for name in "VWIJC":
        with open(f"{folder}/{name}", "wb") as file:
            file.write((BOOT_SECTOR % ord(name)).ljust(510, b"\0") + b"\x55\xaa")
            file.truncate(1 << 20)
        options[name] = ["--disk", f"{folder}/{name},format=raw,if={'virtio' if name in 'VW' else 'ide'}"]
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-b", "C", "-no-emul-boot", "-boot-load-size", "4",
                    "-o", f"{folder}/iso", f"{folder}/C"], check=True, stderr=subprocess.DEVNULL)
    options["C"] = ["--cdrom", f"{folder}/iso"]
    return options


def main():
    with tempfile.TemporaryDirectory() as folder:
        drives = make_drives(folder)
        for names, order, first in CASES:
            options = [option for name in names.split() for option in drives[name]]
            options += ["--boot", order] if order else []
            with Guest(sys.argv[1], None, options=options) as guest:
                found = guest.read_text(rb"[A-Z]", BOOT_SECONDS)
            expect(f"{names}, --boot {order}: {first} boots", found == first, found)


main()
