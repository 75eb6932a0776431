#!/usr/bin/env python3
"""Boots Debian's kernel to busybox's shell over the serial console, types commands, checks what they
print, and powers off. Usage: boot_shell.py DOPPEL [--short]; the kernel and initrd are named by
DOPPEL_TEST_KERNEL and DOPPEL_TEST_INITRD (tools/check sets them)."""

import hashlib
import os
import re
import select
import subprocess
import sys
import time

PROMPT = b"doppel:"
BOOT_SECONDS = 600  # a bound for a hang, not a measurement
COMMAND_SECONDS = 300


class Guest:
    def __init__(self, doppel, kernel, initrd):
        self.process = subprocess.Popen(
            [doppel, "run", "--kernel", kernel, "--initrd", initrd, "--append", "console=ttyS0"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = b""

    def read_until(self, pattern, seconds):
        """Returns what comes up to and including the pattern."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen)
            if match:
                text, self.seen = self.seen[:match.end()], self.seen[match.end():]
                return text
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise SystemExit(f"no {pattern!r} within {seconds} s; seen: {self.seen[-2000:]!r}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise SystemExit(f"the guest ended before {pattern!r}; seen: {self.seen[-2000:]!r}")
            self.seen += data

    def type(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def run(self, command):
        """Runs a shell command and returns its output. The marker is split, so that its echo is not
        taken for it."""
        self.type(f"{command}; echo END''MARK")
        text = self.read_until(rb"\r?\nENDMARK\r?\n", COMMAND_SECONDS).decode(errors="replace")
        self.read_until(PROMPT, COMMAND_SECONDS)
        return text.replace("\r", "").split("END''MARK\n", 1)[-1].replace("\nENDMARK\n", "")


def expect(what, got, wanted):
    if wanted not in got:
        raise SystemExit(f"{what}: expected {wanted!r} in {got!r}")
    print(f"ok: {what}")


def check_files(guest):
    expect("ls", guest.run("ls /"), "proc")
    data = "".join(f"{i}\n" for i in range(1, 2001)).encode()
    guest.run("seq 1 2000 > /tmp/file")
    expect("sha256sum", guest.run("sha256sum /tmp/file"), hashlib.sha256(data).hexdigest())
    expect("a pipe", guest.run("cat /tmp/file | grep 7 | wc -l"),
           str(sum(b"7" in line for line in data.split(b"\n"))))


def check_processes(guest):
    expect("forks", guest.run("i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done; echo ran $i"),
           "ran 100")
    expect("no kernel complaints", guest.run("dmesg | grep -c -E 'BUG|Oops|WARNING|Call Trace'"), "0")


def check_clock(guest):
    before = time.time()
    guest_time = int(re.search(r"\d{9,}", guest.run("date +%s")).group())
    after = time.time()
    if not before - 2 <= guest_time <= after + 2:
        raise SystemExit(f"date: the guest has {guest_time}, the host {before:.0f} to {after:.0f}")
    print("ok: the guest's date is the host's")


def main():
    doppel = sys.argv[1]
    guest = Guest(doppel, os.environ["DOPPEL_TEST_KERNEL"], os.environ["DOPPEL_TEST_INITRD"])
    try:
        guest.read_until(PROMPT, BOOT_SECONDS)
        print("ok: the shell's prompt")
        expect("uname", guest.run("uname -m"), "x86_64")
        if "--short" not in sys.argv:
            check_files(guest)
            check_processes(guest)
            check_clock(guest)
        guest.type("exit")
        status = guest.process.wait(COMMAND_SECONDS)
        if status != 0:
            raise SystemExit(f"exit status {status} after power-off")
        print("ok: power-off, exit status 0")
    finally:
        guest.process.kill()


main()
