"""Doppel with a QMP socket, and a client of it."""

import json
import os
import socket
import subprocess
import time

SECONDS = 120  # a bound for hangs, not a measurement


class Qmp:
    """A connection; replies and events come apart."""

    def __init__(self, path, negotiate=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        end = time.monotonic() + SECONDS
        while True:  # nobody listens yet, or others wait too
            try:
                self.socket.connect(path)
                break
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)
        self.file = self.socket.makefile("rb")
        self.events = []
        self.greeting = self.message()
        if negotiate:
            self.run("qmp_capabilities")

    def close(self):
        self.file.close()
        self.socket.close()

    def message(self):
        line = self.file.readline()
        if not line:
            raise EOFError
        assert line.endswith(b"\r\n"), line
        return json.loads(line)

    def reply(self):
        while True:
            message = self.message()
            if "event" not in message:
                return message
            self.events.append(message)

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def ask(self, data):
        self.send(data)
        return self.reply()

    def execute(self, command, **arguments):
        message = {"execute": command}
        if arguments:
            message["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self.ask(message)

    def run(self, command, **arguments):
        reply = self.execute(command, **arguments)
        assert "return" in reply, (command, reply)
        return reply["return"]

    def monitor(self, line):
        text = self.run("human-monitor-command", command_line=line)
        assert "\n" not in text.replace("\r\n", ""), text
        return text.replace("\r\n", "\n")

    def event(self, name):
        """The next event of that name, and what came before it is dropped."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name:
                    return event
            message = self.message()
            assert "event" in message, message
            self.events.append(message)

    def keys(self, *names, **more):
        self.run("send-key", keys=[{"type": "qcode", "data": name} for name in names], **more)


class Guest:
    """Doppel, with its debug console as lines."""

    def __init__(self, doppel, directory, *arguments):
        self.path = os.path.join(directory, "qmp")
        self.process = subprocess.Popen(
            [doppel, "run", "--qmp", f"unix:{self.path}", "--serial", "none", "--debugcon", "stdio",
             *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def expect(self, *lines):
        for line in lines:
            got = self.line()
            assert got == line, f"the guest says {got!r} instead of {line!r}"

    def end(self, status=0):
        rest = self.process.communicate(timeout=SECONDS)[0]
        assert self.process.returncode == status, f"exit status {self.process.returncode}"
        return rest
