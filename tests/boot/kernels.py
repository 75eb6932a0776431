#!/usr/bin/env python3
"""Boots a kernel to userspace, which checks itself and the machine (/scripts/selfcheck), also by 32-bit
programs where the kernel has 64 bits, and ends by power-off or reset.
Usage: kernels.py DOPPEL KERNEL poweroff|reset"""

import sys
import time
import re

from guest import BOOT_SECONDS, COMMAND_SECONDS, GUESTS, PROMPT, Guest, expect


def check_self(guest, elf_class):
    """Reads one run of the script: 1 is the class of 32-bit programs, 2 that of 64-bit ones."""
    text = guest.read_text(rb"\ndate: \d+\r?\n", BOOT_SECONDS)
    date = int(re.search(r"\ndate: (\d+)", text).group(1))
    now = time.time()
    text += guest.read_text(rb"selfcheck: .*\n", COMMAND_SECONDS)
    failures = re.findall(r"FAILED: .*", text)
    expect(f"self-check by programs of ELF class {elf_class}",
           not failures and f"class: {elf_class}\n" in text and
           re.search(r"selfcheck: [4-9]\d passed, 0 failed", text), failures or text[-2000:])
    expect("the guest's date is the host's", now - 3 <= date <= now + 2, (date, now))


def main():
    doppel, kernel, ending = sys.argv[1:]
    both = "BOTH" in GUESTS[kernel][1]
    with Guest(doppel, kernel, options=["--no-reboot"] if ending == "reset" else []) as guest:
        guest.read_until(PROMPT, BOOT_SECONDS)
        print("ok: the shell's prompt")
        guest.type("sh /scripts/selfcheck")
        check_self(guest, 2 if both else 1)
        if both:
            guest.type("sh /scripts/selfcheck32")
            check_self(guest, 1)
        guest.type("reboot -f" if ending == "reset" else "poweroff -f")
        guest.end(ending)


if __name__ == "__main__":
    main()
