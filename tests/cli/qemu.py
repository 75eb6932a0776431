#!/usr/bin/env python3
"""QEMU's command line: what scripts pass works, and what is not there is refused by name.
Usage: qemu.py DOPPEL ELF_GUEST CONTROL_GUEST BOOT_SECTOR CLIENTS; ELF_GUEST says "hello" where its command
line does, CLIENTS is the folder of client.py. DOPPEL_TEST_KERNEL names Debian's kernel."""

import os
import subprocess
import sys
import tempfile
import time

DOPPEL, ELF, CONTROL, BOOT_SECTOR, CLIENTS = sys.argv[1:]
sys.path.append(CLIENTS)
from client import Qmp  # noqa: E402

LINUX, INITRD = os.environ["DOPPEL_TEST_KERNEL"], os.environ["DOPPEL_TEST_INITRD"]
SECONDS = 300  # a bound for hangs, not a measurement
EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"]
HELLO = ["-kernel", ELF, "-append", "hello", *EXIT]
failures = 0


def qemu(*arguments, command=(DOPPEL, "qemu")):
    return subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
                          text=True, errors="replace")


def check(done, status, text, *arguments):
    global failures
    if done.returncode != status or text not in done.stdout + done.stderr:
        failures += 1
        print(f"FAILED: {arguments}: status {done.returncode}, expected {status} and {text!r}\n"
              f"  out: {done.stdout[-1000:]!r}\n  err: {done.stderr[-1000:]!r}")


def runs(*arguments, status=33, text="hello from long mode"):
    check(qemu(*arguments), status, text, *arguments)


def refuses(name, *arguments):
    done = qemu("-nodefaults", *arguments)
    check(done, 1, name, *arguments)
    if done.stderr.count("\n") != 1 or done.stdout:
        check(done, -1, "one message", *arguments)


def check_command_lines(directory):
    # As kvm-unit-tests' runner has it, old and new.
    runs("-nodefaults", "-device", "pc-testdev", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4", "-vnc", "none",
         "-serial", "stdio", "-device", "pci-testdev", "-machine", "accel=tcg", "-debugcon", f"file:{directory}/kvm", "-kernel", ELF,
         "-append", "hello", "-smp", "1", text="")
    assert "hello from long mode" in open(f"{directory}/kvm").read()
    runs("--no-reboot", "-nodefaults", "-global", "kvm-pit.lost_tick_policy=discard", "-device", "pc-testdev",
         *EXIT, "-display", "none", "-debugcon", "stdio", "-machine", "accel=kvm:tcg", "-cpu", "max",
         "-kernel", ELF, "-append", "hello")
    # Options one by one.
    for more in [["-M", "pc"], ["-machine", "pc-i440fx-7.2,accel=tcg,usb=off,dump-guest-core=off"],
                 ["-accel", "kvm", "-accel", "tcg,thread=multi"], ["-m", "64"], ["-m", "64M"], ["-m", "size=1G"],
                 ["-m", "65536K"], ["-smp", "1"], ["-smp", "cpus=1,cores=1,threads=1"], ["-cpu", "qemu64"],
                 ["-cpu", "qemu64,+ssse3,-cx16"], ["-cpu", "Nehalem-v1,sse4.2=off"], ["-cpu", "host,-avx"],
                 ["-name", "guest=a,,b,debug-threads=on"], ["-net", "none"], ["-nic", "none"], ["-vga", "none"],
                 ["-vga", "std"], ["-rtc", "base=utc,driftfix=slew"], ["-no-user-config"], ["-parallel", "none"],
                 ["-monitor", "none"], ["-serial", "null"], ["-serial", "none", "-serial", "null"],
                 ["-msg", "timestamp=on"], ["-chardev", "null,id=x", "-serial", "chardev:x"],
                 ["-serial", f"file:{directory}/serial"], ["-monitor", f"unix:{directory}/m,server,nowait"],
                 ["-qmp", f"unix:{directory}/q,server=on,wait=off"], ["-gdb", f"unix:{directory}/g,server=on"],
                 ["-device", "VGA"], ["-device", "virtio-rng-pci"],
                 ["-nic", "user"], ["-nic", "user,model=virtio-net-pci,restrict=on"], ["-nic", "user,model=e1000"],
                 ["-netdev", "user,id=n", "-device", "e1000,netdev=n"], ["-vga", "none", "-device", "VGA"],
                 ["-boot", "order=dc,menu=off"], ["-boot", "c"], ["-boot", "strict=on"], ["-cdrom", ""],
                 ["-drive", "if=ide,media=cdrom,index=3"], ["-device", "ide-cd,id=cd0"],
                 ["-netdev", "user,id=n,hostname=guest", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:00:00:01"], ["-snapshot"]]:
        runs(*HELLO, "-display", "none", "-debugcon", "stdio", *more)
    runs(*HELLO, "-nodefaults", "-chardev", "stdio,id=out,mux=on", "-device", "isa-debugcon,iobase=0xe9,chardev=out")
    runs(*HELLO, "-nodefaults", "-debugcon", "stdio", "-global", "isa-debugcon.iobase=0x402", text="")
    odd = f"{directory}/a,b=c:d"
    runs(*HELLO, "-debugcon", f"file:{odd}", text="")
    assert os.path.exists(odd)
    runs(*HELLO, "-chardev", f"file,id=f,path={odd}.2".replace("a,b", "a,,b"), "-debugcon", "chardev:f", text="")
    assert os.path.exists(f"{odd}.2")
    # A disk, in all ways to say it.
    disk = ["-m", "64", *EXIT, "-debugcon", "stdio", "-display", "none", "-device", "pc-testdev"]
    runs(*disk, "-drive", f"file={BOOT_SECTOR},if=virtio,format=raw,snapshot=on,cache=none",
         text="sectors by the BIOS")
    runs(*disk, "-snapshot", "-drive", f"file={BOOT_SECTOR},if=none,id=d,format=raw", "-device",
         "virtio-blk-pci,drive=d", text="sectors by the BIOS")
    cd = f"{directory}/cd"
    with open(cd, "wb") as file:
        file.truncate(1 << 20)
    for more in [["-snapshot", "-hda", BOOT_SECTOR, "-cdrom", cd, "-boot", "order=c"],
                 ["-snapshot", "-hdd", BOOT_SECTOR, "-boot", "dc", "-cdrom", cd],
                 ["-drive", f"file={BOOT_SECTOR},format=raw,index=1,media=disk,snapshot=on"],
                 ["-drive", f"file={BOOT_SECTOR},format=raw,if=ide,bus=1,unit=1,snapshot=on"],
                 ["-drive", f"file={BOOT_SECTOR},if=none,id=d,format=raw,snapshot=on", "-drive",
                  f"file={cd},if=none,id=cd,media=cdrom,readonly=on", "-device", "ide-cd,drive=cd,bus=ide.0",
                  "-device", "ide-hd,drive=d,bus=ide.0", "-boot", "c"]]:
        runs(*disk, *more, text="sectors by the BIOS")


def check_linux(directory):
    """As CI recipes boot a kernel, by QEMU's own name."""
    link = f"{directory}/qemu-system-x86_64"
    os.symlink(os.path.abspath(DOPPEL), link)
    arguments = ["-M", "pc", "-m", "256", "-smp", "1", "-nographic", "-no-reboot", "-kernel", LINUX, "-initrd", INITRD,
                 "-append", "console=ttyS0 panic=-1 doppel.run=uname", "-net", "none"]
    check(qemu(*arguments, command=[link]), 0, "Linux version", *arguments)
    version = qemu("-version", command=[link])
    check(version, 0, "QEMU emulator version ", "-version")
    check(qemu("--help"), 0, "Usage: doppel qemu", "--help")


def check_control(directory):
    path, pidfile = f"{directory}/control", f"{directory}/pid"
    arguments = ["-kernel", CONTROL, "-m", "64", "-display", "none", "-S", "-name", "a,,b", "-daemonize", "-pidfile",
                 pidfile, "-debugcon", f"file:{directory}/debugcon", "-chardev",
                 f"socket,id=c,path={path},server=on,wait=off", "-mon", "chardev=c,mode=control"]
    check(qemu(*arguments), 0, "", *arguments)  # it returns, and the guest is there
    process = int(open(pidfile).read())
    qmp = Qmp(path)
    assert qmp.run("query-name") == {"name": "a,b"} and qmp.run("query-status")["status"] == "prelaunch"
    qmp.run("cont")
    while open(f"{directory}/debugcon").read() != "ready\n":
        time.sleep(0.01)
    qmp.run("quit")
    while os.path.exists(pidfile) or os.path.exists(f"/proc/{process}"):
        time.sleep(0.01)
    arguments = [*arguments[:-4], "-monitor", f"file:{directory}/x"]
    refuses("-monitor file:", *arguments)
    refuses("/missing", *arguments[:-2], "-S", "-monitor", f"unix:{directory}/missing/x,server=on,wait=off")
    # Nothing runs before the client that is waited for.
    waiting = subprocess.Popen([DOPPEL, "qemu", "-kernel", CONTROL, "-display", "none", "-debugcon", "stdio", "-qmp",
                                f"unix:{path},server=on"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    qmp = Qmp(path)
    assert waiting.stdout.readline() == "ready\n"
    qmp.run("quit")
    assert waiting.wait(timeout=SECONDS) == 0


def check_drives(directory):
    """What QMP says of them."""
    path = f"{directory}/drives"
    files = [f"{directory}/{name}" for name in ["one", "two", "cd"]]
    for file in files:
        with open(file, "wb") as made:
            made.truncate(1 << 20)
    guest = subprocess.Popen(
        [DOPPEL, "qemu", "-kernel", CONTROL, "-nodefaults", "-display", "none", "-S", "-qmp",
         f"unix:{path},server=on,wait=off", "-hdb", files[0], "-drive", f"file={files[1]},if=none,id=disk,format=raw,read-only=on",
         "-device", "virtio-blk-pci,drive=disk", "-drive", "if=none,id=empty,media=cdrom", "-device",
         "ide-cd,drive=empty,bus=ide.1,unit=1", "-cdrom", files[2], "-device", "ide-cd,id=spare,bus=ide.0"],
        stdin=subprocess.DEVNULL)
    qmp = Qmp(path)
    drives = {drive["device"]: (drive["removable"], drive.get("inserted", {}).get("file"))
              for drive in qmp.run("query-block")}
    assert drives == {"ide0-hd1": (False, files[0]), "disk": (False, files[1]), "empty": (True, None),
                      "ide1-cd0": (True, files[2]), "spare": (True, None)}, drives
    qmp.run("blockdev-change-medium", device="empty", filename=files[2])
    qmp.run("eject", device="ide1-cd0")
    pci = qmp.monitor("info pci")
    assert "VGA" not in pci and "Ethernet" not in pci, pci
    qmp.run("quit")
    assert guest.wait(timeout=SECONDS) == 0
    guest = subprocess.Popen([DOPPEL, "qemu", "-kernel", CONTROL, "-nodefaults", "-S", "-qmp",
                              f"unix:{path},server=on,wait=off", "-device", "VGA", "-nic", "user", "-netdev",
                              "user,id=n", "-device", "virtio-net-pci,netdev=n"], stdin=subprocess.DEVNULL)
    qmp = Qmp(path)
    pci = qmp.monitor("info pci")
    assert all(f"PCI device {card}" in pci for card in ["1234:1111", "8086:100e", "1af4:10"]), pci
    qmp.run("quit")
    assert guest.wait(timeout=SECONDS) == 0


def check_refusals():
    for arguments in [["-bogus"], ["--bogus"], ["-M", "q35"], ["-machine", "pc,bogus=1"], ["-machine", "pc,usb=on"],
                      ["-accel", "hvf"], ["-accel", "tcg,bogus=1"], ["-enable-kvm"], ["-m", ""], ["-m", "64X"],
                      ["-m", "1"], ["-m", "64,slots=2"], ["-smp", "2"], ["-smp", "1,cores=2"], ["-smp", "bogus=1"],
                      ["-cpu", "Itanium"], ["-net", "user"], ["-nic", "tap"], ["-netdev", "tap,id=n"],
                      ["-netdev", "user"], ["-nic", "user,bogus=1"], ["-device", "virtio-net-pci,netdev=n"],
                      ["-nic", "user,model=rtl8139"], ["-netdev", "user,id=n,model=e1000"],
                      ["-device", "e1000,netdev=n"], ["-device", "e1000"], ["-device", "ne2k_pci,netdev=n"],
                      ["-device", "isa-debug-exit,iobase=0x501"], ["-device", "isa-debugcon"],
                      ["-device", "virtio-blk-pci,drive=x"], ["-device", "pc-testdev,bogus=1"],
                      ["-device", "isa-debugcon,iobase=0,chardev=x"],
                      ["-drive", "file=x"], ["-drive", "if=ide"], ["-drive", "if=virtio"], ["-hda", ""], ["-hdb", "/missing/x"],
                      ["-drive", "file=x,if=floppy"], ["-drive", "file=/missing,if=pflash", "-drive", "if=pflash,unit=0,file=x"], ["-drive", "if=pflash"],
                      ["-drive", "file=x,if=pflash,unit=1"], ["-drive", "file=x,if=pflash,unit=2"],
                      ["-drive", "file=x,if=pflash,unit=1,readonly=on"], ["-drive", "file=x,if=pflash,format=qcow2"],
                      ["-drive", "file=x,if=scsi"],
                      ["-drive", "file=x,index=4"], ["-drive", "file=x,bus=2,unit=0"], ["-drive", "file=x,bus=1"],
                      ["-drive", "file=x,media=tape"], ["-drive", f"file=x,if=none,id={'i' * 32}"],
                      ["-cdrom", "/missing/x"], ["-fdb", "x"], ["-boot", "n"], ["-boot", "order=x"],
                      ["-boot", "menu=on"], ["-boot", "once=d"], ["-boot", "order=cdac"],
                      ["-device", "ide-hd"], ["-device", "ide-hd,drive=x"], ["-device", "ide-cd,drive=x"],
                      ["-device", "ide-cd,bus=scsi.0"], ["-device", "ide-cd,unit=4"], ["-device", "floppy"],
                      ["-drive", "file=x,if=virtio,format=vmdk"], ["-drive", "file=x,if=virtio,bogus=1"],
                      ["-drive", "file=x,if=virtio,index=99"], ["-drive", "file=x,if=virtio,media=cdrom"],
                      ["-drive", "file=x,if=virtio,readonly=maybe"], ["-fda", "x"],
                      ["-global", "isa-debugcon.iobase=0"], ["-global", "PIIX4_PM.disable_s3=1"], ["-vga", "cirrus"],
                      ["-display", "gtk"], ["-vnc", ":1"], ["-serial", "pty"], ["-serial", "telnet:localhost:1"],
                      ["-serial", "unix:x"], ["-serial", "unix:x,server=on"], ["-serial", "tcp::1,server=on,wait=off"],
                      ["-serial", "chardev:x"], ["-serial", "none", "-serial", "stdio"], ["-chardev", "stdio"],
                      ["-chardev", "pty,id=x"], ["-chardev", "file,id=x"], ["-chardev", "socket,id=x,path=y"],
                      ["-chardev", "socket,id=x,server=on"], ["-mon", "mode=control"], ["-mon", "chardev=x,mode=y"],
                      ["-qmp", "tcp:8.8.8.8:1,server=on,wait=off"], ["-gdb", "tcp:8.8.8.8:1"], ["-gdb", "udp::1"],
                      ["-rtc", "base=localtime"], ["-daemonize", "-serial", "stdio"], ["-S"], ["-kernel"], ["image"]]:
        named = "--start-stopped" if arguments == ["-S"] else arguments[0]
        refuses(named, *([] if named == "-kernel" else ["-kernel", ELF]), *arguments)
    refuses("has no file", "-kernel", ELF, "-drive", "if=none,id=d", "-device", "ide-hd,drive=d")
    refuses("another drive", "-kernel", ELF, "-drive", "if=none,id=d", "-drive", "if=none,id=d")
    refuses("taken", "-kernel", ELF, "-cdrom", "", "-device", "ide-cd,bus=ide.1,unit=0")
    refuses("--display sdl", "-kernel", ELF, "-display", "sdl", "-vga", "none")
    refuses("+bogus", "-kernel", ELF, "-cpu", "max,+bogus")
    refuses("-fpu", "-kernel", ELF, "-cpu", "max,-fpu")


with tempfile.TemporaryDirectory(prefix="doppel-qemu-") as scratch:
    check_refusals()
    check_command_lines(scratch)
    check_control(scratch)
    check_drives(scratch)
    check_linux(scratch)
if failures:
    raise SystemExit(f"{failures} failures")
