#!/usr/bin/env python3
"""Linux by OVMF from a disk with an EFI system partition, to userspace, which checks itself: by its EFI stub
from the shell's startup.nsh, or by GRUB as \\EFI\\BOOT\\BOOTX64.EFI. Linux sees UEFI's variables.

Usage: uefi_linux.py DOPPEL stub|grub      DOPPEL_TEST_ENGINE names the engine, if not interp
"""
import subprocess
import sys
import tempfile

from guest import BOOT_SECONDS, GUESTS, PROMPT, expect, file_of
from kernels import check_self
from uefi_guest import UefiGuest, make_disk

APPEND = "console=ttyS0"
STARTUP = f"fs0:\\vmlinuz.efi initrd=\\initrd.gz {APPEND}\r\n"
GRUB_MODULES = ["part_msdos", "fat", "normal", "linux", "serial", "terminal", "echo"]
GRUB_CONFIG = f"""echo GRUB reads its configuration
linux /vmlinuz.efi {APPEND}
initrd /initrd.gz
boot
"""


def boot_files(folder, loader):
    """What is on the disk besides the kernel and the initramfs."""
    config = f"{folder}/config"
    with open(config, "w", encoding="ascii", newline="") as file:
        file.write(STARTUP if loader == "stub" else GRUB_CONFIG)
    if loader == "stub":
        return {"/startup.nsh": config}
    image = f"{folder}/grub.efi"
    subprocess.run(["grub-mkimage", "-O", "x86_64-efi", "-o", image, "-p", "/boot/grub", *GRUB_MODULES],
                   check=True)
    return {"/EFI/BOOT/BOOTX64.EFI": image, "/boot/grub/grub.cfg": config}


def main():
    doppel, loader = sys.argv[1:]
    kernel, initrd, package = GUESTS["disk"]
    with tempfile.TemporaryDirectory() as folder:
        disk = f"{folder}/disk"
        make_disk(disk, 128 << 20, True, {"/vmlinuz.efi": file_of(kernel, package),
                                          "/initrd.gz": file_of(initrd, "busybox-static"),
                                          **boot_files(folder, loader)})
        with UefiGuest(doppel, ["--disk", f"{disk},format=raw"]) as guest:
            if loader == "grub":
                guest.read_until(b"GRUB reads its configuration", BOOT_SECONDS)
                print("ok: GRUB")
            guest.read_until(PROMPT, BOOT_SECONDS)
            print("ok: the shell's prompt")
            log = guest.run("dmesg | grep -i efi")
            expect("Linux runs by UEFI", "efi: EFI v2" in log, log)
            variables = guest.run("mkdir -p /vars; modprobe efivarfs; mount -t efivarfs efivarfs /vars; ls /vars")
            expect("Linux sees UEFI's variables", "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c" in variables,
                   variables)
            guest.type("sh /scripts/selfcheck")
            check_self(guest, 2)
            guest.type("poweroff -f")
            guest.end("power-off")


main()
