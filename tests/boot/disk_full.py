#!/usr/bin/env python3
"""A guest that writes more than the host's disk has room for waits, and goes on when there is room.
The host's disk is a small tmpfs of a namespace of its own. Usage: disk_full.py DOPPEL"""

import hashlib
import os
import subprocess
import sys
import tempfile
import time

from guest import BOOT_SECONDS, COMMAND_SECONDS, PROMPT, Guest, expect

FOLDER = "/mnt"
MIB = 1 << 20


def enter_namespace():
    """Runs this program again where it can mount."""
    if "DOPPEL_TEST_NAMESPACE" not in os.environ:
        os.environ["DOPPEL_TEST_NAMESPACE"] = "yes"
        os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", FOLDER], check=True)


def read_log(log, text):
    deadline = time.monotonic() + COMMAND_SECONDS
    while text not in open(log).read() and time.monotonic() < deadline:
        time.sleep(0.1)
    expect(text, text in open(log).read(), open(log).read())


def main():
    enter_namespace()
    image, ballast = f"{FOLDER}/image", f"{FOLDER}/ballast"
    log = tempfile.NamedTemporaryFile()
    subprocess.run(["truncate", "-s", "32M", image], check=True)
    with open(ballast, "wb") as file:
        file.write(bytes(48 * MIB))
    stderr = os.dup(2)
    os.dup2(log.fileno(), 2)
    with Guest(sys.argv[1], "disk", options=["--disk", f"{image},format=raw"]) as guest:
        os.dup2(stderr, 2)
        guest.read_until(PROMPT, BOOT_SECONDS)
        guest.run("modprobe virtio_pci; modprobe virtio_blk; until [ -b /dev/vda ]; do usleep 100000; done")
        guest.run("dd if=/dev/urandom of=/tmp/data bs=1M count=32")
        expected = guest.run("sha256sum /tmp/data").split()[0]
        guest.type("dd if=/tmp/data of=/dev/vda bs=1M oflag=direct; echo status $?")
        read_log(log.name, "the guest waits until there is room")
        os.unlink(ballast)
        read_log(log.name, "the guest goes on")
        guest.read_until(rb"status 0", COMMAND_SECONDS)
        guest.read_until(PROMPT, COMMAND_SECONDS)
        guest.type("poweroff -f")
        guest.end("power-off")
    with open(image, "rb") as file:
        found = hashlib.sha256(file.read()).hexdigest()
    expect("nothing was lost", found == expected, found)


main()
