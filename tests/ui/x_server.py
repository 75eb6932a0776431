"""An X server without a screen, and what a user does at it."""
import ctypes
import os
import shutil
import struct
import subprocess
import tempfile
import time

PATIENCE = 60


def wait_for(what, ask):
    """The first true answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.05)
    raise SystemExit(f"in vain: {what}")


class ClientMessage(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
                ("display", ctypes.c_void_p), ("window", ctypes.c_ulong),
                ("message_type", ctypes.c_ulong), ("format", ctypes.c_int),
                ("data", ctypes.c_long * 5), ("pad", ctypes.c_long * 24)]


class XServer:
    def __init__(self, width=1280, height=1024):
        self.directory = tempfile.mkdtemp(prefix="doppel-x-")
        read_end, write_end = os.pipe()
        self.server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{width}x{height}x24",
             "-nolisten", "tcp", "-fbdir", self.directory],
            pass_fds=[write_end], stderr=subprocess.DEVNULL)
        os.close(write_end)
        with os.fdopen(read_end) as file:
            number = file.readline().strip()  # all of it, or the server finds the pipe broken
        if not number:
            raise SystemExit("Xvfb does not start")
        self.name = f":{number}"
        # libdbus, which SDL loads, leaks.
        self.environment = {**os.environ, "DISPLAY": self.name, "SDL_VIDEODRIVER": "x11",
                            "ASAN_OPTIONS": "detect_leaks=0"}

    def stop(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.directory)

    def xdotool(self, *arguments):
        done = subprocess.run(["xdotool", *map(str, arguments)], env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout.strip()

    def find_window(self):
        return wait_for("a window", lambda: self.xdotool("search", "--name", "Doppel"))

    def title_of(self, window):
        return self.xdotool("getwindowname", window)

    def pixel(self, x, y):
        """Of the whole screen, 0xrrggbb; the server keeps it as an XWD file."""
        with open(f"{self.directory}/Xvfb_screen0", "rb") as file:
            data = file.read()
        header = struct.unpack(">25I", data[:100])
        pixels = header[0] + 12 * header[19]
        return struct.unpack_from("<I", data, pixels + y * header[12] + 4 * x)[0] & 0xffffff

    def close_window(self, window):
        """As a window manager does when its button is clicked."""
        x = ctypes.CDLL("libX11.so.6")
        x.XOpenDisplay.restype = ctypes.c_void_p
        x.XInternAtom.restype = ctypes.c_ulong
        display = ctypes.c_void_p(x.XOpenDisplay(self.name.encode()))
        event = ClientMessage(type=33, window=int(window), format=32,
                              message_type=x.XInternAtom(display, b"WM_PROTOCOLS", 0))
        event.data[0] = x.XInternAtom(display, b"WM_DELETE_WINDOW", 0)
        x.XSendEvent(display, ctypes.c_ulong(int(window)), 0, ctypes.c_long(0),
                     ctypes.byref(event))
        x.XCloseDisplay(display)
