"""A guest that boots by OVMF, and FAT disks for it."""
import os
import subprocess

from guest import BOOT_SECONDS, COMMAND_SECONDS, Guest

PROMPT = rb"Shell> "


class UefiGuest(Guest):
    def __init__(self, doppel, options=()):
        self.process = subprocess.Popen(
            [doppel, "run", "--engine", os.environ.get("DOPPEL_TEST_ENGINE", "interp"),
             "--firmware", "uefi", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.seen = b""

    def type(self, text):
        self.process.stdin.write(text.encode() + b"\r")
        self.process.stdin.flush()

    def enter_shell(self):
        self.read_until(rb"Press .*ESC", BOOT_SECONDS)
        self.type("\x1b")
        return self.read_text(PROMPT, BOOT_SECONDS)

    def shell(self, command):
        """Runs a command and returns what it shows; the mark is not in its own echo."""
        self.type(command)
        self.type("echo END-%lasterror%")
        return self.read_text(rb"END-0x\w+", COMMAND_SECONDS)

    def power_off(self):
        self.type("reset -s")
        self.end("reset -s")


def make_fat(disk, offset, files):
    """A FAT32 file system in the disk from offset on, with files: names there to files of the host."""
    image = f"{disk}@@{offset}"
    sectors = (os.path.getsize(disk) - offset) // 512
    subprocess.run(["mformat", "-i", image, "-F", "-T", str(sectors), "-H", str(offset // 512), "::"], check=True)
    folders = {name[:i] for name in files for i in range(1, len(name)) if name[i] == "/"}
    for folder in sorted(folders):
        subprocess.run(["mmd", "-i", image, f"::{folder}"], check=True)
    for name, source in files.items():
        subprocess.run(["mcopy", "-i", image, source, f"::{name}"], check=True)


def make_disk(disk, size, partition, files):
    """A disk of size bytes: one FAT file system, in an EFI system partition of an MBR if so asked."""
    offset = 1 << 20 if partition else 0
    with open(disk, "wb") as file:
        file.truncate(size)
    make_fat(disk, offset, files)
    if partition:
        entry = bytes([0, 0xfe, 0xff, 0xff, 0xef, 0xfe, 0xff, 0xff])
        entry += (offset // 512).to_bytes(4, "little") + ((size - offset) // 512).to_bytes(4, "little")
        with open(disk, "r+b") as file:
            file.seek(446)
            file.write(entry + bytes(48) + b"\x55\xaa")
