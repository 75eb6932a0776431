#!/usr/bin/env python3
"""Puts media into a guest's CD drives (tests/guest/cd_drive.S) and takes them out.
Usage: media.py DOPPEL GUEST ENGINE"""

import os
import sys
import tempfile

from client import Guest, Qmp

DOPPEL, GUEST, ENGINE = sys.argv[1:]


def error_of(reply, kind="GenericError"):
    assert reply["error"]["class"] == kind, reply
    return reply["error"]["desc"]


def make_media(directory):
    paths = []
    for name in ["first", "second with space"]:
        paths.append(os.path.join(directory, name))
        with open(paths[-1], "wb") as file:
            file.write(name[:4].encode().ljust(2048 * 20, b"\0"))
    return paths


def press(guest, qmp, key, *lines):
    qmp.keys(key, hold_time=1)
    guest.expect(*lines)


def drive(qmp, name="ide1-cd0"):
    found, = [drive for drive in qmp.run("query-block") if drive["device"] == name]
    return found


def check_change(guest, qmp, first, second):
    state = drive(qmp)
    inserted = state.pop("inserted")
    assert state == {"device": "ide1-cd0", "type": "unknown", "locked": False, "removable": True,
                     "tray_open": False, "io-status": "ok"}, state
    assert inserted["file"] == first and inserted["ro"] is True, inserted
    press(guest, qmp, "r", "ok 66697273")
    assert qmp.run("eject", device="ide1-cd0") == {}
    state = drive(qmp)
    assert "inserted" not in state and state["tray_open"] is True, state
    press(guest, qmp, "r", "sense 2")
    qmp.run("eject", device="ide1-cd0")  # it is empty
    qmp.run("blockdev-change-medium", device="ide1-cd0", filename=second, format="raw",
            read_only_mode="read-only")
    assert drive(qmp)["inserted"]["file"] == second and drive(qmp)["tray_open"] is False
    press(guest, qmp, "r", "sense 6")  # unit attention: the medium may have changed
    press(guest, qmp, "r", "ok 7365636f")
    # The guest stands still, and the medium is another when it goes on.
    qmp.run("stop")
    qmp.run("blockdev-change-medium", id="ide1-cd0", filename=first)
    qmp.run("cont")
    press(guest, qmp, "r", "sense 6")
    press(guest, qmp, "r", "ok 66697273")


def check_lock(guest, qmp, first, second):
    press(guest, qmp, "l", "ok ")
    assert drive(qmp)["locked"] is True
    press(guest, qmp, "e", "sense 5")
    for command, more in [("eject", {}), ("blockdev-change-medium", {"filename": second})]:
        assert "locked" in error_of(qmp.execute(command, device="ide1-cd0", **more)), command
        assert "locked" in error_of(qmp.execute(command, device="ide1-cd0", force=False, **more)), command
    assert "locked" in qmp.monitor("eject ide1-cd0")
    press(guest, qmp, "r", "ok 66697273")
    press(guest, qmp, "u", "ok ")
    press(guest, qmp, "e", "ok ")
    state = drive(qmp)
    assert state["tray_open"] and not state["locked"] and state["inserted"]["file"] == first, state
    qmp.run("blockdev-change-medium", device="ide1-cd0", filename=second)
    press(guest, qmp, "r", "sense 6")
    press(guest, qmp, "l", "ok ")
    qmp.run("eject", device="ide1-cd0", force=True)
    assert drive(qmp)["locked"] is False


def check_errors(qmp, first, second):
    for command, more in [("eject", {}), ("blockdev-change-medium", {"filename": first})]:
        assert "zork" in error_of(qmp.execute(command, device="zork", **more), "DeviceNotFound")
        assert "not removable" in error_of(qmp.execute(command, device="ide0-hd0", **more))
        assert "exactly one" in error_of(qmp.execute(command, **more))
        assert "exactly one" in error_of(qmp.execute(command, device="x", id="x", **more))
    qmp.run("blockdev-change-medium", device="ide1-cd0", filename=second)
    for more, text in [({"filename": f"{first}/x"}, f"{first}/x"), ({"filename": first, "format": "iso"}, "iso"),
                       ({"filename": first, "format": "qcow2"}, "qcow2"),
                       ({"filename": first, "read-only-mode": "read-write"}, "read-write")]:
        assert text in error_of(qmp.execute("blockdev-change-medium", device="ide1-cd0", **more)), more
        assert drive(qmp)["inserted"]["file"] == second, more


def check_monitor(qmp, first, second):
    assert qmp.monitor(f"change ide1-cd1 {first}") == ""
    assert drive(qmp, "ide1-cd1")["inserted"]["file"] == first
    assert qmp.monitor(f'change ide1-cd1 "{second}" raw') == ""
    assert drive(qmp, "ide1-cd1")["inserted"]["file"] == second
    assert qmp.monitor("eject -f ide1-cd1") == "" and "inserted" not in drive(qmp, "ide1-cd1")
    for line in ["eject", "eject a b", "change", "change ide1-cd1", "change a b c d", "change ide1-cd1 /missing",
                 "eject zork", "eject ide0-hd0", f"change ide1-cd1 {first} iso", 'change "', 'eject ""']:
        assert qmp.monitor(line) != "", line


with tempfile.TemporaryDirectory(prefix="doppel-media-") as scratch:
    media = make_media(scratch)
    disk = os.path.join(scratch, "disk")
    with open(disk, "wb") as file:
        file.truncate(1 << 20)
    with Guest(DOPPEL, scratch, "--engine", ENGINE, "--memory", "64M", "--kernel", GUEST, "--cdrom", media[0],
               "--cdrom", "none", "--disk", f"{disk},if=ide,format=raw") as guest:
        guest.expect("ready")
        qmp = Qmp(guest.path)
        check_change(guest, qmp, *media)
        check_lock(guest, qmp, *media)
        check_errors(qmp, *media)
        check_monitor(qmp, *media)
        qmp.run("quit")
        guest.end()
