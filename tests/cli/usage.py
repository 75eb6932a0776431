#!/usr/bin/env python3
"""Checks that every bad command line and every bad file ends with exit status 1 and one message that
names the option or the file, and that the help texts are complete.
Usage: usage.py DOPPEL ELF_KERNEL OPTIONS_C; DOPPEL_TEST_KERNEL names Debian's kernel."""

import os
import re
import socket
import subprocess
import sys
import tempfile

DOPPEL, ELF, OPTIONS_C = sys.argv[1:]
LINUX = os.environ["DOPPEL_TEST_KERNEL"]
SECONDS = 120  # a bound for a hang, not a measurement
failures = 0


def fail(what, done):
    global failures
    failures += 1
    print(f"FAILED: {what}: exit status {done.returncode}\n  out: {done.stdout[-400:]!r}\n"
          f"  err: {done.stderr[-1000:]!r}")


def doppel(*arguments):
    return subprocess.run([DOPPEL, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=SECONDS, text=True, errors="replace")


def refuses(names, *arguments):
    """Exit status 1 and one line on standard error that names each of names."""
    done = doppel(*arguments)
    message = done.stderr
    sound = (done.returncode == 1 and message.startswith("doppel: ") and message.count("\n") == 1
             and done.stdout == "" and all(name in message for name in names))
    if sound:
        print(f"ok: {message.rstrip()}")
    else:
        fail(f"doppel {' '.join(arguments)} should name {names}", done)


def run_refuses(names, *arguments, kernel=ELF):
    refuses(names, "run", "--kernel", kernel, "--serial", "none", *arguments)


def check_command_lines():
    refuses(["command"])
    refuses(["bogus"], "bogus")
    refuses(["--bogus"], "--bogus")
    refuses(["--kernel", "--firmware"], "run")
    refuses(["--firmware", "--kernel"], "run", "--kernel", ELF, "--firmware", "bios")
    refuses(["--initrd"], "run", "--firmware", "bios", "--initrd", ELF)
    refuses(["--append"], "run", "--firmware", "bios", "--append", "quiet")
    for order in ["tape", "", "disk,tape", "disk,,cdrom"]:
        refuses(["--boot", order], "run", "--firmware", "bios", "--boot", order)
    refuses(["--disk", "missing.img"], "run", "--firmware", "bios", "--disk", "missing.img")
    refuses(["--disk", "speed", "snapshot"], "run", "--kernel", ELF, "--disk", f"{ELF},speed=1")
    refuses(["cosim", "--disk"], "run", "--kernel", ELF, "--engine", "cosim", "--disk", ELF)
    refuses(["--firmware", ELF, "64 KiB"], "run", "--firmware", ELF, "--serial", "none")
    for port in ["", "0", "port", "65536", "-1", "0x402x"]:
        run_refuses(["--debugcon-port", port], "--debugcon-port", port)
    refuses(["--bogus"], "run", "--bogus")
    refuses(["-z"], "run", "-z")
    refuses(["--kernel"], "run", "--kernel")
    refuses(["extra"], "run", "--kernel", ELF, "extra")
    run_refuses(["--no-reboot"], "--no-reboot=1")
    for option, value in [("--cpus", "2"), ("--cpus", ""), ("--engine", "magic"),
                          ("--display", "gtk"), ("--vga", "cirrus"), ("--vga", ""),
                          ("--net", "tap"), ("--net", ""), ("--rng", "yes"), ("--rng", ""),
                          ("--cpu", "pentium"), ("--cpu", "")]:
        run_refuses([option, value], option, value)
    for option in ["--qmp", "--monitor"]:
        for target in ["", "bogus", "unix:", "tcp:", "tcp:0", "tcp:65536", "tcp:-1", "tcp:8.8.8.8:1", "stdio:"]:
            run_refuses([option, target], option, target)
        refuses([option, "--serial", "stdio"], "run", "--kernel", ELF, option, "stdio")
    run_refuses(["--monitor", "--serial stdio"], "--monitor", "serial")
    run_refuses(["--monitor", "--qmp", "stdio"], "--monitor", "stdio", "--qmp", "stdio")
    run_refuses(["--start-stopped", "--gdb", "--qmp"], "-S")
    run_refuses(["--net", "hostfwd=tcp::1-2"], "--net", "user,hostfwd=tcp::1-2")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run_refuses(["--net user", f"hostfwd=tcp:127.0.0.1:{port}", "in use"], "--net", f"user,hostfwd=tcp::{port}-:22")
    run_refuses(["--engine cosim", "--net"], "--engine", "cosim", "--net", "user")
    run_refuses(["--engine cosim", "--gdb"], "--engine", "cosim", "--gdb", "tcp:1")
    for spec in ["", "bogus", "stdio:", "none:x", "file", "file:", "unix", "unix:", "stdi"]:
        refuses([f"--serial {spec}: "], "run", "--kernel", ELF, "--serial", spec)
        run_refuses([f"--debugcon {spec}: "], "--debugcon", spec)
    refuses(["--debugcon", "stdio"], "run", "--kernel", ELF, "--debugcon", "stdio")


def check_memory():
    for size in ["", "0", "0M", "1K", "1M", "3M", "-5", "-64M", " -64M", "12X", "64MB", "64.5M", "M",
                 "0x40M", "4194305", "10000G", "17179869183G", "17179869184G", "18446744073709551615",
                 "18446744073709551616", "99999999999999999999G"]:
        run_refuses(["--memory", size], "--memory", size)
    for size in ["", "0", "-1M", "512K", "1023K", "1.5M", "1537K", "1025M", "2G", "99999999999G"]:
        run_refuses(["--code-cache", size], "--code-cache", size)
    # All of the host's memory, which is more than is free: the guest only touches what it uses.
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    done = doppel("run", "--kernel", ELF, "--serial", "none", "--memory", f"{host}M")
    if done.returncode == 0 or (done.returncode == 1 and "memory" in done.stderr):
        print(f"ok: --memory {host}M: exit status {done.returncode} {done.stderr.rstrip()}")
    else:
        fail(f"--memory {host}M", done)


def check_trace_and_stats(directory):
    run_refuses(["--trace", "bogus"], "--trace=bogus")
    run_refuses(["--trace", "bogus"], "--trace=insn,bogus,msr")
    run_refuses(["--trace-file"], "--trace-file", f"{directory}/trace")
    run_refuses(["--trace", "insn"], "--trace=")
    for path in [f"{directory}/missing/file", directory, ""]:
        run_refuses(["--trace-file", path], "--trace=msr", "--trace-file", path)
        run_refuses(["--stats", path], f"--stats={path}")
        refuses(["--serial", path], "run", "--kernel", ELF, "--serial", f"file:{path}")
        refuses(["--serial", path], "run", "--kernel", ELF, "--serial", f"unix:{path}")
    if os.path.exists("/dev/full"):
        run_refuses(["--stats", "/dev/full"], "--stats=/dev/full")
        run_refuses(["--trace-file", "/dev/full"], "--trace=exception,port", "--trace-file",
                    "/dev/full")


def check_special_files(directory):
    """What is not there, empty, no file, unreadable, or no kernel."""
    def path(name, contents=b""):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(contents)
        return file.name

    os.mkfifo(f"{directory}/fifo")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{directory}/socket")
    secret = path("secret", b"secret")
    os.chmod(secret, 0)
    bad = [f"{directory}/missing", "", directory, f"{directory}/fifo", f"{directory}/socket",
           "/dev/null", path("empty"), f"{ELF}/below"]
    if os.geteuid() != 0:
        bad.append(secret)
    for file in bad:
        run_refuses(["--kernel", file], kernel=file)
        run_refuses(["--initrd", file], "--initrd", file)
    for contents in [b"text\n", b"\x7fELF", b"\x7fELF" + b"\xff" * 100, b"\0" * 5000,
                     b"\x7fELF\x02\x01\x01" + bytes(57), b"MZ" + bytes(0x200) + b"HdrS" + bytes(99)]:
        run_refuses(["--kernel", "/foreign"], kernel=path("foreign", contents))
    listener.close()


def check_cut_files(directory):
    """Kernels cut off, and what does not fit into memory."""
    for name, original, cuts in [("elf", ELF, [1, 4, 15, 16, 40, 63, 64, 100, 500, 4096]),
                                 ("bzimage", LINUX, [2, 0x1f1, 0x202, 0x210, 0x264, 0x28f, 0x290,
                                                     512, 1024, 4096, 100000, 4000000])]:
        with open(original, "rb") as file:
            contents = file.read()
        for size in cuts:
            cut = f"{directory}/cut-{name}-{size}"
            with open(cut, "wb") as file:
                file.write(contents[:size])
            run_refuses(["--kernel", cut], kernel=cut)
    run_refuses(["--kernel", "--memory"], "--memory", "4M", kernel=LINUX)
    big = f"{directory}/big"
    with open(big, "wb") as file:
        file.truncate(60 << 20)
    run_refuses(["--initrd", big, "--memory"], "--memory", "80M", "--initrd", big, kernel=LINUX)
    run_refuses(["--append"], "--append", "x" * 100000)


def check_help():
    done = doppel("--version")
    if done.returncode or not re.fullmatch(r"doppel \d+\.\d+\.\d+\n", done.stdout) or done.stderr:
        fail("--version", done)
    for arguments in [["--help"], ["-h"], ["run", "--help"], ["run", "--help", "--memory", "4M"]]:
        done = doppel(*arguments)
        if done.returncode or not done.stdout.startswith("Usage: doppel ") or done.stderr:
            fail(" ".join(arguments), done)
        for line in done.stdout.split("\n"):
            if len(line) > 90:
                fail(f"a long line: {line}", done)
    commands = doppel("--help").stdout
    if not re.search(r"^  run +\S", commands, re.M):
        fail("--help lists no commands", doppel("--help"))
    # Every option is in the help text, and shows a value where it takes one.
    text = doppel("run", "--help").stdout
    with open(OPTIONS_C) as file:
        options = re.findall(r'\{"([a-z-]+)", (no|required|optional)_argument', file.read())
    for option, argument in options:
        value = {"no": r"  ", "required": r"[ =][A-Za-z0-9]+ ", "optional": r"\[=[A-Z]+\] "}[argument]
        if not re.search(f"^  --{option}{value}", text, re.M):
            fail(f"--{option} is not in the help text", doppel("run", "--help"))
    listed = re.findall(r"^  --([a-z-]+)", text, re.M)
    if not options or sorted(listed) != sorted(option for option, _ in options):
        fail("the help text has other options", doppel("run", "--help"))
    print(f"ok: help lists {len(listed)} options")

with tempfile.TemporaryDirectory(prefix="doppel-cli-") as scratch:
    check_command_lines()
    check_memory()
    check_trace_and_stats(scratch)
    check_special_files(scratch)
    check_cut_files(scratch)
    check_help()
if failures:
    raise SystemExit(f"{failures} failures")
