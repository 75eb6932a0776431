#include "cpu/monitor.h"

#include "cpu/interp_system.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#define MWAIT_MASKED 1u /* ECX: masked interrupts end it, too */

void monitor_was_hit(void *opaque)
{
    const struct cpu *cpu = opaque;
    if (cpu->wake.fn)
        cpu->wake.fn(cpu->wake.opaque);
}

bool monitor_ends(const struct cpu *cpu, uint32_t requests)
{
    if (cpu->halted < HALT_MWAIT)
        return false;
    return !phys_is_monitoring(cpu->phys) ||
           (cpu->halted == HALT_MWAIT_MASKED && requests & CPU_REQUEST_INTR);
}

/* Outside CPL 0 the instructions do not exist, nor in virtual-8086 mode, which is CPL 3. */
static uint64_t read_extensions(struct cpu *cpu, const struct dec_insn *insn)
{
    if (cpu->cpl != 0 || !monitor_is_enabled(cpu))
        cpu_raise(cpu, VECTOR_UD);
    return insn->mode == DEC_MODE_64 ? cpu->gpr[REG_RCX] : (uint32_t)cpu->gpr[REG_RCX];
}

void system_monitor(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    enum dec_seg seg = (enum dec_seg)insn->mem.segment;
    uint64_t offset = cpu->gpr[REG_RAX] & bytes_mask(insn->address_size);
    if (read_extensions(cpu, insn))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    mem_load(cpu, seg, offset, 1);
    gpa_t gpa;
    bool mapped = mmu_debug_translate(cpu, seg_linear(cpu, seg, offset, 1, false), &gpa);
    if (mapped && phys_monitor(cpu->phys, gpa))
        mmu_protect_code_page(cpu, gpa);
}

void system_mwait(struct cpu *cpu, const struct interp_insn *in)
{
    uint64_t extensions = read_extensions(cpu, &in->insn);
    if (extensions & ~(uint64_t)MWAIT_MASKED)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (phys_is_monitoring(cpu->phys))
        cpu->halted = extensions & MWAIT_MASKED ? HALT_MWAIT_MASKED : HALT_MWAIT;
    cpu->leave = 1;
}
