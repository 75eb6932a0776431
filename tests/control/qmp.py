#!/usr/bin/env python3
"""Drives a guest (tests/guest/control.S) by QMP.
Usage: qmp.py DOPPEL GUEST ENGINE"""

import os
import re
import sys
import tempfile
import time

from client import Guest, Qmp

DOPPEL, GUEST, ENGINE = sys.argv[1:]
OPTIONS = ["--engine", ENGINE, "--memory", "64M", "--kernel", GUEST]
MARK = 0x900000


def error_of(reply, kind="GenericError"):
    assert set(reply) <= {"error", "id"} and reply["error"]["class"] == kind, reply
    return reply["error"]["desc"]


def check_negotiation(guest):
    qmp = Qmp(guest.path, negotiate=False)
    assert set(qmp.greeting["QMP"]) == {"version", "capabilities"}, qmp.greeting
    assert "qmp_capabilities" in error_of(qmp.execute("query-status"), "CommandNotFound")
    assert "unexpected" in error_of(qmp.execute("qmp_capabilities", bogus=1))
    error_of(qmp.execute("qmp_capabilities", enable=["oob"]))
    assert qmp.ask({"execute": "qmp_capabilities", "id": "a"}) == {"return": {}, "id": "a"}
    assert "complete" in error_of(qmp.execute("qmp_capabilities"), "CommandNotFound")
    qmp.close()


def check_queries(qmp):
    names = {command["name"] for command in qmp.run("query-commands")}
    assert {"stop", "cont", "quit", "send-key", "query-commands"} <= names, names
    version = qmp.run("query-version")
    assert set(version) == {"qemu", "package"} and version == qmp.greeting["QMP"]["version"], version
    assert qmp.run("query-name") == {"name": "a guest"}
    assert qmp.run("query-status") == {"status": "running", "singlestep": False, "running": True}
    drive, = qmp.run("query-block")
    inserted = drive.pop("inserted")
    assert drive == {"device": "virtio0", "type": "unknown", "locked": False, "removable": False,
                     "io-status": "ok"}, drive
    assert inserted["drv"] == "raw" and inserted["ro"] is False, inserted
    assert inserted["image"] == {"filename": inserted["file"], "format": "raw", "virtual-size": 1 << 20}
    cpu, = qmp.run("query-cpus-fast")
    assert cpu["cpu-index"] == 0 and cpu["target"] == "x86_64" and cpu["thread-id"] > 0, cpu
    assert os.path.exists(f"/proc/self/../{cpu['thread-id']}"), cpu


def check_errors(qmp):
    for data, text in [
            (b'{"execute": "query-status", "arguments": []}', "'arguments' must be an object"),
            (b'{"execute": "query-status", "bogus": 1}', "'bogus' is unexpected"),
            (b'{"execute": "query-status", "arguments": {"x": 1}}', "Parameter 'x' is unexpected"),
            (b'{"execute": 5}', "'execute' must be a string"),
            (b'{}', "lacks member 'execute'"),
            (b'[1]', "must be a JSON object"),
            (b'"x"\n', "must be a JSON object"),
            (b'5\n', "must be a JSON object"),
            (b'{bad}', "JSON parse error"),
            (b'}', "JSON parse error"),
            (b']\n', "JSON parse error"),
            (b'bogus\n', "JSON parse error"),
            (b'{"execute": "stop", "execute": "stop"}', "JSON parse error"),
            (b'{"execute": "st\nop"}\n', "JSON parse error"),
            (b'\xff\xfe\x00\n', "JSON parse error"),
            (b'{"execute": "\xff"}', "JSON parse error"),
            (b'{"execute": "memsave", "arguments": {"val": 0, "size": 1}}', "'filename' is missing"),
            (b'{"execute": "memsave", "arguments": {"val": "x", "size": 1, "filename": "x"}}',
             "Invalid parameter type for 'val', expected: integer"),
            (b'[' * 1000 + b'\n', "nesting depth"),
            (b'{"a":' * 1000 + b'\n', "nesting depth"),
            (b'[' + b'1,' * 100000 + b'\n', "size limit"),
            (b'{"execute": "' + b'x' * 100000 + b'\n', "size limit")]:
        desc = error_of(qmp.ask(data))
        assert text in desc, (data[:80], desc)
        # What is left of the message answers for itself; then all is as before.
        qmp.send({"execute": "query-name", "id": text})
        while (reply := qmp.reply()).get("id") != text:
            error_of(reply)
        assert reply["return"] == {"name": "a guest"}, reply
    reply = qmp.ask({"execute": "bogus", "id": {"x": [1, None]}})
    assert reply == {"id": {"x": [1, None]}, "error": {
        "class": "CommandNotFound", "desc": "The command bogus has not been found"}}, reply


def check_pieces(qmp):
    """Messages byte by byte, over lines, and many at once."""
    for byte in b' \n{"execute":\r\n "query-name", "id": "}{\\"]["}':
        qmp.send(bytes([byte]))
    assert qmp.reply() == {"return": {"name": "a guest"}, "id": "}{\"]["}
    qmp.send(b"".join(b'{"execute":"query-status","id":%d}' % i for i in range(1000)))
    assert [qmp.reply()["id"] for _ in range(1000)] == list(range(1000))


def check_stop(guest, qmp):
    """The guest's time stands still."""
    def now():
        qmp.keys("t", hold_time=1)
        guest.expect("14")
        tsc = int(guest.line(), 16)
        guest.expect("94")
        return tsc

    before = now()
    qmp.run("stop")
    qmp.run("stop")
    stop = qmp.event("STOP")
    assert set(stop) == {"timestamp", "event"} and abs(stop["timestamp"]["seconds"] - time.time()) < 5
    assert qmp.run("query-status") == {"status": "paused", "singlestep": False, "running": False}
    first = qmp.monitor("info registers")
    qmp.keys("a", hold_time=1)  # typed when the guest's time goes on
    host = time.monotonic()
    time.sleep(1.5)
    assert qmp.monitor("info registers") == first
    stopped = time.monotonic() - host
    qmp.run("cont")
    qmp.event("RESUME")
    guest.expect("1e", "9e")
    passed = (now() - before) / 1e9
    total = time.monotonic() - host
    assert 0 < passed < total + 0.5 and (passed < stopped or total > 2 * stopped), (passed, stopped)


def check_keys(guest, qmp):
    qmp.keys("shift", "a", hold_time=1)
    guest.expect("2a", "1e", "9e", "aa")
    qmp.keys("up", hold_time=0)
    guest.expect("e0", "48", "e0", "c8")
    qmp.run("send-key", keys=[{"type": "number", "data": 0x9d}], hold_time=1)
    guest.expect("e0", "1d", "e0", "9d")
    assert qmp.monitor("sendkey ctrl-alt-0x2d 1") == ""
    guest.expect("1d", "38", "2d", "ad", "b8", "9d")
    text = "the quick brown fox"
    for letter in text:
        qmp.keys("spc" if letter == " " else letter, hold_time=1)
    codes = []
    while len(codes) < 2 * len(text):
        if len(line := guest.line()) == 2:  # no time that T has added
            codes.append(int(line, 16))
    assert [code | 0x80 for code in codes[::2]] == codes[1::2], codes
    qmp.run("send-key", keys=[])
    for keys, why in [([{"type": "qcode", "data": "zork"}], "zork"), ([{"data": "a"}], "type"), ([5], "type"),
                      ([{"type": "qcode"}], "data"), ([{"type": "number", "data": 256}], "key code"),
                      ([{"type": "qcode", "data": "a"}] * 17, "at most")]:
        assert why in error_of(qmp.execute("send-key", keys=keys)), keys
    error_of(qmp.execute("send-key", keys=[], hold_time=-1))
    for names in ["zork", "a-", "-", "", "a--b", "0x", "0x100", "-".join("a" * 17)]:
        assert qmp.monitor(f"sendkey {names}") != "", names


def check_memory(qmp, directory):
    path = os.path.join(directory, "memory")
    with open(GUEST, "rb") as file:
        program = file.read()
    qmp.run("pmemsave", val=MARK, size=8, filename=path)
    assert open(path, "rb").read() == bytes.fromhex("0100000002b0ad1b")
    at = program.index(b"power button\n\0")
    start = 0x200000 + at  # the file's first page is mapped there
    for command in ["memsave", "pmemsave"]:
        qmp.run(command, val=start, size=12, filename=path)
        assert open(path, "rb").read() == b"power button"
        qmp.run(command, val=0x100000, size=5 << 20, filename=path)
        saved = open(path, "rb").read()
        assert len(saved) == 5 << 20 and saved.startswith(b"power button", start - 0x100000)
        assert "Could not open" in error_of(qmp.execute(command, val=0, size=8, filename=f"{path}/x"))
        for address, size in [(0xfec00000, 4), (64 << 20, 1), ((64 << 20) - 8, 1 << 62), (-4096, 8)]:
            assert "Invalid addr" in error_of(
                qmp.execute(command, val=address, size=size, filename=path)), (command, address)
        error_of(qmp.execute(command, val=0, size=-1, filename=path))
    assert "cpu-index" in error_of(qmp.execute("memsave", val=0, size=8, filename=path, cpu_index=1))
    if os.path.exists("/dev/full"):
        error_of(qmp.execute("pmemsave", val=0, size=1 << 20, filename="/dev/full"))


def check_monitor(qmp):
    for line, pattern in [
            ("info status", r"VM status: running\n"),
            ("info registers", r"\nCPU#0\nRAX=[0-9a-f]{16} (?s:.*)RIP=0000000000201.*(?s:.*)CS64(?s:.*)XMM15="),
            ("info mem", r"0000000000000000-0000000100000000 0000000100000000 -rw\n"),
            ("info tlb", r"0000000000000000: 0000000000000000 --P.*W\n0000000000200000: 0000000000200000 --P"),
            ("info irq", r"IRQ statistics for isa:\n(?s:.*) 1: \d+\nIRQ statistics for msi:\n"),
            ("info pic", r"ioapic0: (?s:.*)  pin 23 (?s:.*)pic1: irr=(?s:.*)pic0: "),
            ("info pci", r"  Bus  0, device   0, function 0:\n    Host bridge: PCI device 8086:1237\n"),
            ("info jit", r"host_ns +\d+\n(?s:.*)exceptions +0\n"),
            ("info mtree", r"address-space: memory\n(?s:.*)ram(?s:.*)address-space: I/O\n(?s:.*)\n"),
            ("info", r"info irq  -- "),
            ("info bogus", r"unknown command: 'info bogus'\n"),
            ("bogus", r"unknown command: 'bogus'\n"),
            ("", r""), ("  ", r""),
            ("help", r"(?s:.*)system_reset  -- (?s:.*)xp "),
            ("help quit", r"quit\|q  -- .*\n"),
            ("x /2xw 0x900000", r"0000000000900000: 0x00000001 0x1badb002\n"),
            (" xp  /xg  0x900000 ", r"0000000000900000: 0x1badb00200000001\n"),
            ("xp/2xh 0x900000+0x10-12", r"0000000000900004: 0xb002 0x1bad\n"),
            ("xp /20xb 0x900000", r"0000000000900000: 0x01( 0x..){15}\n0000000000900010:( 0x00){4}\n"),
            ("x /2dw 0x900004", r"0000000000900004:   464367618           0\n"),
            ("x /1i 0x201000", r"0x00201000:  bc 00 00 70 00 +mov esp, 0x700000\n"),
            ("x /3i $pc", r"0x00201"), ("x $rip", r"0000000000201"), ("x $rsp", r"0000000000700000:|00000000006f"),
            ("x /4c 0x900000", r"0000000000900000: '\\x01' '\\x00' '\\x00' '\\x00'\n"),
            ("xp /2xg 0x4000000", r"0000000004000000: Cannot access memory\n"),
            ("xp /3s 0", r"invalid char in format: 's'\n"),
            ("xp", r"an address is missing"), ("xp 5 5", r"an address"), ("x $foo", r"an address"),
            ("x $", r"an address"), ("xp 1+", r"an address"), ("x /0x 0", r"")]:
        text = qmp.monitor(line)
        assert re.match(pattern + ("" if pattern and not pattern.endswith("\n") else r"\Z"), text), (line, text)
    assert len(qmp.monitor("xp /999999999xb 0").split("\n")) < 5000
    assert "cpu-index" in error_of(qmp.execute("human-monitor-command", command_line="info status",
                                               cpu_index=1))


def check_screendump(qmp, directory):
    path = os.path.join(directory, "screen")
    for command, magic in [(dict(filename=path), b"P6\n"), (dict(filename=path, format="ppm"), b"P6\n"),
                           (dict(filename=path, format="png"), b"\x89PNG\r\n")]:
        qmp.run("screendump", **command)
        assert open(path, "rb").read().startswith(magic), command
    assert "gif" in error_of(qmp.execute("screendump", filename=path, format="gif"))
    assert path in error_of(qmp.execute("screendump", filename=f"{path}/x"))
    assert qmp.monitor(f"screendump {path}.png") == ""
    assert open(f"{path}.png", "rb").read().startswith(b"\x89PNG\r\n")
    assert path in qmp.monitor(f"screendump {path}/x") and qmp.monitor("screendump") != ""


def check_slow_client(guest):
    """A client that asks and never reads holds up nobody."""
    slow = Qmp(guest.path)
    try:
        slow.socket.setblocking(False)
        for _ in range(10000):
            slow.socket.send(b'{"execute":"human-monitor-command","arguments":{"command-line":"help"}}')
    except BlockingIOError:
        pass
    time.sleep(0.2)
    slow.close()
    half = Qmp(guest.path)
    half.send(b'{"execute": "stop"')
    half.close()
    qmp = Qmp(guest.path)
    assert qmp.run("query-status")["status"] == "running"
    return qmp


def check_reset(guest, qmp):
    qmp.run("system_reset")
    assert qmp.event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    guest.expect("ready")
    qmp.run("stop")
    qmp.run("system_reset")
    assert qmp.event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    assert " RIP=" not in qmp.monitor("info registers") and qmp.run("query-status")["status"] == "paused"
    qmp.run("cont")
    guest.expect("ready")
    assert qmp.monitor("xp 0x900000") == "0000000000900000: 0x00000003\n"


def check_running(guest, directory):
    guest.expect("ready")
    check_negotiation(guest)
    qmp = Qmp(guest.path)
    check_queries(qmp)
    check_errors(qmp)
    check_pieces(qmp)
    check_memory(qmp, directory)
    check_screendump(qmp, directory)
    check_keys(guest, qmp)
    check_monitor(qmp)
    check_stop(guest, qmp)
    qmp.close()
    qmp = check_slow_client(guest)
    check_reset(guest, qmp)
    qmp.run("system_powerdown")
    qmp.event("POWERDOWN")
    guest.expect("power button")
    end = qmp.event("SHUTDOWN")
    assert end["data"] == {"guest": True, "reason": "guest-shutdown"}, end
    guest.end()


def check_start_stopped(guest):
    qmp = Qmp(guest.path)
    assert qmp.run("query-status")["status"] == "prelaunch"
    assert qmp.run("query-name") == {} and qmp.run("query-block") == []
    qmp.run("stop")
    assert qmp.monitor("info status") == "VM status: paused (prelaunch)\n"
    assert qmp.monitor("xp 0x900000") == "0000000000900000: 0x00000000\n"
    qmp.run("cont")
    qmp.event("RESUME")
    guest.expect("ready")
    qmp.run("stop")
    assert qmp.run("quit") == {}
    assert qmp.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert guest.end() == ""


def check_no_reboot(guest):
    guest.expect("ready")
    qmp = Qmp(guest.path)
    qmp.run("stop")
    qmp.run("system_reset")
    assert qmp.event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    guest.end()


with tempfile.TemporaryDirectory(prefix="doppel-qmp-") as scratch:
    disk = os.path.join(scratch, "disk") + ",format=raw,size=1M"
    with Guest(DOPPEL, scratch, "--name", "a guest", "--disk", disk, *OPTIONS) as running:
        check_running(running, scratch)
    with Guest(DOPPEL, scratch, "--start-stopped", *OPTIONS) as stopped:
        check_start_stopped(stopped)
    with Guest(DOPPEL, scratch, "--no-reboot", *OPTIONS) as ending:
        check_no_reboot(ending)
