/* MONITOR and MWAIT (doc/cpu.md). */
#ifndef DOPPEL_CPU_MONITOR_H
#define DOPPEL_CPU_MONITOR_H

#include "cpu/cpu.h"
#include "cpu/msr.h"

/* Whether CPUID offers them now. */
static inline bool monitor_is_enabled(const struct cpu *cpu)
{
    return cpu->msr.misc_enable & MISC_ENABLE_MONITOR;
}

/* Whether MWAIT, if the CPU is in it, is over without an event that is delivered. */
bool monitor_ends(const struct cpu *cpu, uint32_t requests);

/* The listener of cpu->phys; opaque is the CPU. */
void monitor_was_hit(void *opaque);

#endif
