#!/usr/bin/env python3
"""The serial console end to end, from Debian's kernel to the host's terminal, file, socket and pipe.
Usage: terminal.py DOPPEL; DOPPEL_TEST_KERNEL and DOPPEL_TEST_INITRD name the guest."""

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time

PROMPT = rb"doppel:"
SECONDS = 600  # a bound for a hang, not a measurement
CTRL_A = b"\x01"
COMMAND = [sys.argv[1], "run", "--kernel", os.environ["DOPPEL_TEST_KERNEL"], "--initrd",
           os.environ["DOPPEL_TEST_INITRD"], "--append"]


class Stream:
    """What is read from a descriptor, and looked for."""

    def __init__(self, fd):
        self.fd = fd
        self.seen = b""

    def read_until(self, pattern):
        deadline = time.monotonic() + SECONDS
        while not (match := re.search(pattern, self.seen)):
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise SystemExit(f"no {pattern!r} within {SECONDS} s in {self.seen[-2000:]!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # a terminal that nobody has open
                data = b""
            if not data:
                raise SystemExit(f"the stream ends before {pattern!r}: {self.seen[-2000:]!r}")
            self.seen += data
        self.seen = self.seen[match.end():]

    def write(self, data):
        while data:
            data = data[os.write(self.fd, data):]


class Terminal(Stream):
    """Doppel on a terminal of its own, which we hold the other end of."""

    def __init__(self):
        master, self.slave = pty.openpty()
        super().__init__(master)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(COMMAND + ["console=ttyS0"], stdin=self.slave,
                                        stdout=self.slave, stderr=self.slave,
                                        start_new_session=True)

    def expect_end(self, what, status):
        got = self.process.wait(SECONDS)
        if got != status:
            raise SystemExit(f"{what}: status {got}, expected {status}; {self.seen[-2000:]!r}")
        if termios.tcgetattr(self.slave) != self.before:
            raise SystemExit(f"{what}: the terminal's settings are not as before")
        os.close(self.fd)
        os.close(self.slave)
        print(f"ok: {what} ends with status {status}, the terminal is as before", flush=True)

    def type(self, command, answer):
        """The answer is not the echo: the command has quotes in it."""
        self.write(command.encode() + b"\r")
        self.read_until(rb"\n" + answer.encode() + rb"\r\n")
        self.read_until(PROMPT)


def check_keys():
    terminal = Terminal()
    terminal.read_until(PROMPT)
    if termios.tcgetattr(terminal.slave) == terminal.before:
        raise SystemExit("the terminal is not raw while the guest runs")
    terminal.type("echo typed''text", "typedtext")
    terminal.write(CTRL_A + b"h")
    terminal.read_until(rb"Ctrl-A x .*Ctrl-A b .*Ctrl-A Ctrl-A .*Ctrl-A h ".replace(b".*", rb"(.|\n)*"))
    # Ctrl-C is the guest's.
    terminal.write(b"stty -isig -icanon; echo now''ready; head -c 1 | od -An -tx1; stty sane\r")
    terminal.read_until(rb"nowready\r\n")
    terminal.write(b"\x03")
    terminal.read_until(rb"03\r\n")
    terminal.read_until(PROMPT)
    terminal.type("echo still''here", "stillhere")
    # Nobody handles the power button in this guest: it goes on.
    terminal.process.send_signal(signal.SIGTERM)
    terminal.type("echo also''here", "alsohere")
    terminal.write(CTRL_A + b"x")
    terminal.expect_end("Ctrl-A x", 0)


def check_signals():
    for names, status in [(["SIGSEGV"], -signal.SIGSEGV), (["SIGABRT"], -signal.SIGABRT),
                          (["SIGHUP"], -signal.SIGHUP), (["SIGTERM", "SIGTERM"], 0),
                          (["SIGINT", "SIGINT"], 0)]:
        terminal = Terminal()
        terminal.read_until(rb"Linux version")
        for name in names:
            terminal.process.send_signal(getattr(signal, name))
            time.sleep(0.2)  # two that are pending at once are one
        terminal.expect_end(" and ".join(names), status)


def run(serial, **streams):
    return subprocess.Popen(COMMAND + ["console=ttyS0 doppel.run=tour", "--serial", serial], **streams)


def expect_power_off(what, process):
    if (status := process.wait(SECONDS)) != 0:
        raise SystemExit(f"{what}: exit status {status} after the guest's power-off")
    print(f"ok: {what}")


def check_file(directory):
    path = f"{directory}/serial.txt"
    expect_power_off("--serial file:", run(f"file:{path}", stdin=subprocess.DEVNULL))
    with open(path, "rb") as file:
        text = file.read()
    if b"Linux version" not in text or b"Power down" not in text:
        raise SystemExit(f"--serial file: lacks the start or the end: {text[-2000:]!r}")


def check_socket(directory):
    path = f"{directory}/serial"
    process = subprocess.Popen(COMMAND + ["console=ttyS0", "--serial", f"unix:{path}"],
                               stdin=subprocess.DEVNULL)
    client = socket.socket(socket.AF_UNIX)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            client.connect(path)
            break
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("--serial unix: nobody listens")
            time.sleep(0.01)
    stream = Stream(client.fileno())
    stream.read_until(PROMPT)
    stream.write(b"echo over''socket\n")
    stream.read_until(rb"\noversocket\r\n")
    stream.write(b"exit\n")
    expect_power_off("--serial unix:", process)
    if os.path.exists(path):
        raise SystemExit("--serial unix: the socket is left behind")


def check_pipes():
    """The end of the input ends nothing. What is typed into a pipe: tests/boot."""
    done = subprocess.run(COMMAND + ["console=ttyS0 doppel.run=tour"], timeout=SECONDS, input=b"",
                          stdout=subprocess.PIPE)
    if done.returncode or b"Linux version" not in done.stdout or b"Power down" not in done.stdout:
        raise SystemExit(f"pipes: exit status {done.returncode}, {done.stdout[-2000:]!r}")
    print("ok: pipes as standard input and output")


check_keys()
check_signals()
with tempfile.TemporaryDirectory(prefix="doppel-cli-") as scratch:
    check_file(scratch)
    check_socket(scratch)
check_pipes()
