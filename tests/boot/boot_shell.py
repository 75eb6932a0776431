#!/usr/bin/env python3
"""Boots Debian's kernel to busybox's shell over the serial console, types commands, checks what they
print, and powers off. Usage: boot_shell.py DOPPEL [--short]"""

import hashlib
import re
import sys
import time

from guest import BOOT_SECONDS, PROMPT, Guest, expect


def check_files(guest):
    got = guest.run("ls /")
    expect("ls", "proc" in got, got)
    data = "".join(f"{i}\n" for i in range(1, 2001)).encode()
    guest.run("seq 1 2000 > /tmp/file")
    got = guest.run("sha256sum /tmp/file")
    expect("sha256sum", hashlib.sha256(data).hexdigest() in got, got)
    got = guest.run("cat /tmp/file | grep 7 | wc -l")
    expect("a pipe", got.strip() == str(sum(b"7" in line for line in data.split(b"\n"))), got)


def check_processes(guest):
    got = guest.run("i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done; echo ran $i")
    expect("forks", "ran 100" in got, got)
    got = guest.run("dmesg | grep -c -E 'BUG|Oops|WARNING|Call Trace'")
    expect("no kernel complaints", got.strip() == "0", got)


def check_clock(guest):
    before = time.time()
    guest_time = int(re.search(r"\d{9,}", guest.run("date +%s")).group())
    after = time.time()
    expect("the guest's date is the host's", before - 2 <= guest_time <= after + 2,
           (before, guest_time, after))


def main():
    with Guest(sys.argv[1], "demo") as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        print("ok: the shell's prompt")
        got = guest.run("uname -m")
        expect("uname", "x86_64" in got, got)
        if "--short" not in sys.argv:
            check_files(guest)
            check_processes(guest)
            check_clock(guest)
        guest.type("exit")
        guest.end("power-off")


main()
