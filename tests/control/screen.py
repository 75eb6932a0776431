#!/usr/bin/env python3
"""SeaBIOS on the VGA: its text is in the VGA's memory, and a screenshot shows it.

Usage: screen.py DOPPEL ENGINE
"""

import sys
import tempfile
import time

from client import SECONDS, Guest, Qmp

DOPPEL, ENGINE = sys.argv[1:]
FRAME_BUFFER = 0xfd000000  # where SeaBIOS puts it
COLUMNS, ROWS, WIDTH, HEIGHT = 80, 25, 9, 16
LAST_LINE = "No bootable device."


def read_text(qmp, directory):
    """The characters are plane 0, the first byte of each dword. No lines before memory is there."""
    path = f"{directory}/text"
    reply = qmp.execute("pmemsave", val=FRAME_BUFFER, size=4 * COLUMNS * ROWS, filename=path)
    if "error" in reply:
        return []
    with open(path, "rb") as file:
        characters = file.read()[::4].decode("latin-1").replace("\0", " ")
    return [characters[i:i + COLUMNS] for i in range(0, len(characters), COLUMNS)]


def wait_for_text(qmp, directory):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        text = read_text(qmp, directory)
        if any(line.startswith(LAST_LINE) for line in text):
            return text
        time.sleep(0.2)
    raise SystemExit(f"in vain: {LAST_LINE!r} in {text}")


def check_picture(text, path):
    """Cells of characters have dots, and others none but for the cursor."""
    with open(path, "rb") as file:
        kind, size, depth, pixels = file.read().split(b"\n", 3)
    assert (kind, size, depth) == (b"P6", b"720 400", b"255"), (kind, size, depth)
    cursor = 0
    for row, line in enumerate(text):
        for column, character in enumerate(line):
            cell = b""
            for y in range(row * HEIGHT, (row + 1) * HEIGHT):
                start = 3 * (y * COLUMNS + column) * WIDTH
                cell += pixels[start:start + 3 * WIDTH]
            lit = any(cell)
            if character != " ":
                assert lit, f"there is no {character!r} at column {column} of row {row}"
            cursor += lit and character == " "
    assert cursor <= 1, f"{cursor} empty cells have dots"


def main():
    with tempfile.TemporaryDirectory(prefix="doppel-screen-") as directory, \
         Guest(DOPPEL, directory, "--engine", ENGINE, "--firmware", "bios", "--debugcon-port",
               "0x402") as guest:
        qmp = Qmp(guest.path)
        text = wait_for_text(qmp, directory)
        print("\n".join(line.rstrip() for line in text).rstrip())
        assert text[0].startswith("SeaBIOS (version "), text[0]
        qmp.run("screendump", filename=f"{directory}/screen.ppm")
        check_picture(text, f"{directory}/screen.ppm")
        qmp.run("quit")
        guest.end()


main()
