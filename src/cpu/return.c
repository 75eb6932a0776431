/* Far returns: RET and IRET (SDM vol. 2, RET and IRET; vol. 3, 20.2.1 virtual-8086 mode). */
#include "cpu/cpu.h"
#include "cpu/far.h"
#include "cpu/interp_system.h"

/* What every IRET restores; the rest depends on CPL, IOPL and operand size. */
#define IRET_FLAGS (FLAGS_STATUS | FLAG_TF | FLAG_DF | FLAG_NT)
#define IRET_WIDE_FLAGS (FLAG_RF | FLAG_AC | FLAG_ID)

/* The code segment to return to, at the level of its selector's RPL. */
static struct segment return_code(struct cpu *cpu, uint16_t selector)
{
    struct descriptor code;
    unsigned rpl = selector & SELECTOR_RPL;
    cpu_get_descriptor(cpu, selector, VECTOR_GP, &code);
    const struct segment *seg = &code.segment;
    bool allowed = seg_is_conforming(seg) ? seg_dpl(seg) <= rpl : seg_dpl(seg) == rpl;
    bool both =
        (cpu->mode & MODE_LONG) && (seg->attributes & SEGATTR_L) && (seg->attributes & SEGATTR_DB);
    if (!seg_is_code(seg) || rpl < cpu->cpl || !allowed || both)
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    if (!seg_present(seg))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    cpu_mark_accessed(cpu, &code);
    return code.segment;
}

/* The stack that comes with it; 64-bit code below CPL 3 may have a null SS. */
static struct far_stack return_stack(struct cpu *cpu, const struct segment *cs, uint16_t selector,
                                     uint64_t rsp)
{
    unsigned cpl = cs->selector & SELECTOR_RPL;
    bool long_code = cpu_is_long_code(cpu, cs);
    struct far_stack stack = {.cpl = cpl, .rsp = rsp, .mask = ~0ull};
    if (long_code && selector_is_null(selector) && cpl != 3 && (selector & SELECTOR_RPL) == cpl) {
        stack.ss.selector = selector;
        return stack;
    }
    stack.ss = cpu_stack_segment(cpu, selector, cpl, VECTOR_GP);
    if (long_code)
        return stack;
    if (stack.ss.attributes & SEGATTR_DB) {
        stack.mask = 0xffffffff;
        stack.rsp = (uint32_t)rsp;
    } else { /* a 16-bit stack leaves the upper part as it was */
        stack.mask = 0xffff;
        stack.rsp = (cpu->gpr[REG_RSP] & ~0xffffull) | (rsp & 0xffff);
    }
    return stack;
}

/* Returns to cs:rip. Outwards, or always where with_stack, SS:RSP is popped from `skip` bytes up,
 * and `release` more bytes are released from that stack as well. */
static void return_to(struct cpu *cpu, uint16_t selector, uint64_t rip, unsigned skip,
                      unsigned size, unsigned release, bool with_stack)
{
    struct segment cs = return_code(cpu, selector);
    unsigned cpl = selector & SELECTOR_RPL;
    rip = far_offset(cpu, &cs, rip);
    if (cpl == cpu->cpl && !with_stack) {
        cpu_check_rip(cpu, &cs, rip);
        struct far_stack stack = far_stack_current(cpu, &cs);
        skip &= (unsigned)cpu_stack_mask(cpu); /* counted as wide as the old code's stack */
        stack.rsp = (stack.rsp & ~stack.mask) | ((stack.rsp + skip) & stack.mask);
        far_stack_commit(cpu, &stack);
        far_set_code(cpu, &cs, cpl, rip);
        return;
    }
    uint16_t ss = (uint16_t)cpu_peek(cpu, skip + size, 2);
    uint64_t rsp = cpu_peek(cpu, skip, size);
    struct far_stack stack = return_stack(cpu, &cs, ss, rsp);
    cpu_check_rip(cpu, &cs, rip);
    stack.rsp = (stack.rsp & ~stack.mask) | ((stack.rsp + release) & stack.mask);
    far_stack_commit(cpu, &stack);
    far_set_code(cpu, &cs, cpl, rip);
    cpu_drop_inner_segments(cpu);
}

void system_ret_far(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    unsigned release = in->insn.operand_count ? (unsigned)in->insn.imm : 0;
    uint16_t selector = (uint16_t)cpu_peek(cpu, size, 2);
    uint64_t rip = cpu_peek(cpu, 0, size);
    if (cpu_is_real(cpu)) {
        cpu_check_rip(cpu, &cpu->seg[SEG_CS], rip);
        cpu_drop(cpu, 2 * size + release);
        cpu_load_real_segment(cpu, SEG_CS, selector);
        cpu->next_rip = rip;
    } else {
        return_to(cpu, selector, rip, 2 * size + release, size, release, false);
    }
    cpu_mode_changed(cpu);
}

/* IRET in virtual-8086 mode with IOPL below 3 under CR4.VME: IF stands for VIF. */
static uint64_t vme_flags(struct cpu *cpu, unsigned size, uint64_t flags, uint64_t *mask)
{
    bool enable = flags & FLAG_IF;
    if (size != 2 || !(cpu->cr4 & CR4_VME) || (flags & FLAG_TF) ||
        (enable && (cpu->rflags & FLAG_VIP)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    *mask = IRET_FLAGS | FLAG_VIF;
    return (flags & ~(uint64_t)FLAG_VIF) | (enable ? FLAG_VIF : 0);
}

static void iret_real(struct cpu *cpu, unsigned size)
{
    uint64_t rip = cpu_peek(cpu, 0, size);
    uint16_t selector = (uint16_t)cpu_peek(cpu, size, size);
    uint64_t flags = cpu_peek(cpu, 2 * size, size);
    uint64_t mask = IRET_FLAGS | FLAG_IF | (size == 4 ? IRET_WIDE_FLAGS : 0);
    if (!(cpu->mode & MODE_VM86))
        mask |= FLAG_IOPL;
    else if ((cpu->rflags & FLAG_IOPL) != FLAG_IOPL)
        flags = vme_flags(cpu, size, flags, &mask);
    cpu_check_rip(cpu, &cpu->seg[SEG_CS], rip);

    cpu_drop(cpu, 3 * size);
    cpu_load_real_segment(cpu, SEG_CS, selector);
    cpu->next_rip = rip;
    cpu_write_flags(cpu, flags, mask);
}

static void iret_to_vm86(struct cpu *cpu, uint64_t rip, uint16_t cs, uint64_t flags)
{
    static const enum dec_seg order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    uint16_t selector[ARRAY_SIZE(order)];
    uint64_t rsp = cpu_peek(cpu, 12, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        selector[i] = (uint16_t)cpu_peek(cpu, 16 + 4 * i, 4);
    if (rip > 0xffff)
        cpu_raise_error(cpu, VECTOR_GP, 0);

    cpu->cpl = 3;
    cpu->gpr[REG_RSP] = rsp;
    cpu->next_rip = rip;
    cpu_write_flags(cpu, flags,
                    IRET_FLAGS | IRET_WIDE_FLAGS | FLAG_IF | FLAG_IOPL | FLAG_VM | FLAG_VIF |
                        FLAG_VIP);
    cpu_load_real_segment(cpu, SEG_CS, cs);
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        cpu_load_real_segment(cpu, order[i], selector[i]);
    cpu_mode_changed(cpu);
}

static void iret_protected(struct cpu *cpu, unsigned size)
{
    if (cpu->rflags & FLAG_NT) {
        if (cpu->mode & MODE_LONG)
            cpu_raise_error(cpu, VECTOR_GP, 0);
        cpu_task_return(cpu, cpu->next_rip);
        return;
    }
    uint64_t flags = cpu_peek(cpu, 2 * size, size);
    uint16_t selector = (uint16_t)cpu_peek(cpu, size, 2);
    uint64_t rip = cpu_peek(cpu, 0, size);
    if ((flags & FLAG_VM) && size == 4 && cpu->cpl == 0 && !(cpu->mode & MODE_LONG)) {
        iret_to_vm86(cpu, rip, selector, flags);
        return;
    }
    uint64_t mask = IRET_FLAGS | (size > 2 ? IRET_WIDE_FLAGS : 0);
    if (cpu->cpl <= (cpu->rflags & FLAG_IOPL) >> 12)
        mask |= FLAG_IF;
    if (cpu->cpl == 0)
        mask |= FLAG_IOPL | (size > 2 ? FLAG_VIF | FLAG_VIP : 0);
    return_to(cpu, selector, rip, 3 * size, size, 0, mode_code(cpu->mode) == DEC_MODE_64);
    cpu_write_flags(cpu, flags, mask);
}

void system_iret(struct cpu *cpu, const struct interp_insn *in)
{
    cpu->nmi_blocked = false; /* even where it faults: SDM vol. 3, 6.7.1 */
    if (cpu_is_real(cpu))
        iret_real(cpu, in->insn.operand_size);
    else
        iret_protected(cpu, in->insn.operand_size);
}
