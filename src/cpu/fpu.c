#include "cpu/fpu.h"

#include "bus/bus.h"

static void drive_ferr(struct cpu *cpu, bool asserted)
{
    if (cpu->ferr_asserted == asserted)
        return;
    cpu->ferr_asserted = asserted;
    bus_lock(cpu->bus);
    irq_set(&cpu->ferr, asserted);
    bus_unlock(cpu->bus);
    fpu_update_mode(cpu);
}

/* SDM vol. 1, 8.7.2 and appendix D: the PC's way of reporting by IRQ 13. */
void fpu_report(struct cpu *cpu)
{
    bool pending = fpu_pending(&cpu->fx);
    if (pending && cpu->cr0 & CR0_NE)
        cpu_raise(cpu, VECTOR_MF);
    if (!cpu->ferr.set)
        return;
    drive_ferr(cpu, pending);
    if (pending && !cpu->ignne)
        cpu_freeze(cpu);
}
