/* Segment registers, descriptor tables, and instructions that look at descriptors. */
#include "cpu/cpu.h"
#include "cpu/interp_system.h"
#include "cpu/segment.h"

void system_mov_seg(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    if (insn->operand[0].kind == DEC_OPERAND_SEG)
        cpu_load_segment(cpu, insn->operand[0].reg, (uint16_t)system_read(cpu, insn, 1));
    else
        system_write(cpu, insn, 0, cpu->seg[insn->operand[1].reg].selector);
}

/* LDS, LES, LSS, LFS, LGS. */
void system_load_far_pointer(struct cpu *cpu, const struct interp_insn *in)
{
    static const uint8_t segment[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
    static const uint16_t op[] = {DEC_OP_LES, DEC_OP_LSS, DEC_OP_LDS, DEC_OP_LFS, DEC_OP_LGS};
    const struct dec_insn *insn = &in->insn;
    unsigned size = insn->operand_size;
    uint64_t ea = cpu_effective_address(cpu, insn);
    uint64_t next = (ea + size) & bytes_mask(insn->address_size);
    uint64_t offset = mem_load(cpu, insn->mem.segment, ea, size);
    uint16_t selector = (uint16_t)mem_load(cpu, insn->mem.segment, next, 2);

    unsigned i = 0;
    while (op[i] != insn->op)
        i++;
    uint8_t shadow = cpu->interrupt_shadow;
    cpu_load_segment(cpu, segment[i], selector);
    cpu->interrupt_shadow = shadow; /* LSS loads RSP as well: it needs none */
    system_write_gpr(cpu, insn->operand[0].reg, offset, size);
}

static void load_table(struct cpu *cpu, const struct dec_insn *insn, struct table_register *table)
{
    bool wide = insn->mode == DEC_MODE_64;
    uint64_t ea = cpu_effective_address(cpu, insn);
    uint64_t next = (ea + 2) & bytes_mask(insn->address_size);
    uint16_t limit = (uint16_t)mem_load(cpu, insn->mem.segment, ea, 2);
    uint64_t base = mem_load(cpu, insn->mem.segment, next, wide ? 8 : 4);
    if (wide && !is_canonical(base))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    if (!wide && insn->operand_size == 2)
        base &= 0xffffff;
    *table = (struct table_register){.base = base, .limit = limit};
}

static void store_table(struct cpu *cpu, const struct dec_insn *insn,
                        const struct table_register *table)
{
    unsigned size = insn->mode == DEC_MODE_64 ? 8 : 4;
    uint64_t ea = cpu_effective_address(cpu, insn);
    uint64_t next = (ea + 2) & bytes_mask(insn->address_size);
    mem_probe_write(cpu, insn->mem.segment, next, size);
    mem_store(cpu, insn->mem.segment, ea, table->limit, 2);
    mem_store(cpu, insn->mem.segment, next, table->base, size);
}

void system_lgdt(struct cpu *cpu, const struct interp_insn *in)
{
    load_table(cpu, &in->insn, &cpu->gdtr);
}

void system_lidt(struct cpu *cpu, const struct interp_insn *in)
{
    load_table(cpu, &in->insn, &cpu->idtr);
}

void system_sgdt(struct cpu *cpu, const struct interp_insn *in)
{
    store_table(cpu, &in->insn, &cpu->gdtr);
}

void system_sidt(struct cpu *cpu, const struct interp_insn *in)
{
    store_table(cpu, &in->insn, &cpu->idtr);
}

void system_lldt(struct cpu *cpu, const struct interp_insn *in)
{
    cpu_load_ldtr(cpu, (uint16_t)system_read(cpu, &in->insn, 0), VECTOR_GP);
}

void system_ltr(struct cpu *cpu, const struct interp_insn *in)
{
    uint16_t selector = (uint16_t)system_read(cpu, &in->insn, 0);
    bool is_long = cpu->mode & MODE_LONG;
    struct descriptor desc;
    cpu_get_descriptor(cpu, selector, VECTOR_GP, &desc);
    unsigned type = seg_type(&desc.segment);
    bool available = type == SYSTEM_TSS32 || (type == SYSTEM_TSS16 && !is_long);
    if ((selector & SELECTOR_TI) || !seg_is_system(&desc.segment) || !available)
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    if (!seg_present(&desc.segment))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    if (is_long) {
        desc.segment.base |= cpu_read_descriptor_high(cpu, selector, &desc);
        if (!is_canonical(desc.segment.base))
            cpu_raise_selector(cpu, VECTOR_GP, selector);
    }
    cpu_mark_busy(cpu, &desc, true);
    desc.segment.attributes |= 2;
    cpu->tr = desc.segment;
}

void system_sldt(struct cpu *cpu, const struct interp_insn *in)
{
    system_write(cpu, &in->insn, 0, cpu->ldtr.selector);
}

void system_str(struct cpu *cpu, const struct interp_insn *in)
{
    system_write(cpu, &in->insn, 0, cpu->tr.selector);
}

static void set_zf(struct cpu *cpu, bool value)
{
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAG_ZF) | (value ? FLAG_ZF : 0);
}

/* Reads the descriptor if there is one that this CPL and the selector's RPL may see. */
static bool visible_descriptor(struct cpu *cpu, uint16_t selector, struct descriptor *desc)
{
    if (selector_is_null(selector) || !cpu_read_descriptor(cpu, selector, desc))
        return false;
    unsigned dpl = seg_dpl(&desc->segment);
    return seg_is_conforming(&desc->segment) ||
           (dpl >= cpu->cpl && dpl >= (selector & SELECTOR_RPL));
}

/* Whether the type is a segment, or a system type whose bit is set in the mask of this mode. */
static bool type_is_among(const struct cpu *cpu, const struct segment *seg, unsigned legacy,
                          unsigned in_long)
{
    unsigned mask = cpu->mode & MODE_LONG ? in_long : legacy;
    return !seg_is_system(seg) || (mask & BIT(seg_type(seg)));
}

void system_lar(struct cpu *cpu, const struct interp_insn *in)
{
    const unsigned in_long =
        BIT(SYSTEM_LDT) | BIT(SYSTEM_TSS32) | BIT(SYSTEM_TSS32_BUSY) | BIT(SYSTEM_CALL_GATE32);
    const unsigned legacy = in_long | BIT(SYSTEM_TSS16) | BIT(SYSTEM_TSS16_BUSY) |
                            BIT(SYSTEM_CALL_GATE16) | BIT(SYSTEM_TASK_GATE);
    struct descriptor desc;
    bool valid = visible_descriptor(cpu, (uint16_t)system_read(cpu, &in->insn, 1), &desc) &&
                 type_is_among(cpu, &desc.segment, legacy, in_long);
    if (valid)
        system_write(cpu, &in->insn, 0, (desc.raw >> 32) & 0x00ffff00);
    set_zf(cpu, valid);
}

void system_lsl(struct cpu *cpu, const struct interp_insn *in)
{
    const unsigned in_long = BIT(SYSTEM_LDT) | BIT(SYSTEM_TSS32) | BIT(SYSTEM_TSS32_BUSY);
    const unsigned legacy = in_long | BIT(SYSTEM_TSS16) | BIT(SYSTEM_TSS16_BUSY);
    struct descriptor desc;
    bool valid = visible_descriptor(cpu, (uint16_t)system_read(cpu, &in->insn, 1), &desc) &&
                 type_is_among(cpu, &desc.segment, legacy, in_long);
    if (valid)
        system_write(cpu, &in->insn, 0, desc.segment.limit);
    set_zf(cpu, valid);
}

void system_verr(struct cpu *cpu, const struct interp_insn *in)
{
    struct descriptor desc;
    set_zf(cpu, visible_descriptor(cpu, (uint16_t)system_read(cpu, &in->insn, 0), &desc) &&
                    seg_is_readable(&desc.segment));
}

void system_verw(struct cpu *cpu, const struct interp_insn *in)
{
    struct descriptor desc;
    set_zf(cpu, visible_descriptor(cpu, (uint16_t)system_read(cpu, &in->insn, 0), &desc) &&
                    seg_is_writable(&desc.segment));
}

void system_arpl(struct cpu *cpu, const struct interp_insn *in)
{
    uint16_t selector = (uint16_t)system_read(cpu, &in->insn, 0);
    uint16_t wanted = (uint16_t)system_read(cpu, &in->insn, 1) & SELECTOR_RPL;
    bool raised = (selector & SELECTOR_RPL) < wanted;
    if (raised)
        system_write(cpu, &in->insn, 0, (selector & ~SELECTOR_RPL) | wanted);
    set_zf(cpu, raised);
}
