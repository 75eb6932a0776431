#!/usr/bin/env python3
"""OVMF's shell on the serial console: it comes up, finds a FAT disk and the SMBIOS tables, and its variables
live in the file that --uefi-vars names, over a reset and a power-off; without the option they do not.

Usage: uefi.py DOPPEL      DOPPEL_TEST_ENGINE names the engine, if not interp
"""
import subprocess
import sys
import tempfile

from guest import expect
from uefi_guest import UefiGuest, make_disk

def main():
    doppel = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        variables, disk = directory + "/vars", directory + "/disk"
        with open(f"{directory}/text", "w", encoding="ascii") as file:
            file.write("the disk is read\r\n")
        make_disk(disk, 64 << 20, False, {"/READ.TXT": f"{directory}/text"})
        with UefiGuest(doppel, ["--uefi-vars", variables, "--disk", disk + ",format=raw"]) as guest:
            guest.enter_shell()
            guest.shell("set doppel kept")
            expect("a variable can be read", "kept" in guest.shell("echo [%doppel%]"), guest.tail())
            text = guest.shell("type fs0:\\READ.TXT")
            expect("a file of the disk", "the disk is read" in text, text)
            text = guest.shell("smbiosview -t 1")
            expect("SMBIOS tables", "Doppel" in text, text)
            second = subprocess.run([doppel, "run", "--firmware", "uefi", "--uefi-vars", variables,
                                     "--serial", "none"], capture_output=True, timeout=60, text=True)
            expect("a second guest is refused", second.returncode == 1 and "another guest" in second.stderr,
                   second)
            guest.type("reset")
            guest.enter_shell()
            expect("a variable over a reset", "[kept]" in guest.shell("echo [%doppel%]"), guest.tail())
            guest.power_off()
        with UefiGuest(doppel, ["--uefi-vars", variables]) as guest:
            guest.enter_shell()
            expect("a variable of an earlier run", "[kept]" in guest.shell("echo [%doppel%]"), guest.tail())
            guest.power_off()
        with UefiGuest(doppel) as guest:
            guest.enter_shell()
            text = guest.shell("echo [%doppel%]")
            expect("nothing is kept without a file", "[kept]" not in text, text)
            guest.power_off()


main()
