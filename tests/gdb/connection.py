#!/usr/bin/env python3
"""Speaks gdb's protocol itself to a guest that counts for ever: start stopped, Ctrl-C, disconnects,
damaged and senseless input, kill.
Usage: connection.py DOPPEL GUEST ADDRESS, where ADDRESS is that of the guest's counter in hex."""

import os
import random
import socket
import subprocess
import sys
import tempfile
import time

doppel, engine, guest, address = sys.argv[1:]


class Peer:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        while True: # nobody listens yet, or others wait too
            try:
                self.socket.connect(path)
                break
            except (ConnectionRefusedError, BlockingIOError):
                pass
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def byte(self):
        if not self.buffer:
            self.buffer = self.socket.recv(65536)
            if not self.buffer:
                raise EOFError
        first, self.buffer = self.buffer[:1], self.buffer[1:]
        return first

    def reply(self):
        """The next packet's body; what acknowledges ours is skipped, and it is acknowledged."""
        while self.byte() != b"$":
            pass
        body = b""
        while (byte := self.byte()) != b"#":
            body += byte
        given = int(self.byte() + self.byte(), 16)
        expect(sum(body) & 0xFF, given)
        try:
            self.send(b"+")
        except BrokenPipeError:
            pass # it was the last
        return body.decode()

    def packet(self, body):
        self.send(b"$%s#%02x" % (body.encode(), sum(body.encode()) & 0xFF))

    def ask(self, body):
        self.packet(body)
        return self.reply()

    def counter(self):
        return int.from_bytes(bytes.fromhex(self.ask(f"m{address},8")), "little")

    def interrupt(self):
        self.send(b"\x03")
        expect(self.reply(), "T02thread:1;")

    def close(self):
        self.socket.close()


def expect(got, wanted):
    if got != wanted:
        raise SystemExit(f"got {got!r}, not {wanted!r}")


def start_stopped(path):
    """Who comes and goes without a word does not start the guest."""
    Peer(path).close()
    peer = Peer(path)
    expect(peer.ask("?"), "T05thread:1;")
    expect(peer.counter(), 0)
    return peer


def interrupts(peer):
    before = peer.counter()
    for _ in range(5):
        peer.packet("vCont;c:1")
        # Interrupts that come too early find nothing counted yet.
        while True:
            peer.interrupt()
            after = peer.counter()
            if after > before:
                break
            peer.packet("c")
        expect(peer.counter(), after)
        before = after


def damaged(peer):
    """Wrong sums are refused; what is asked for twice comes twice; half a packet is overtaken."""
    peer.send(b"$g#00")
    while peer.byte() != b"-":
        pass
    expect(peer.ask("qC"), "QC1")
    peer.send(b"-")
    expect(peer.reply(), "QC1")
    peer.send(b"$m0,1")
    expect(peer.ask("qC"), "QC1")
    peer.send(b"$" + 100000 * b"A" + b"#00")
    while peer.byte() != b"-":
        pass
    expect(peer.ask("QStartNoAckMode"), "OK")
    expect(peer.ask("qC"), "QC1")


def disconnects(peer, path):
    """The guest goes on when its debugger leaves, and its breakpoints leave too."""
    expect(peer.ask("Z0,%x,1" % program_counter(peer)), "OK")
    before = peer.counter()
    peer.close()
    for _ in range(1000):
        time.sleep(0.01) # let it run: each look stops it
        peer = Peer(path)
        after = peer.counter()
        if after > before + 1000:
            return peer
        peer.close()
    raise SystemExit("the guest does not go on")


def program_counter(peer):
    return int.from_bytes(bytes.fromhex(peer.ask("p10")), "little")


def senseless(path):
    """Random bytes, packets with a right sum among them, and a peer that never reads."""
    seed = int(os.environ.get("DOPPEL_SEED", random.getrandbits(32)))
    print(f"DOPPEL_SEED={seed}")
    source = random.Random(seed)
    for _ in range(30):
        peer = Peer(path)
        for _ in range(source.randrange(40)):
            if source.randrange(2):
                peer.send(source.randbytes(source.randrange(400)))
            else:
                # No writes, and no jumps (c, s with digits): the guest is to go on counting.
                first = source.choice(["?", "g", "p", "m", "Z", "z", "H", "T", "c;", "s;", "vCont;"])
                rest = "".join(source.choices("0123456789abcdef,;:=", k=source.randrange(20)))
                peer.packet(first + rest)
        peer.close()
    peer = Peer(path)
    peer.socket.setblocking(False)
    try:
        for _ in range(100000):
            peer.send(b"$g#67")
    except BlockingIOError:
        pass
    peer.close()


def main():
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "gdb")
        command = [doppel, "run", "--engine", engine, "--kernel", guest, "--memory", "64M", "--serial",
                   "none", "-S",
                   "--gdb", f"unix:{path}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            while not os.path.exists(path):
                expect(process.poll(), None)
            peer = start_stopped(path)
            interrupts(peer)
            damaged(peer)
            peer = disconnects(peer, path)
            expect(peer.ask("D"), "OK")
            senseless(path)
            peer = Peer(path)
            expect(peer.ask("?"), "T05thread:1;")
            peer.packet("k")
            expect(process.wait(timeout=60), 0)
            expect(os.path.exists(path), False)
        finally:
            process.kill()


main()
