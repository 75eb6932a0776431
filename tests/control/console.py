#!/usr/bin/env python3
"""The monitor at the serial port's terminal: Ctrl-A c switches the keys to it and back.
Usage: console.py DOPPEL GUEST"""

import os
import pty
import select
import subprocess
import sys
import tempfile
import time

DOPPEL, GUEST = sys.argv[1:]
SECONDS = 120  # a bound for hangs, not a measurement
SWITCH = b"\x01c"
PROMPT = b"(qemu) "


class Terminal:
    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([DOPPEL, *arguments], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True)
        os.close(slave)
        self.seen = b""

    def type(self, keys):
        os.write(self.master, keys)

    def expect(self, text):
        end = time.monotonic() + SECONDS
        while text not in self.seen:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                raise SystemExit(f"no {text!r} in {self.seen[-2000:]!r}")
            self.seen += os.read(self.master, 65536)
        before, self.seen = self.seen.split(text, 1)
        return before

    def end(self, status):
        assert self.process.wait(timeout=SECONDS) == status, self.process.returncode
        os.close(self.master)


def check_session(terminal):
    terminal.type(b"\x01h")
    terminal.expect(b"Ctrl-A c       switch between the guest and the monitor\r\n")
    terminal.type(b"these are the guest's\r" + SWITCH)
    assert PROMPT not in terminal.expect(b"monitor - type 'help' for more information\r\n" + PROMPT)
    # Corrections, and a line that is begun before and ended after a visit to the guest.
    terminal.type(b"bogus\x15info stopx\x7f\x7f\x7f\x7f\x7fsta")
    terminal.expect(b"info stopx" + 5 * b"\b \b" + b"sta")
    terminal.type(SWITCH + b"the guest's\r" + SWITCH)
    terminal.expect(b"\r\n\r\n" + PROMPT + b"info sta")
    terminal.type(b"tus\r")
    terminal.expect(b"tus\r\nVM status: running\r\n" + PROMPT)
    # More than the terminal's queue takes.
    terminal.type(b"xp /60000xb 0x100000\r")
    lines = terminal.expect(PROMPT).split(b"\r\n")[1:-1]
    assert len(lines) == 3750 and all(line.startswith(b"00000000001") and line.count(b" 0x") == 16 for line in lines)
    terminal.type(b"y" * 5000 + b"\x15")
    terminal.expect(b"y" * 4094 + b"\b \b")
    terminal.type(b"\x1b\x00\xffquit\x08\x08\x08\x08\x08\x08quit\r")
    terminal.end(0)


check_session(Terminal("run", "--kernel", GUEST, "--memory", "64M", "--monitor", "serial"))
for options in [["-nographic"], ["-display", "none", "-serial", "mon:stdio"],
                ["-chardev", "stdio,id=c,mux=on,signal=off", "-serial", "chardev:c", "-mon", "chardev=c"]]:
    check_session(Terminal("qemu", "-kernel", GUEST, "-m", "64", *options))
with tempfile.TemporaryDirectory(prefix="doppel-console-") as scratch:
    # The serial port without a monitor, and one whose monitor is elsewhere.
    for options in [["-serial", "stdio"], ["-nographic", "-monitor", f"unix:{scratch}/m,server=on,wait=off"]]:
        terminal = Terminal("qemu", "-kernel", GUEST, "-m", "64", *options)
        terminal.type(b"\x01h" + SWITCH + b"\x01x")
        terminal.end(0)
        assert b"monitor" not in terminal.seen
