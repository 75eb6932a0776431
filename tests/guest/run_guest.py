#!/usr/bin/env python3
"""Runs a guest and checks its exit status and what it writes.

Usage: run_guest.py STATUS TEXT COMMAND...        TEXT is in standard output or error
       run_guest.py --status STATUS COMMAND...
       run_guest.py --expect SOURCE COMMAND...    exit status 33, and standard output is what
                                                  SOURCE's header comment has after "expect:"
"""

import difflib
import subprocess
import sys

SUCCESS = 33


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300)
    return done.returncode, done.stdout.decode(errors="replace")


def expected_lines(source):
    with open(source) as file:
        header = file.read().split("*/")[0]
    _, found, lines = header.partition("expect:\n")
    if not found:
        raise SystemExit(f"{source}: no \"expect:\" in its header comment")
    return [line.strip().removeprefix("* ").strip() for line in lines.splitlines() if line.strip()]


def check_status(status, expected):
    if status != expected:
        raise SystemExit(f"exit status {status}, expected {expected}")


def check_lines(output, source):
    expected = expected_lines(source)
    actual = [line.strip() for line in output.splitlines()]
    if actual != expected:
        print("\n".join(difflib.unified_diff(expected, actual, "expected", "actual", lineterm="")))
        raise SystemExit("the guest's lines are not those of its header")


def main():
    if sys.argv[1] == "--expect":
        status, output = run(sys.argv[3:])
        print(output)
        check_lines(output, sys.argv[2])
        check_status(status, SUCCESS)
    elif sys.argv[1] == "--status":
        status, output = run(sys.argv[3:])
        print(output, end="")
        check_status(status, int(sys.argv[2]))
    else:
        status, output = run(sys.argv[3:])
        print(output, end="")
        check_status(status, int(sys.argv[1]))
        if sys.argv[2] not in output:
            raise SystemExit(f"{sys.argv[2]!r} is not in the output")


main()
