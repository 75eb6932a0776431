/* Raising exceptions: leave what happened in cpu->pending and go to the run loop. */
#include "cpu/exception.h"

#include "cpu/breakpoint.h"

static _Noreturn void raise_exception(struct cpu *cpu, struct exception exception)
{
    cpu->pending = exception;
    longjmp(cpu->fault, FAULT_EXCEPTION);
}

void cpu_raise(struct cpu *cpu, enum vector vector)
{
    raise_exception(cpu, (struct exception){.vector = (uint8_t)vector});
}

void cpu_raise_error(struct cpu *cpu, enum vector vector, uint32_t error)
{
    raise_exception(
        cpu, (struct exception){.vector = (uint8_t)vector, .has_error = true, .error = error});
}

void cpu_raise_memory(struct cpu *cpu, enum dec_seg seg, enum mmu_status status,
                      const struct mmu_fault *fault)
{
    if (status == MMU_NON_CANONICAL)
        cpu_raise_error(cpu, seg == SEG_SS ? VECTOR_SS : VECTOR_GP, 0);
    raise_exception(cpu, (struct exception){.vector = VECTOR_PF,
                                            .has_error = true,
                                            .error = fault->error,
                                            .cr2 = fault->address});
}

void cpu_raise_software(struct cpu *cpu, uint8_t vector)
{
    raise_exception(cpu, (struct exception){.vector = vector, .software = true});
}

void cpu_raise_debug(struct cpu *cpu, uint64_t dr6, bool trap)
{
    uint64_t hits = dr6 & DR6_HITS;
    if (dr6) /* not INT1 */
        cpu->dr[6] = (cpu->dr[6] & ~DR6_HITS) | (dr6 & DR6_WRITABLE);
    cpu->dr[7] &= ~DR7_GD; /* so that the handler can use the debug registers */
    raise_exception(
        cpu, (struct exception){.vector = VECTOR_DB, .trap = trap, .keeps_rf = hits && !trap});
}

void cpu_freeze(struct cpu *cpu)
{
    longjmp(cpu->fault, FAULT_FREEZE);
}

void cpu_shut_down(struct cpu *cpu)
{
    longjmp(cpu->fault, FAULT_SHUTDOWN);
}
