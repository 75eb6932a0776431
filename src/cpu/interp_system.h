/* Handlers of the system family, by file, and how they reach operands. */
#ifndef DOPPEL_CPU_INTERP_SYSTEM_H
#define DOPPEL_CPU_INTERP_SYSTEM_H

#include "cpu/access.h"
#include "cpu/interp.h"

/* far.c, return.c, syscall.c */
interp_handler system_jmp_far, system_call_far;
interp_handler system_ret_far, system_iret;
interp_handler system_syscall, system_sysret, system_sysenter, system_sysexit;

/* interp_flags.c */
interp_handler system_pushf, system_popf, system_cli, system_sti, system_clac, system_stac;
interp_handler system_int, system_int1, system_int3, system_into;

/* monitor.c */
interp_handler system_monitor, system_mwait;

/* smm.c */
interp_handler system_rsm;

/* interp_segment.c */
interp_handler system_mov_seg, system_load_far_pointer;
interp_handler system_lgdt, system_lidt, system_sgdt, system_sidt;
interp_handler system_lldt, system_ltr, system_sldt, system_str;
interp_handler system_lar, system_lsl, system_verr, system_verw, system_arpl;

/* interp_io.c */
interp_handler system_in, system_out, system_ins, system_outs;

/* The register or memory operand i. */
static inline uint64_t system_read(struct cpu *cpu, const struct dec_insn *insn, unsigned i)
{
    const struct dec_operand *operand = &insn->operand[i];
    if (operand->kind == DEC_OPERAND_MEM)
        return mem_load(cpu, insn->mem.segment, cpu_effective_address(cpu, insn), operand->size);
    return cpu->gpr[operand->reg] & bytes_mask(operand->size);
}

/* A write of size bytes to a general register: 4 bytes clear the upper half. */
static inline void system_write_gpr(struct cpu *cpu, unsigned reg, uint64_t value, unsigned size)
{
    uint64_t mask = bytes_mask(size);
    uint64_t kept = size >= 4 ? 0 : cpu->gpr[reg] & ~mask;
    cpu->gpr[reg] = kept | (value & mask);
}

static inline void system_write(struct cpu *cpu, const struct dec_insn *insn, unsigned i,
                                uint64_t value)
{
    const struct dec_operand *operand = &insn->operand[i];
    if (operand->kind == DEC_OPERAND_MEM)
        mem_store(cpu, insn->mem.segment, cpu_effective_address(cpu, insn), value, operand->size);
    else
        system_write_gpr(cpu, operand->reg, value, operand->size);
}

#endif
