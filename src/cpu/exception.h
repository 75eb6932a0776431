/* Raising and delivering exceptions and interrupts (SDM vol. 3, chapter 6).
 *
 * A handler that meets a fault calls cpu_raise*(), which does not return: it longjmps to the run
 * loop, which delivers the exception at cpu->rip. Hence the one rule for handlers: no change of
 * guest state before the last thing that can fault. */
#ifndef DOPPEL_CPU_EXCEPTION_H
#define DOPPEL_CPU_EXCEPTION_H

#include "cpu/state.h"
#include "mmu/mmu.h"

_Noreturn void cpu_raise(struct cpu *cpu, enum vector vector);
_Noreturn void cpu_raise_error(struct cpu *cpu, enum vector vector, uint32_t error);
/* What mmu_*() returned: #PF, or #GP(0), or #SS(0) where seg is SEG_SS. */
_Noreturn void cpu_raise_memory(struct cpu *cpu, enum dec_seg seg, enum mmu_status status,
                                const struct mmu_fault *fault);
/* INT n, INT3, INTO: the frame's RIP is cpu->next_rip. */
_Noreturn void cpu_raise_software(struct cpu *cpu, uint8_t vector);
/* #DB with these bits of DR6 (SDM vol. 3, 17.2.3): a trap after the instruction, with cpu->next_rip
 * in the frame, or a fault before it. */
_Noreturn void cpu_raise_debug(struct cpu *cpu, uint64_t dr6, bool trap);

/* The instruction is not executed: the CPU waits before it for an interrupt. */
_Noreturn void cpu_freeze(struct cpu *cpu);
/* The shutdown state, without another exception. */
_Noreturn void cpu_shut_down(struct cpu *cpu);

/* How these functions go to the run loop: the value that setjmp(cpu->fault) returns. */
enum fault { FAULT_EXCEPTION = 1, FAULT_FREEZE, FAULT_SHUTDOWN };

/* Delivers cpu->pending through the IDT. A fault on the way goes to cpu->fault, like any other, and
 * then here again: it becomes #DF or shutdown as the manual's table 6-5 says. Returns false on
 * shutdown. */
bool cpu_deliver_exception(struct cpu *cpu);
/* Delivers an external interrupt or NMI (nmi_blocked is the caller's); likewise. */
void cpu_deliver_interrupt(struct cpu *cpu, uint8_t vector);

#endif
