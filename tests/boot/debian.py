#!/usr/bin/env python3
"""Debian from tools/mkdebian: SeaBIOS, GRUB, Linux and systemd from a disk, to a login on the serial line; a
compiler, a reboot, a clean shutdown. Usage: debian.py DOPPEL virtio|ide"""

import os
import subprocess
import sys
import tempfile

from guest import BOOT_SECONDS, COMMAND_SECONDS, PROMPT, Guest, expect, file_of

OFFSET = 1 << 20  # of the partition
PROGRAM = r'#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n'
COMPLAINTS = "BUG|Oops|WARNING|Call Trace|soft lockup|unstable|rcu_.*stall"


def log_in(guest):
    for stage in (rb"Booting `Debian'", rb"Linux version", rb"systemd\[1\]", rb"doppel login: "):
        guest.read_until(stage, BOOT_SECONDS)
    guest.type("root")
    guest.read_until(rb"Password: ", COMMAND_SECONDS)
    guest.type("doppel")
    guest.read_until(PROMPT, COMMAND_SECONDS)
    guest.run("stty columns 400")


def use(guest):
    state = guest.run("systemctl is-system-running --wait")
    if state != "running":
        print(guest.run("systemctl --failed --plain --no-legend | cut -d ' ' -f 1 | "
                        "SYSTEMD_COLORS=0 xargs systemctl status --no-pager --full"))
    expect("systemd says that the system is running", state == "running", state)
    complaints = guest.run(f"dmesg | grep -E '{COMPLAINTS}'")
    expect("the kernel does not complain", not complaints, complaints)
    got = guest.run(f"printf '{PROGRAM}' >p.c && gcc -O2 -Wall -o p p.c && ./p")
    expect("gcc compiles a program, which runs", got == "compiled", got)


def check_file_system(image):
    partition = f"{image}?offset={OFFSET}"
    header = subprocess.run(["dumpe2fs", "-h", partition], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            check=True).stdout
    expect("the file system was unmounted", "needs_recovery" not in header, header)
    checked = subprocess.run(["e2fsck", "-fn", partition], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             check=False)
    expect("the file system is clean", checked.returncode == 0, checked.stdout)


def main():
    doppel, interface = sys.argv[1:]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        image = f"{folder}/debian.img"
        subprocess.run(["cp", "--sparse=always", file_of("DOPPEL_TEST_DEBIAN", "Debian image"), image], check=True)
        with Guest(doppel, None, options=["--memory", "1G", "--disk", f"{image},if={interface},format=raw"]) as guest:
            log_in(guest)
            use(guest)
            guest.type("reboot")
            log_in(guest)
            got = guest.run("./p && systemctl is-system-running --wait")
            expect("the same after a reboot", got == "compiled\nrunning", got)
            guest.type("poweroff")
            guest.end("power-off")
        check_file_system(image)


main()
