"""What the measurements come to: medians, ratios to the bare host, a table and a picture."""

import math
import shutil
import statistics
import subprocess

CLOCK_SLACK = 0.01  # how far a guest's clock may be from the host's, beyond the markers' delay
MARKER_SECONDS = 0.05
SLICE_NS = 3e6  # what the scheduler lets a process run for at least
PEER = ("qemu", "qemu-max")  # per bench the better one counts


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def cost(bench, busy):
    """What a round costs. On a busy machine: the fastest, if rounds are short enough to go through
    undisturbed or nothing better is known, or else the part of the time that the engine had a CPU."""
    if not busy:
        return bench["ns"]
    if bench["min"] < SLICE_NS or not bench["share"]:
        return bench["min"]
    return bench["ns"] * bench["share"]


def summarise_benches(raw, busy, complaints):
    """{bench: {engine: {ns, spread, [ratio]}}}, and what is wrong."""
    benches, checksums = {}, {}
    for engine, rounds in raw.items():
        for result in rounds:
            for name, bench in result.get("benches", {}).items():
                if "failed" in bench:
                    complaints.append(f"{name} failed on {engine}")
                if "ns" not in bench:
                    continue
                benches.setdefault(name, {}).setdefault(engine, []).append(
                    cost(bench, busy))
                checksums.setdefault(name, {}).setdefault(bench["checksum"], set()).add(engine)
    for name, sums in checksums.items():
        if len(sums) > 1:
            told = "; ".join(f"{', '.join(sorted(on))}: {value}" for value, on in sums.items())
            complaints.append(f"{name}: checksums differ ({told})")
    summary = {}
    for name, on in benches.items():
        native = statistics.median(on["native"]) if "native" in on else None
        row = summary[name] = {}
        for engine, times in on.items():
            ns = statistics.median(times)
            row[engine] = {"ns": ns, "spread": (max(times) - min(times)) / ns}
            if native:
                row[engine]["ratio"] = ns / native
        peers = [row[engine] for engine in PEER if engine in row]
        if peers:
            row["qemu-best"] = min(peers, key=lambda peer: peer["ns"])
    return summary


def summarise_groups(benches):
    """Geometric means of the ratios per group, over the benches that the engine has."""
    groups = {}
    for name, row in benches.items():
        for engine, cell in row.items():
            if "ratio" in cell:
                groups.setdefault(name.split("/")[0], {}).setdefault(engine, []).append(
                    cell["ratio"])
    return {group: {engine: geometric_mean(values) for engine, values in on.items()}
            for group, on in groups.items()}


def check_clocks(raw, complaints):
    clocks = {}
    for engine, rounds in raw.items():
        for result in rounds:
            if "clock" not in result:
                continue
            off = abs(result["clock"] - 1) * result["seconds"]
            clocks.setdefault(engine, []).append(result["clock"])
            if off > MARKER_SECONDS + CLOCK_SLACK * result["seconds"]:
                complaints.append(f"{engine}: the guest's clock ran {result['clock']:.3f} times as "
                                  f"fast as the host's over {result['seconds']:.1f} s")
    return {engine: statistics.median(values) for engine, values in clocks.items()}


def summarise(raw, busy):
    complaints = []
    benches = summarise_benches(raw, busy, complaints)
    bare, boot, share = {}, {}, {}
    for engine, rounds in raw.items():
        for result in rounds:
            if "bare" in result:
                for name, ns in result["bare"]["ns"].items():
                    bare.setdefault(name, {}).setdefault(engine, []).append(ns)
            if "boot" in result:
                boot.setdefault(engine, []).append(
                    result["boot"]["seconds"] * ((busy and result["boot"]["share"]) or 1))
            for part in list(result.get("benches", {}).values()) + [result.get("boot", {})]:
                if part.get("share"):
                    share.setdefault(engine, []).append(part["share"])
    return {
        "benches": benches,
        "groups": summarise_groups(benches),
        "bare": {name: {engine: statistics.median(costs) for engine, costs in on.items()}
                 for name, on in bare.items()},
        "boot": {engine: statistics.median(times) for engine, times in boot.items()},
        "counts": {engine: rounds[-1]["boot"]["counts"] for engine, rounds in raw.items()
                   if "boot" in rounds[-1] and rounds[-1]["boot"]["counts"]},
        "clock": check_clocks(raw, complaints),
        "share": {engine: statistics.median(values) for engine, values in share.items()},
        "raw": raw,
        "complaints": complaints,
    }


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def duration(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def grid(rows):
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


def ratio_cell(row, engine):
    cell = row.get(engine)
    if not cell:
        return "-"
    text = number(cell["ratio"]) if "ratio" in cell else duration(cell["ns"])
    return f"{text} ±{cell['spread'] * 50:.0f}%"


def table(summary):
    about, text = summary["about"], []
    text.append(f"{about['cpu']}, Linux {about['kernel']}, {about['date']}: "
                f"median of {about['rounds']} rounds of {about['ms']} ms, load {about['load']:.1f}"
                + (", reckoned for a busy machine" if about["busy"] else ""))
    engines = [engine for engine in summary["raw"] if engine != "native"]
    if "qemu" in engines:
        engines.append("qemu-best")
    if summary["groups"]:
        text.append("\nTimes slower than the bare host, geometric mean of each group:\n")
        text.append(grid([["group"] + engines] + [
            [group] + [number(on[engine]) if engine in on else "-" for engine in engines]
            for group, on in summary["groups"].items()]))
    if summary["benches"]:
        text.append("\nEach bench: the bare host's time for a round, and times slower than that, "
                    "with half the spread:\n")
        text.append(grid([["bench", "native"] + engines] + [
            [name, duration(row["native"]["ns"]) if "native" in row else "-"] +
            [ratio_cell(row, engine) for engine in engines]
            for name, row in summary["benches"].items()]))
    guests = [engine for engine in engines if engine != "qemu-best"]
    if summary["bare"]:
        text.append("\nCosts on the bare machine, in nanoseconds:\n")
        text.append(grid([["cost"] + guests] + [
            [name] + [number(on[engine]) if engine in on else "-" for engine in guests]
            for name, on in summary["bare"].items()]))
    if summary["boot"]:
        text.append("\nFrom the start of the process to the first line of init: " + ", ".join(
            f"{engine} {seconds:.2f} s" for engine, seconds in summary["boot"].items()))
    if summary["clock"]:
        text.append("\nThe guest's clock over the host's: " + ", ".join(
            f"{engine} {value:.4f}" for engine, value in summary["clock"].items()))
    text.append("Share of the CPU time wanted that was had: " + ", ".join(
        f"{engine} {value:.0%}" for engine, value in summary["share"].items()))
    return "\n".join(text) + "\n"


def picture(summary, out):
    """Draws the groups' means with gnuplot, where there are any and gnuplot is installed."""
    if not summary["groups"] or not shutil.which("gnuplot"):
        return None
    engines = [engine for engine in summary["raw"] if engine not in ("native",) + PEER]
    if any(engine in summary["raw"] for engine in PEER):
        engines.append("qemu-best")
    lines = ["group " + " ".join(engines)]
    for group, on in summary["groups"].items():
        lines.append(" ".join([group] + [f"{on.get(engine, math.nan):.4g}" for engine in engines]))
    data = out / "groups.dat"
    data.write_text("\n".join(lines) + "\n")
    script = f"""
set terminal svg size 900,420 font 'sans,13'
set output '{out}/picture.svg'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.8 noborder
set boxwidth 0.9
set logscale y
set grid ytics
set key top left
set ylabel 'times slower than the bare host'
set yrange [1:*]
plot for [i=2:{len(engines) + 1}] '{data}' using i:xtic(1) title columnheader(i)
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    return "picture.svg"
