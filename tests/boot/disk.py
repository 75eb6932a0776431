#!/usr/bin/env python3
"""Linux with a disk: mounts an ext4 file system, reads what the host wrote, writes, and the host reads
that. It is stopped many times meanwhile, and the image does not change then. Usage: disk.py DOPPEL virtio|ide raw|qcow2"""

import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "control"))
from client import Qmp  # noqa: E402
from guest import BOOT_SECONDS, PROMPT, Guest, expect

MIB = 1 << 20
DRIVERS = {"virtio": ("virtio_pci virtio_blk", "/dev/vda"), "ide": ("ata_piix sd_mod", "/dev/sda")}


def sum_of(data):
    return hashlib.sha256(data).hexdigest()


def make_image(folder, form, data):
    os.mkdir(f"{folder}/files")
    with open(f"{folder}/files/from-host", "wb") as file:
        file.write(data)
    raw, image = f"{folder}/raw", f"{folder}/image"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", f"{folder}/files", raw, "64M"], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, image], check=True)
    return image


def check_image(folder, image, form, expected):
    """The file system is clean, and the guest's file is in it."""
    if form == "qcow2":
        subprocess.run(["qemu-img", "check", "-q", image], check=True)
    raw = f"{folder}/raw"
    subprocess.run(["qemu-img", "convert", "-f", form, "-O", "raw", image, raw], check=True)
    subprocess.run(["e2fsck", "-fn", raw], check=True, stdout=subprocess.DEVNULL)
    found = subprocess.run(["debugfs", "-R", "cat /from-guest", raw], check=True,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    expect("what the guest wrote is in the image", sum_of(found) == expected, sum_of(found))


class Stops(threading.Thread):
    """Stops the guest and lets it go on, until the end."""

    def __init__(self, path, image):
        super().__init__(daemon=True)
        self.qmp, self.image, self.over, self.changes, self.count = Qmp(path), image, False, 0, 0
        self.start()

    def run(self):
        while not self.over:
            self.qmp.run("stop")
            before = os.stat(self.image).st_mtime_ns
            time.sleep(0.02)
            self.changes += os.stat(self.image).st_mtime_ns != before
            self.count += 1
            self.qmp.run("cont")
            time.sleep(0.02)

    def end(self):
        self.over = True
        self.join()
        self.qmp.close()


def main():
    doppel, interface, form = sys.argv[1:]
    modules, device = DRIVERS[interface]
    data = os.urandom(5 * MIB)
    with tempfile.TemporaryDirectory() as folder:
        image = make_image(folder, form, data)
        with Guest(doppel, "disk", options=["--disk", f"{image},if={interface},format={form}", "--qmp",
                                            f"unix:{folder}/qmp"]) as guest:
            guest.read_until(PROMPT, BOOT_SECONDS)
            guest.run(f"for m in {modules}; do modprobe $m; done; mkdir /mnt; "
                      f"until [ -b {device} ]; do usleep 100000; done")
            guest.run(f"mount -t ext4 {device} /mnt")
            found = guest.run("sha256sum /mnt/from-host").split()[0]
            expect("the guest reads what the host wrote", found == sum_of(data), found)
            stops = Stops(f"{folder}/qmp", image)
            guest.run("dd if=/dev/urandom of=/mnt/from-guest bs=64k count=48 && sync && "
                      "echo 3 >/proc/sys/vm/drop_caches")
            written = guest.run("sha256sum /mnt/from-guest").split()[0]
            guest.run("umount /mnt")
            stops.end()
            expect("the image stands still while the guest does", stops.count and not stops.changes,
                   f"{stops.changes} changes in {stops.count} stops")
            guest.type("poweroff -f")
            guest.end("power-off")
        check_image(folder, image, form, written)


main()
