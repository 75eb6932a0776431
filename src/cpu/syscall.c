/* SYSCALL, SYSRET, SYSENTER, SYSEXIT: flat segments without reading descriptors (SDM vol. 3, 5.8.7
 * and 5.8.8). */
#include "cpu/far.h"
#include "cpu/interp_system.h"

#define SYSRET_FLAGS 0x3c7fd7ull /* R11 bits that SYSRET loads */

enum code_width { CODE_32, CODE_64 };

static void set_flat_segments(struct cpu *cpu, uint16_t cs, uint16_t ss, unsigned cpl,
                              enum code_width width)
{
    uint16_t common =
        (uint16_t)(SEGATTR_P | SEGATTR_S | SEGATTR_G | cpl << SEGATTR_DPL_SHIFT | SEGTYPE_ACCESSED);
    uint16_t code = common | SEGTYPE_CODE | SEGTYPE_READABLE;
    cpu->seg[SEG_CS] = (struct segment){
        .selector = (uint16_t)((cs & ~SELECTOR_RPL) | cpl),
        .attributes = code | (width == CODE_64 ? SEGATTR_L : SEGATTR_DB),
        .limit = 0xffffffff,
    };
    cpu->seg[SEG_SS] = (struct segment){
        .selector = (uint16_t)((ss & ~SELECTOR_RPL) | cpl),
        .attributes = common | SEGTYPE_WRITABLE | SEGATTR_DB,
        .limit = 0xffffffff,
    };
    cpu->cpl = (uint8_t)cpl;
}

void system_syscall(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    if (!(cpu->msr.efer & EFER_SCE))
        cpu_raise(cpu, VECTOR_UD);
    uint16_t selector = (uint16_t)bits_get(cpu->msr.star, 32, 16);
    cpu->gpr[REG_RCX] = cpu->next_rip;
    cpu->gpr[11] = cpu->rflags & ~(uint64_t)FLAG_RF;
    cpu->next_rip = cpu->msr.lstar;
    set_flat_segments(cpu, selector, selector + 8, 0, CODE_64);
    cpu_write_flags(cpu, 0, cpu->msr.sfmask | FLAG_RF);
}

void system_sysret(struct cpu *cpu, const struct interp_insn *in)
{
    if (!(cpu->msr.efer & EFER_SCE))
        cpu_raise(cpu, VECTOR_UD);
    bool wide = in->insn.operand_size == 8;
    if (cpu->cpl != 0 || (wide && !is_canonical(cpu->gpr[REG_RCX])))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    uint16_t selector = (uint16_t)bits_get(cpu->msr.star, 48, 16);
    cpu->next_rip = wide ? cpu->gpr[REG_RCX] : (uint32_t)cpu->gpr[REG_RCX];
    set_flat_segments(cpu, selector + (wide ? 16 : 0), selector + 8, 3, wide ? CODE_64 : CODE_32);
    cpu_write_flags(cpu, cpu->gpr[11] & SYSRET_FLAGS, ~0ull);
}

void system_sysenter(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint16_t selector = (uint16_t)cpu->msr.sysenter_cs;
    if (!(cpu->mode & MODE_PROTECTED) || selector_is_null(selector))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    bool wide = cpu->mode & MODE_LONG;
    uint64_t mask = wide ? ~0ull : 0xffffffff;
    cpu->gpr[REG_RSP] = cpu->msr.sysenter_esp & mask;
    cpu->next_rip = cpu->msr.sysenter_eip & mask;
    set_flat_segments(cpu, selector, (selector & ~SELECTOR_RPL) + 8, 0, wide ? CODE_64 : CODE_32);
    cpu_write_flags(cpu, 0, FLAG_VM | FLAG_IF | FLAG_RF);
}

void system_sysexit(struct cpu *cpu, const struct interp_insn *in)
{
    uint16_t selector = cpu->msr.sysenter_cs & ~SELECTOR_RPL;
    bool wide = in->insn.operand_size == 8;
    uint64_t rip = cpu->gpr[REG_RDX];
    uint64_t rsp = cpu->gpr[REG_RCX];
    if (!(cpu->mode & MODE_PROTECTED) || selector == 0 ||
        (wide && (!is_canonical(rip) || !is_canonical(rsp))))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu->next_rip = wide ? rip : (uint32_t)rip;
    cpu->gpr[REG_RSP] = wide ? rsp : (uint32_t)rsp;
    if (wide)
        set_flat_segments(cpu, selector + 32, selector + 40, 3, CODE_64);
    else
        set_flat_segments(cpu, selector + 16, selector + 24, 3, CODE_32);
    cpu_mode_changed(cpu);
}
