"""A guest under Doppel on a serial console, for the boot tests."""

import os
import re
import select
import subprocess
import time

PROMPT = rb"doppel:\S*# "
BOOT_SECONDS = 600  # bounds for a hang, not measurements
COMMAND_SECONDS = 300

# What boots: the kernel, the initramfs, and what the kernel comes from. tools/check sets the variables.
GUESTS = {
    "demo": ("DOPPEL_TEST_KERNEL", "DOPPEL_TEST_INITRD", "linux-image-cloud-amd64"),
    "cloud": ("DOPPEL_TEST_KERNEL", "DOPPEL_TEST_INITRD_BOTH", "linux-image-cloud-amd64"),
    "disk": ("DOPPEL_TEST_KERNEL", "DOPPEL_TEST_INITRD_MODULES", "linux-image-cloud-amd64"),
    "6.1-modules": ("DOPPEL_TEST_KERNEL_6_1", "DOPPEL_TEST_INITRD_MODULES_6_1", "linux-image-amd64"),
    "6.1": ("DOPPEL_TEST_KERNEL_6_1", "DOPPEL_TEST_INITRD_BOTH", "linux-image-amd64"),
    "6.12": ("DOPPEL_TEST_KERNEL_6_12", "DOPPEL_TEST_INITRD_BOTH", "linux-image-6.12-amd64"),
    "686-pae": ("DOPPEL_TEST_KERNEL_686_PAE", "DOPPEL_TEST_INITRD_I386", "linux-image-686-pae:i386"),
    "686": ("DOPPEL_TEST_KERNEL_686", "DOPPEL_TEST_INITRD_I386", "linux-image-686:i386"),
}


def file_of(variable, package):
    path = os.environ.get(variable)
    if not path:
        raise SystemExit(f"{variable} is not set: no {package}. tools/check fetches what the boot tests "
                         f"need; without it: . tools/test-guests")
    if not os.path.exists(path):
        raise SystemExit(f"{variable}: {path} does not exist")
    return path


class Guest:
    def __init__(self, doppel, name, append="", options=()):
        """A guest of GUESTS, or None: what the options boot."""
        command = [doppel, "run", "--engine", os.environ.get("DOPPEL_TEST_ENGINE", "interp"), *options]
        if name:
            kernel, initrd, package = GUESTS[name]
            command += ["--kernel", file_of(kernel, package), "--initrd", file_of(initrd, "busybox-static"),
                        "--append", f"console=ttyS0 {append}".strip()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

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
                raise SystemExit(f"no {pattern!r} within {seconds} s; seen: {self.tail()}")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise SystemExit(f"the guest ended before {pattern!r}; seen: {self.tail()}")
            self.seen += data

    def tail(self):
        return self.seen[-3000:].decode(errors="replace")

    def read_text(self, pattern, seconds):
        return self.read_until(pattern, seconds).decode(errors="replace").replace("\r", "")

    def type(self, text):
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def run(self, command):
        """Runs a shell command and returns its output. The marker is split, so that its echo is not
        taken for it."""
        self.type(f"{command}; echo END''MARK")
        text = self.read_text(rb"\r?\nENDMARK\r?\n", COMMAND_SECONDS)
        self.read_until(PROMPT, COMMAND_SECONDS)
        return re.sub(r"\n?ENDMARK\n", "", text.split("END''MARK\n", 1)[-1])

    def end(self, why):
        """Waits for the guest to end by itself, with success."""
        while os.read(self.process.stdout.fileno(), 65536):
            pass
        status = self.process.wait(COMMAND_SECONDS)
        expect(f"exit status 0 after {why}", status == 0, status)


def expect(what, holds, got):
    if not holds:
        raise SystemExit(f"FAILED: {what}; got {got!r}")
    print(f"ok: {what}", flush=True)
