#!/usr/bin/env python3
"""A guest in a window: what it shows, and what a user at the X server does to it.

Usage: window.py DOPPEL GUEST_INPUT CLIENTS; CLIENTS is the folder of client.py.
"""
import os
import subprocess
import sys
import tempfile
import threading

from x_server import XServer, wait_for

DOPPEL, GUEST, CLIENTS = sys.argv[1:]
sys.path.append(CLIENTS)
from client import Qmp  # noqa: E402

BLUE, ORANGE = 0x204060, 0xff8000


class Guest:
    """guest_input in a window; `seen` is what it says of its keyboard and mouse."""

    def __init__(self, x):
        self.directory = tempfile.TemporaryDirectory(prefix="doppel-window-")
        self.process = subprocess.Popen(
            [DOPPEL, "run", "--kernel", GUEST, "--memory", "64M", "--serial", "none", "--debugcon",
             "stdio", "--debug-exit", "--qmp", f"unix:{self.directory.name}/qmp", "--display", "sdl", "--trace=device"], env=x.environment,
            cwd=self.directory.name, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.seen = self.trace = ""
        self.readers = [threading.Thread(target=read)
                        for read in (self.read_seen, self.read_trace)]
        for reader in self.readers:
            reader.start()
        self.x = x
        wait_for("the guest", lambda: "ready" in self.seen or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise SystemExit(f"the guest is gone: {self.trace}")
        self.window = x.find_window()

    def read_seen(self):
        while some := self.process.stdout.read1():
            self.seen += some.decode()

    def read_trace(self):
        while some := self.process.stderr.read1():
            self.trace += some.decode()

    def expect(self, text):
        wait_for(f"{text!r} after {self.seen!r}", lambda: text in self.seen)
        self.seen = ""

    def expect_title(self, text):
        wait_for(f"{text!r} in the title, {self.x.title_of(self.window)!r}",
                 lambda: text in self.x.title_of(self.window))

    def end(self):
        status = self.process.wait(timeout=60)
        for reader in self.readers:
            reader.join()
        self.directory.cleanup()
        return status


def position(x, window):
    lines = x.xdotool("getwindowgeometry", "--shell", window).splitlines()
    values = dict(line.split("=") for line in lines)
    return [int(values[name]) for name in ("X", "Y", "WIDTH", "HEIGHT")]


def check_picture(x, guest):
    wait_for("a window of the mode's size", lambda: position(x, guest.window)[2:] == [640, 480])
    left, top = position(x, guest.window)[:2]
    for dx, dy, color in [(200, 100, ORANGE), (299, 199, ORANGE), (199, 100, BLUE),
                          (300, 199, BLUE), (0, 0, BLUE), (639, 479, BLUE)]:
        wait_for(f"{color:06x} at {dx}, {dy}",
                 lambda: x.pixel(left + dx, top + dy) == color)
    # Twice as wide as its height wants: black at the sides, twice as large between them.
    x.xdotool("windowmove", guest.window, 0, 0)
    x.xdotool("windowsize", guest.window, 1280, 480)
    for dx, dy, color in [(319, 0, 0), (320, 0, BLUE), (959, 479, BLUE), (960, 479, 0),
                          (520, 100, ORANGE)]:
        wait_for(f"{color:06x} at {dx}, {dy} of the wide window", lambda: x.pixel(dx, dy) == color)
    x.xdotool("windowsize", guest.window, 1280, 960)
    for dx, dy, color in [(400, 200, ORANGE), (398, 200, BLUE), (599, 399, ORANGE)]:
        wait_for(f"{color:06x} at {dx}, {dy} of the large one", lambda: x.pixel(dx, dy) == color)


def check_keys(x, guest):
    x.xdotool("windowfocus", "--sync", guest.window)
    for key, codes in [("a", "K1e K9e "), ("Return", "K1c K9c "), ("Up", "Ke0 K48 Ke0 Kc8 "),
                       ("Delete", "Ke0 K53 Ke0 Kd3 "), ("shift+z", "K2a K2c "),
                       ("Pause", "Ke1 K1d K45 Ke1 K9d Kc5 "),
                       ("Print", "Ke0 K2a Ke0 K37 Ke0 Kb7 Ke0 Kaa ")]:
        x.xdotool("key", key)
        guest.expect(codes)
    # Ctrl-Alt-D is the guest's Ctrl-Alt-Del; the D itself is not for it.
    x.xdotool("key", "ctrl+alt+d")
    guest.expect("Ke0 K53 Ke0 Kd3 ")


def check_mouse(x, guest):
    x.xdotool("mousemove", "--window", guest.window, 100, 100)
    x.xdotool("click", 1)
    guest.expect_title("Ctrl-Alt-G releases")
    guest.seen = ""
    x.xdotool("mousemove_relative", "--", 5, 3)
    guest.expect("M28 M05 Mfd M00 ")
    x.xdotool("click", 3)
    guest.expect("M0a M00 M00 M00 ")
    x.xdotool("click", 4)  # the wheel, away
    guest.expect("Mff ")
    x.xdotool("key", "ctrl+alt+g")
    wait_for("a release", lambda: "Ctrl-Alt-G" not in x.title_of(guest.window))


def check_hotkeys(x, guest):
    x.xdotool("key", "ctrl+alt+p")
    guest.expect_title("(paused)")
    x.xdotool("key", "ctrl+alt+p")
    wait_for("the guest goes on", lambda: "(paused)" not in x.title_of(guest.window))
    x.xdotool("key", "ctrl+alt+s")
    wait_for("a screenshot", lambda: any(name.endswith(".png")
                                         for name in os.listdir(guest.directory.name)))
    x.xdotool("key", "ctrl+alt+o")
    wait_for("the power button", lambda: "power button" in guest.trace)
    guest.seen = ""
    x.xdotool("key", "ctrl+alt+r")
    guest.expect("ready")


def check_control(x, guest):
    """The title tells what others do to the guest."""
    qmp = Qmp(f"{guest.directory.name}/qmp")
    qmp.run("stop")
    guest.expect_title("(paused)")
    qmp.run("cont")
    wait_for("the guest goes on", lambda: "(paused)" not in x.title_of(guest.window))
    qmp.close()


def check_focus(x, guest):
    """Keys that are down when the window loses the focus are released."""
    x.xdotool("keydown", "b")
    guest.expect("K30 ")
    x.xdotool("windowunmap", guest.window)
    guest.expect("Kb0 ")
    x.xdotool("keyup", "b")
    x.xdotool("windowmap", "--sync", guest.window)
    x.xdotool("windowfocus", "--sync", guest.window)


def check_no_display():
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run([DOPPEL, "run", "--kernel", GUEST, "--serial", "none", "--display", "sdl"],
                          env={**environment, "SDL_VIDEODRIVER": "x11"}, capture_output=True,
                          text=True, timeout=60)
    if done.returncode != 1 or "--display none" not in done.stderr:
        raise SystemExit(f"without a display: {done}")


def main():
    check_no_display()
    x = XServer()
    try:
        guest = Guest(x)
        for check in (check_picture, check_keys, check_mouse, check_hotkeys, check_control, check_focus):
            check(x, guest)
            print(f"ok: {check.__name__}", flush=True)
        x.xdotool("key", "Escape")
        if guest.end() != 33:
            raise SystemExit("Escape does not end the guest")
        guest = Guest(x)
        x.close_window(guest.window)
        wait_for("the power button", lambda: "power button" in guest.trace)
        x.close_window(guest.window)
        if guest.end() != 0:
            raise SystemExit("closing the window twice does not end the guest")
    finally:
        x.stop()
        for process in [guest.process] if "guest" in locals() else []:
            process.kill()


main()
