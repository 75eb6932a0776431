#!/usr/bin/env python3
"""SeaBIOS boots GRUB from a CD, which boots Linux from it, which reads it.
Usage: grub.py DOPPEL"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

from guest import BOOT_SECONDS, GUESTS, PROMPT, Guest, expect, file_of

CONFIG = """
serial --unit=0
terminal_input serial
terminal_output serial
set timeout=-1
menuentry "Nothing" {
    true
}
"""


def make_iso(folder, data):
    kernel, initrd, package = GUESTS["disk"]
    os.makedirs(f"{folder}/root/boot/grub")
    for name, source in ("kernel", file_of(kernel, package)), ("initrd", file_of(initrd, package)):
        shutil.copy(source, f"{folder}/root/{name}")
    with open(f"{folder}/root/data", "wb") as file:
        file.write(data)
    with open(f"{folder}/root/boot/grub/grub.cfg", "w") as file:
        file.write(CONFIG)
    subprocess.run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", f"{folder}/iso",
                    f"{folder}/root"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return f"{folder}/iso"


def main():
    data = os.urandom(1 << 20)
    with tempfile.TemporaryDirectory() as folder:
        iso = make_iso(folder, data)
        with Guest(sys.argv[1], None, options=["--cdrom", iso]) as guest:
            guest.read_until(rb"GNU GRUB +version", BOOT_SECONDS)
            guest.type("c")
            guest.read_until(rb"grub> ", BOOT_SECONDS)
            guest.type("lspci")
            guest.read_until(rb"8086:7010", BOOT_SECONDS)
            guest.read_until(rb"grub> ", BOOT_SECONDS)
            print("ok: GRUB's lspci shows the IDE controller")
            for command in "linux /kernel console=ttyS0", "initrd /initrd", "boot":
                guest.type(command)
            guest.read_until(PROMPT, BOOT_SECONDS)
            guest.run("modprobe ata_piix; modprobe sr_mod; modprobe isofs; mkdir /mnt; "
                      "until [ -b /dev/sr0 ]; do usleep 100000; done")
            guest.run("mount -t iso9660 -o ro /dev/sr0 /mnt")
            found = guest.run("sha256sum /mnt/data").split()[0]
            expect("Linux reads the CD", found == hashlib.sha256(data).hexdigest(), found)
            guest.type("poweroff -f")
            guest.end("power-off")


main()
