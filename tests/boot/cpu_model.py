#!/usr/bin/env python3
"""Boots with a CPU model and compares what Linux found with what the model is, and what Linux does about
the CPU's flaws and clock. Usage: cpu_model.py DOPPEL v1|v2|v3|host"""

import re
import sys

from guest import BOOT_SECONDS, Guest, expect

# The levels of the x86-64 psABI, by Linux's names.
LEVELS = {
    "v1": "cmov cx8 fpu fxsr mmx syscall sse sse2 lm nx",
    "v2": "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3",
    "v3": "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave",
}
MITIGATIONS = ("Not affected", "Mitigation: Enhanced / Automatic IBRS", "Mitigation: Enhanced IBRS",
               "Mitigation: usercopy/swapgs barriers and __user pointer sanitization")


def check_flags(model, flags):
    levels = list(LEVELS)
    top = len(levels) if model == "host" else levels.index(model) + 1
    for level in levels[:top]:
        missing = set(LEVELS[level].split()) - flags
        if model != "host":
            expect(f"every flag of {level}", not missing, missing)
    for level in levels[top:]:
        extra = set(LEVELS[level].split()) & flags
        expect(f"no flag of {level}", not extra, extra)
    expect("no virtualization", not flags & {"vmx", "svm"}, flags & {"vmx", "svm"})
    expect("a constant TSC", {"tsc", "constant_tsc", "tsc_deadline_timer"} <= flags, flags)


def check_mitigations(text):
    states = re.findall(r"vulnerability (\S+): (.*)", text)
    expect("Linux tells of vulnerabilities", len(states) >= 10, states)
    bad = [state for state in states if not state[1].startswith(MITIGATIONS) or
           "Vulnerable" in state[1] or "etpoline" in state[1]]
    expect("nothing is vulnerable or mitigated at a cost", not bad, bad)
    expect("no page-table isolation", "page tables isolation: enabled" not in text, text)


def main():
    doppel, model = sys.argv[1:]
    with Guest(doppel, "cloud", "doppel.run=cpu", ["--cpu", model]) as guest:
        text = guest.read_text(rb"\ncpu: done", BOOT_SECONDS)
        guest.end("power-off")
    check_flags(model, set(re.search(r"\nflags\s*: (.*)", text).group(1).split()))
    check_mitigations(text)
    expect("the clocksource is the TSC", "\nclocksource: tsc\n" in text, text[-2000:])
    expect("the timer is the TSC's deadline", "\ntimer: lapic-deadline\n" in text, text[-2000:])
    expect("the TSC's rate is told, not measured", "calibrat" not in
           text.split("\nflags")[1].replace("Calibrating delay loop (skipped)", ""), text[-2000:])


main()
