"""What runs the guest programs: the bare host, Doppel's engines, QEMU."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

LINE = re.compile(r"bench (\S+) rounds=(\d+) ns=(\d+) min=(\d+) checksum=([0-9a-f]+)")
OTHER = re.compile(r"bench (\S+) (skipped|failed)")
CLOCK = re.compile(r"clock (\d+)")
BARE = re.compile(r"bare (\S+) cycles=(\d+) ns=(\d+)\.(\d+)")
HANG_SECONDS = 1800  # a bound for a hang, not a measurement
MEMORY = "512M"


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


class Builds:
    """The programs: built if wanted, and the guest's kernel and initramfs."""

    def __init__(self, root, folder, build):
        self.folder = folder
        if not (folder / "CMakeCache.txt").exists():
            subprocess.run(["cmake", "--preset", "release", "-B", folder], cwd=root, check=True,
                           stdout=subprocess.DEVNULL)
        if build:
            subprocess.run(["cmake", "--build", folder, "--target", "doppel", "bench_guest",
                            "bench_bare"], check=True, stdout=subprocess.DEVNULL)
        self.doppel = folder / "src/cli/doppel"
        self.program = folder / "bench/guest/bench_guest"
        self.bare = folder / "bench/guest/bare/bench_bare"
        lines = subprocess.run(
            ["sh", "-euc", '. tools/guest; echo "$kernel"; echo "$cache/busybox-static/bin/busybox"'],
            cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
        self.kernel, self.busybox = lines[-3:-1]
        self.initrd = folder / "bench/initramfs.gz"
        subprocess.run([root / "tools/mkinitramfs", self.initrd, self.busybox, "--", self.program],
                       check=True)


class Share:
    """How much of the time that a process wanted a CPU it had one: below 1 on a busy machine. Its
    busiest thread counts, as that is the vCPU's; a process's children do not."""

    def __init__(self, pid):
        self.pid = pid
        self.before = {}

    def sample(self):
        """The share since the last sample, or None when there is nothing to tell."""
        best, share = 0, None
        try:
            for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
                ran, waited = map(int, (task / "schedstat").read_text().split()[:2])
                ran_before, waited_before = self.before.get(task.name, (0, 0))
                self.before[task.name] = (ran, waited)
                ran, waited = ran - ran_before, waited - waited_before
                if ran > best:
                    best, share = ran, ran / (ran + waited)
        except (OSError, ValueError):
            pass
        return share


def watch(command, take, stdin=subprocess.DEVNULL):
    """Runs a command and gives each line of its output, with the time it came and the share of the
    CPU that it had since the last one, to `take`. Returns the exit status and the last lines."""
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
    share, last, deadline = Share(process.pid), [], time.monotonic() + HANG_SECONDS
    try:
        for line in process.stdout:
            take(line.strip(), time.monotonic(), share.sample())
            last = (last + [line])[-20:]
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: {command[0]} did not end in {HANG_SECONDS} s")
        status = process.wait(60)
    finally:
        process.kill()
    return status, "".join(last)


class Engine:
    guest = True

    def __init__(self, name, builds):
        self.name = name
        self.builds = builds

    def parse_programs(self, command, good):
        """One round of the guest programs: what each gave, and the guest's clock over the host's."""
        result, clocks = {"benches": {}}, []

        def take(line, when, share):
            if match := LINE.search(line):
                result["benches"][match[1]] = {
                    "rounds": int(match[2]), "ns": int(match[3]), "min": int(match[4]),
                    "checksum": match[5], "share": share if self.guest else None}
            elif match := OTHER.search(line):
                result["benches"][match[1]] = {match[2]: True}
            elif match := CLOCK.search(line):
                clocks.append((int(match[1]) / 1e9, when))

        status, last = watch(command, take)
        if status not in good or len(clocks) != 2:
            raise SystemExit(f"bench: {self.name} ended with status {status}:\n{last}")
        result["seconds"] = clocks[1][1] - clocks[0][1]
        result["clock"] = (clocks[1][0] - clocks[0][0]) / result["seconds"]
        return result

    def append(self, rest):
        return f"console=ttyS0 quiet loglevel=1 panic=-1 {rest}"

    def run_programs(self, arguments):
        words = ",".join(arguments)
        return self.parse_programs(
            self.boot_command(self.append(f"doppel.run=bench_guest doppel.args={words}")), [0])

    def run_boot(self):
        """Seconds from the start of the process to the first line of init."""
        seen = []
        begin = time.monotonic()

        def take(line, when, share):
            if CLOCK.search(line):
                seen.append({"seconds": when - begin, "share": share})

        with tempfile.TemporaryDirectory() as folder:
            stats = pathlib.Path(folder) / "stats.json"
            command = self.boot_command(self.append("rdinit=/bin/bench_guest -- boot"), stats)
            status, last = watch(command, take)
            if not seen:
                raise SystemExit(f"bench: {self.name} did not boot (status {status}):\n{last}")
            counts = json.loads(stats.read_text()) if stats.exists() else {}
        return seen[0] | {"counts": counts}

    def run_bare(self):
        """The bare-metal guest's costs in nanoseconds."""
        costs = {}

        def take(line, _when, _share):
            if match := BARE.search(line):
                costs[match[1]] = float(f"{match[3]}.{match[4]}")

        status, last = watch(self.bare_command(), take)
        if status != 33:
            raise SystemExit(f"bench: bench_bare on {self.name}: status {status}:\n{last}")
        return {"ns": costs}


class Native(Engine):
    guest = False

    def run_programs(self, arguments):
        return self.parse_programs(
            [str(self.builds.program), "--busybox", self.builds.busybox] + arguments, [0, 1])


class Doppel(Engine):
    def __init__(self, name, builds, without):
        super().__init__(name, builds)
        self.command = [str(builds.doppel), "run", "--engine", name, "--memory", MEMORY]
        self.command += [f"--without={option}" for option in without]

    def boot_command(self, append, stats=None):
        return self.command + ["--kernel", self.builds.kernel, "--initrd", str(self.builds.initrd),
                               "--append", append] + ([f"--stats={stats}"] if stats else [])

    def bare_command(self):
        return self.command + ["--kernel", str(self.builds.bare), "--serial", "none",
                               "--debugcon", "stdio", "--debug-exit"]


class Qemu(Engine):
    def __init__(self, name, builds, cpu):
        super().__init__(name, builds)
        self.command = ["qemu-system-x86_64", "-accel", "tcg", "-m", MEMORY, "-display", "none",
                        "-monitor", "none", "-nic", "none", "-no-reboot", "-nodefaults"]
        self.command += ["-cpu", cpu] if cpu else []

    def boot_command(self, append, _stats=None):
        return self.command + ["-serial", "stdio", "-kernel", self.builds.kernel, "-initrd",
                               str(self.builds.initrd), "-append", append]

    def bare_command(self):
        return self.command + ["-kernel", str(self.builds.bare), "-serial", "none", "-debugcon",
                               "stdio", "-device", "isa-debug-exit,iobase=0xf4"]


def choose(names, builds, without):
    chosen = []
    for name in names:
        if name == "native":
            chosen.append(Native(name, builds))
        elif name == "qemu":
            chosen.append(Qemu("qemu", builds, None))
            chosen.append(Qemu("qemu-max", builds, "max"))
        else:
            chosen.append(Doppel(name, builds, without))
    return chosen
