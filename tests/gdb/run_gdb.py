#!/usr/bin/env python3
"""Runs Debian's gdb with a script on a guest that starts stopped.
Usage: run_gdb.py DOPPEL ENGINE GUEST SCRIPT STATUS

Lines "# expect: REGEX" in the script must match lines of gdb's output, in that order. STATUS is the
exit status of doppel."""

import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

doppel, engine, guest, script, status = sys.argv[1:]


def start(path):
    command = [doppel, "run", "--engine", engine, "--kernel", guest, "--memory", "64M",
               "--serial", "none", "--debug-exit", "--gdb", f"unix:{path}", "-S"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def wait_for_listener(path, process):
    while process.poll() is None:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                return
        except (FileNotFoundError, ConnectionRefusedError):
            pass
    raise SystemExit("doppel ended before it listened")


def run_gdb(path):
    setup = ["set pagination off", "set confirm off", "set width 0", f"target remote {path}"]
    command = ["gdb", "-nx", "-batch", guest]
    for line in setup:
        command += ["-ex", line]
    done = subprocess.run(command + ["-x", script], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200)
    return done.stdout.decode(errors="replace")


def check(output):
    wanted = re.findall(r"^# expect: (.*)$", pathlib.Path(script).read_text(), re.M)
    lines = output.splitlines()
    at = 0
    for regex in wanted:
        while at < len(lines) and not re.search(regex, lines[at]):
            at += 1
        if at == len(lines):
            raise SystemExit(f"no line for {regex!r}, in this order")
    return len(wanted)


def main():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "gdb")
        guest_process = start(path)
        try:
            wait_for_listener(path, guest_process)
            output = run_gdb(path)
            print(output, end="")
            count = check(output)
            ended = guest_process.wait(timeout=60)
        finally:
            guest_process.kill()
    if ended != int(status):
        raise SystemExit(f"doppel's exit status is {ended}, not {status}")
    print(f"{count} expectations met")


main()
