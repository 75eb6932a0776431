/* What a person is shown of a guest: where it died, and its counters. */
#ifndef DOPPEL_MACHINE_REPORT_H
#define DOPPEL_MACHINE_REPORT_H

#include "cpu/cpu.h"

#include <stdio.h>

/* Registers, the code around RIP and the functions' names if the kernel is an ELF file with
 * symbols. The vCPU's thread has ended. */
void report_death(struct cpu *cpu, const char *kernel, FILE *out);

/* The counters, as a table or as JSON; host_ns is how long the guest ran. */
void report_stats(const struct cpu *cpu, uint64_t host_ns, FILE *out, bool json);

#endif
