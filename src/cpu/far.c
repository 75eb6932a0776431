/* Stacks in the making, far jumps and calls (SDM vol. 2, JMP and CALL; vol. 3, 5.8). */
#include "cpu/far.h"

#include "cpu/interp_system.h"

static bool stack_holds(const struct segment *ss, uint64_t offset, unsigned size)
{
    uint64_t last = offset + size - 1;
    if (!seg_present(ss))
        return false;
    if (seg_type(ss) & SEGTYPE_EXPAND_DOWN)
        return offset > ss->limit && last <= (ss->attributes & SEGATTR_DB ? 0xffffffff : 0xffff);
    return last <= ss->limit;
}

struct far_stack far_stack_current(const struct cpu *cpu, const struct segment *cs)
{
    const struct segment *ss = &cpu->seg[SEG_SS];
    struct far_stack stack = {.ss = *ss, .rsp = cpu->gpr[REG_RSP], .cpl = cpu->cpl};
    stack.flat = cpu_is_long_code(cpu, cs);
    stack.mask = stack.flat ? ~0ull : ss->attributes & SEGATTR_DB ? 0xffffffff : 0xffff;
    return stack;
}

uint64_t far_offset(const struct cpu *cpu, const struct segment *cs, uint64_t offset)
{
    return cpu_is_long_code(cpu, cs) ? offset : (uint32_t)offset;
}

/* A stack pointer of the 64-bit TSS. */
static struct far_stack long_stack(struct cpu *cpu, unsigned tss_offset, unsigned cpl)
{
    if (tss_offset + 7 > cpu->tr.limit)
        cpu_raise_selector(cpu, VECTOR_TS, cpu->tr.selector);
    struct far_stack stack = {.mask = ~0ull, .cpl = cpl, .flat = true};
    sys_read(cpu, cpu->tr.base + tss_offset, &stack.rsp, 8);
    stack.ss = cpl == cpu->cpl ? cpu->seg[SEG_SS] : (struct segment){.selector = (uint16_t)cpl};
    return stack;
}

struct far_stack far_stack_ist(struct cpu *cpu, unsigned ist, unsigned cpl)
{
    return long_stack(cpu, 28 + 8 * ist, cpl);
}

struct far_stack far_stack_inner(struct cpu *cpu, unsigned cpl)
{
    if (cpu->mode & MODE_LONG)
        return long_stack(cpu, 4 + 8 * cpl, cpl);

    bool wide = seg_type(&cpu->tr) & 8;
    unsigned offset = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
    unsigned size = wide ? 4 : 2;
    if (offset + size + 1 > cpu->tr.limit)
        cpu_raise_selector(cpu, VECTOR_TS, cpu->tr.selector);
    struct far_stack stack = {.cpl = cpl};
    uint16_t selector;
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + offset), &stack.rsp, size);
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base + offset + size), &selector, 2);
    stack.ss = cpu_stack_segment(cpu, selector, cpl, VECTOR_TS);
    stack.mask = stack.ss.attributes & SEGATTR_DB ? 0xffffffff : 0xffff;
    stack.error = selector & ~SELECTOR_RPL;
    return stack;
}

/* What nearly all interrupt frames are made of: 8 bytes in a supervisor's page that the TLB has. */
static bool push_by_tlb(struct cpu *cpu, gva_t va, uint64_t value)
{
    const struct tlb_entry *entry = &cpu->tlb_view[TLB_VIEW_SUPERVISOR][tlb_index(va)];
    uint64_t in_page = va ^ entry->write_tag;
    if (in_page > PAGE_SIZE - sizeof(value))
        return false;
    memcpy(entry->host + in_page, &value, sizeof(value));
    return true;
}

static void push_slowly(struct cpu *cpu, const struct far_stack *stack, gva_t va, uint64_t value,
                        unsigned size)
{
    enum tlb_view view = stack->cpl == 3 ? TLB_VIEW_USER : TLB_VIEW_SUPERVISOR;
    struct mmu_fault fault;
    if (cpu->mode & MODE_AC_CHECK && stack->cpl == 3 && va & (size - 1) && is_canonical(va))
        cpu_raise_error(cpu, VECTOR_AC, 0);
    enum mmu_status status = mmu_write(cpu, view, va, &value, size, &fault);
    if (status != MMU_OK)
        cpu_raise_memory(cpu, SEG_SS, status, &fault);
}

void far_stack_push(struct cpu *cpu, struct far_stack *stack, uint64_t value, unsigned size)
{
    uint64_t rsp = (stack->rsp - size) & stack->mask;
    if (!stack->flat && !stack_holds(&stack->ss, rsp, size))
        cpu_raise_error(cpu, VECTOR_SS, stack->error);
    gva_t va = stack->flat ? rsp : (uint32_t)(stack->ss.base + rsp);
    if (size != sizeof(value) || stack->cpl == 3 || !push_by_tlb(cpu, va, value))
        push_slowly(cpu, stack, va, value, size);
    stack->rsp = (stack->rsp & ~stack->mask) | rsp;
}

void far_stack_commit(struct cpu *cpu, const struct far_stack *stack)
{
    cpu->seg[SEG_SS] = stack->ss;
    cpu->gpr[REG_RSP] = stack->rsp;
}

void far_set_code(struct cpu *cpu, const struct segment *cs, unsigned cpl, uint64_t rip)
{
    cpu->seg[SEG_CS] = *cs;
    cpu->seg[SEG_CS].selector = (uint16_t)((cs->selector & ~SELECTOR_RPL) | cpl);
    cpu->cpl = (uint8_t)cpl;
    cpu->next_rip = rip;
    if (!cpu_is_long_code(cpu, cs))
        cpu->gpr[REG_RSP] = (uint32_t)cpu->gpr[REG_RSP];
}

static void read_far_pointer(struct cpu *cpu, const struct dec_insn *insn, uint16_t *selector,
                             uint64_t *offset)
{
    if (insn->operand[0].kind == DEC_OPERAND_FAR) {
        *selector = insn->imm2;
        *offset = insn->imm & bytes_mask(insn->operand_size);
        return;
    }
    uint64_t ea = cpu_effective_address(cpu, insn);
    uint64_t next = (ea + insn->operand_size) & bytes_mask(insn->address_size);
    *offset = mem_load(cpu, insn->mem.segment, ea, insn->operand_size);
    *selector = (uint16_t)mem_load(cpu, insn->mem.segment, next, 2);
}

static void push_return(struct cpu *cpu, struct far_stack *stack, unsigned size)
{
    far_stack_push(cpu, stack, cpu->seg[SEG_CS].selector, size);
    far_stack_push(cpu, stack, cpu->next_rip, size);
}

/* A code segment as the direct target of JMP or CALL. */
static void check_direct_code(struct cpu *cpu, uint16_t selector, struct descriptor *desc)
{
    unsigned dpl = seg_dpl(&desc->segment);
    bool allowed = seg_is_conforming(&desc->segment)
                       ? dpl <= cpu->cpl
                       : dpl == cpu->cpl && (selector & SELECTOR_RPL) <= cpu->cpl;
    bool both = (cpu->mode & MODE_LONG) && (desc->segment.attributes & SEGATTR_L) &&
                (desc->segment.attributes & SEGATTR_DB);
    if (!seg_is_code(&desc->segment) || !allowed || both)
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    if (!seg_present(&desc->segment))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    cpu_mark_accessed(cpu, desc);
}

/* Gates and TSSs as targets. */
static void transfer_system(struct cpu *cpu, uint16_t selector, const struct descriptor *desc,
                            bool call)
{
    const struct segment *seg = &desc->segment;
    unsigned type = seg_type(seg);
    bool is_long = cpu->mode & MODE_LONG;
    bool call_gate = type == SYSTEM_CALL_GATE32 || (type == SYSTEM_CALL_GATE16 && !is_long);
    bool tss = !is_long && (type == SYSTEM_TSS16 || type == SYSTEM_TSS32);
    bool task_gate = !is_long && type == SYSTEM_TASK_GATE;
    if (!(call_gate || tss || task_gate) || seg_dpl(seg) < cpu->cpl ||
        seg_dpl(seg) < (selector & SELECTOR_RPL))
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    if (!seg_present(seg))
        cpu_raise_selector(cpu, VECTOR_NP, selector);

    enum task_reason reason = call ? TASK_CALL : TASK_JUMP;
    if (call_gate)
        far_call_gate(cpu, selector, desc, call);
    else if (tss)
        cpu_task_switch(cpu, selector, reason, cpu->next_rip, NULL);
    else
        cpu_task_switch(cpu, (uint16_t)bits_get(desc->raw, 16, 16), reason, cpu->next_rip, NULL);
}

static void transfer(struct cpu *cpu, const struct dec_insn *insn, bool call)
{
    uint16_t selector;
    uint64_t offset;
    read_far_pointer(cpu, insn, &selector, &offset);

    struct segment cs = cpu->seg[SEG_CS];
    if (!cpu_is_real(cpu)) {
        struct descriptor desc;
        cpu_get_descriptor(cpu, selector, VECTOR_GP, &desc);
        if (seg_is_system(&desc.segment)) {
            transfer_system(cpu, selector, &desc, call);
            return;
        }
        check_direct_code(cpu, selector, &desc);
        cs = desc.segment;
    }
    /* The return address goes onto the stack as the new code has it, and before the limit is
     * checked. */
    struct far_stack stack = far_stack_current(cpu, &cs);
    if (call)
        push_return(cpu, &stack, insn->operand_size);
    offset = far_offset(cpu, &cs, offset);
    cpu_check_rip(cpu, &cs, offset);
    far_stack_commit(cpu, &stack);
    if (cpu_is_real(cpu)) {
        cpu_load_real_segment(cpu, SEG_CS, selector);
        cpu->next_rip = offset;
    } else {
        far_set_code(cpu, &cs, cpu->cpl, offset);
    }
    cpu_mode_changed(cpu);
}

void system_jmp_far(struct cpu *cpu, const struct interp_insn *in)
{
    transfer(cpu, &in->insn, false);
}

void system_call_far(struct cpu *cpu, const struct interp_insn *in)
{
    transfer(cpu, &in->insn, true);
}
