/* System-management mode (SDM vol. 3, chapter 31), with the state save map of 64-bit CPUs (AMD's
 * APM vol. 2, 10.2.3). */
#ifndef DOPPEL_CPU_SMM_H
#define DOPPEL_CPU_SMM_H

#include "base/types.h"

struct cpu;

#define SMBASE_AT_RESET 0x30000u

/* Enters or leaves the mode: what memory the CPU sees changes with it. */
void smm_set(struct cpu *cpu, bool on);

/* Saves the state and enters the handler at SMBASE + 8000H; the CPU is not in SMM. */
void smm_enter(struct cpu *cpu);

#endif
