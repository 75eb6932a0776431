#!/usr/bin/env python3
"""Runs a guest and checks its exit status and what it writes.
Usage: run_guest.py STATUS TEXT COMMAND...; TEXT is searched in standard output and error."""

import subprocess
import sys

status, text, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, timeout=300)
output = done.stdout.decode(errors="replace")
print(output, end="")
if done.returncode != status:
    raise SystemExit(f"exit status {done.returncode}, expected {status}")
if text not in output:
    raise SystemExit(f"{text!r} is not in the output")
