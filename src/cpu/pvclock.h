/* KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86: cpuid.rst, msr.rst), the one feature
 * of KVM's that is offered: CPUID 40000100 says KVM, 40000101 what there is of it.
 *
 * Its page tells how to make the guest's time of the TSC. Here the TSC counts that time's
 * nanoseconds, so that the page changes only when the guest writes the TSC, and after a stop. */
#ifndef DOPPEL_CPU_PVCLOCK_H
#define DOPPEL_CPU_PVCLOCK_H

#include "base/types.h"

struct cpu;

#define MSR_PVCLOCK_WALL_CLOCK 0x4b564d00u
#define MSR_PVCLOCK_SYSTEM_TIME 0x4b564d01u

/* WRMSR: the guest-physical address of the wall clock, which is written at once; and that of the
 * page, with bit 0 to turn it on. False: #GP(0). vCPU's thread. */
bool pvclock_write_wall_clock(struct cpu *cpu, uint64_t value);
bool pvclock_write_system_time(struct cpu *cpu, uint64_t value);

/* The TSC has been written: the page is to say so, if there is one. vCPU's thread. */
void pvclock_update(struct cpu *cpu);

#endif
