/* Loading segment registers, reading descriptors (SDM vol. 3, 3.4 and 5.2 to 5.8). */
#include "cpu/segment.h"

#include "cpu/access.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"

#define REAL_ATTRIBUTES 0x93 /* present, DPL 0, writable data, accessed */
#define VM86_ATTRIBUTES 0xf3 /* the same with DPL 3 */

void cpu_raise_selector(struct cpu *cpu, enum vector vector, uint16_t selector)
{
    cpu_raise_error(cpu, vector, selector & ~SELECTOR_RPL);
}

void cpu_mode_changed(struct cpu *cpu)
{
    cpu_update_mode(cpu);
    cpu->leave = 1;
}

void cpu_write_flags(struct cpu *cpu, uint64_t value, uint64_t mask)
{
    uint64_t flags = (cpu->rflags & ~mask) | (value & mask) | FLAGS_FIXED;
    /* RF acts on instruction breakpoints alone; without any it would only linger. */
    if (!(cpu->dr[7] & DR7_ENABLES))
        flags &= ~(uint64_t)FLAG_RF;
    cpu->rflags = flags;
    cpu_update_level(cpu);
    cpu->leave = 1;
}

static struct segment segment_from_raw(uint16_t selector, uint64_t raw)
{
    struct segment seg = {
        .selector = selector,
        .attributes = bits_get(raw, 40, 16) & 0xf0ff,
        .limit = (uint32_t)(bits_get(raw, 0, 16) | bits_get(raw, 48, 4) << 16),
        .base = bits_get(raw, 16, 24) | bits_get(raw, 56, 8) << 24,
    };
    if (seg.attributes & SEGATTR_G)
        seg.limit = seg.limit << PAGE_SHIFT | (PAGE_SIZE - 1);
    return seg;
}

/* Where size bytes of the selector's table entry are; false where they are beyond it. */
static bool descriptor_address(const struct cpu *cpu, uint16_t selector, unsigned size,
                               gva_t *address)
{
    uint32_t offset = selector & SELECTOR_INDEX;
    uint64_t base = cpu->gdtr.base;
    uint32_t limit = cpu->gdtr.limit;
    if (selector & SELECTOR_TI) {
        if (!seg_present(&cpu->ldtr))
            return false;
        base = cpu->ldtr.base;
        limit = cpu->ldtr.limit;
    }
    *address = cpu_linear(cpu, base + offset);
    return offset + size - 1 <= limit;
}

bool cpu_read_descriptor(struct cpu *cpu, uint16_t selector, struct descriptor *desc)
{
    if (!descriptor_address(cpu, selector, 8, &desc->address))
        return false;
    sys_read(cpu, desc->address, &desc->raw, 8);
    desc->segment = segment_from_raw(selector, desc->raw);
    return true;
}

void cpu_get_descriptor(struct cpu *cpu, uint16_t selector, enum vector vector,
                        struct descriptor *desc)
{
    if (selector_is_null(selector) || !cpu_read_descriptor(cpu, selector, desc))
        cpu_raise_selector(cpu, vector, selector);
}

uint64_t cpu_read_descriptor_high(struct cpu *cpu, uint16_t selector, const struct descriptor *desc)
{
    gva_t address;
    if (!descriptor_address(cpu, selector, 16, &address))
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    uint64_t high;
    sys_read(cpu, desc->address + 8, &high, 8);
    if (bits_get(high, 40, 5)) /* a type other than 0 would be a descriptor of its own */
        cpu_raise_selector(cpu, VECTOR_GP, selector);
    return high << 32;
}

static void write_access_byte(struct cpu *cpu, const struct descriptor *desc, uint16_t attributes)
{
    uint8_t byte = (uint8_t)attributes;
    sys_write(cpu, desc->address + 5, &byte, 1);
}

void cpu_mark_accessed(struct cpu *cpu, struct descriptor *desc)
{
    if (desc->segment.attributes & SEGTYPE_ACCESSED)
        return;
    desc->segment.attributes |= SEGTYPE_ACCESSED;
    write_access_byte(cpu, desc, desc->segment.attributes);
}

void cpu_mark_busy(struct cpu *cpu, const struct descriptor *desc, bool busy)
{
    uint16_t attributes = desc->segment.attributes & ~2u;
    write_access_byte(cpu, desc, busy ? attributes | 2u : attributes);
}

struct segment cpu_stack_segment(struct cpu *cpu, uint16_t selector, unsigned cpl,
                                 enum vector vector)
{
    struct descriptor desc;
    cpu_get_descriptor(cpu, selector, vector, &desc);
    if ((selector & SELECTOR_RPL) != cpl || seg_dpl(&desc.segment) != cpl ||
        !seg_is_writable(&desc.segment))
        cpu_raise_selector(cpu, vector, selector);
    if (!seg_present(&desc.segment))
        cpu_raise_selector(cpu, VECTOR_SS, selector);
    cpu_mark_accessed(cpu, &desc);
    return desc.segment;
}

void cpu_check_rip(struct cpu *cpu, const struct segment *cs, uint64_t rip)
{
    if (cpu_is_long_code(cpu, cs) ? !is_canonical(rip) : rip > cs->limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
}

void cpu_load_ldtr(struct cpu *cpu, uint16_t selector, enum vector vector)
{
    if (selector_is_null(selector)) {
        cpu->ldtr = (struct segment){.selector = selector};
        return;
    }
    struct descriptor desc;
    if ((selector & SELECTOR_TI) || !cpu_read_descriptor(cpu, selector, &desc))
        cpu_raise_selector(cpu, vector, selector);
    if (!seg_is_system(&desc.segment) || seg_type(&desc.segment) != SYSTEM_LDT)
        cpu_raise_selector(cpu, vector, selector);
    if (!seg_present(&desc.segment))
        cpu_raise_selector(cpu, vector == VECTOR_GP ? VECTOR_NP : vector, selector);
    if (cpu->mode & MODE_LONG) {
        desc.segment.base |= cpu_read_descriptor_high(cpu, selector, &desc);
        if (!is_canonical(desc.segment.base))
            cpu_raise_selector(cpu, vector, selector);
    }
    cpu->ldtr = desc.segment;
}

void cpu_null_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector)
{
    cpu->seg[seg] = (struct segment){.selector = selector};
}

void cpu_drop_inner_segments(struct cpu *cpu)
{
    static const enum dec_seg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
        const struct segment *seg = &cpu->seg[data[i]];
        /* One that is null keeps its base: 64-bit systems set FS and GS by MSR. */
        if (seg_present(seg) && !seg_is_conforming(seg) && seg_dpl(seg) < cpu->cpl)
            cpu_null_segment(cpu, data[i], 0);
    }
}

void cpu_load_real_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector)
{
    struct segment *loaded = &cpu->seg[seg];
    if (cpu->mode & MODE_VM86) {
        loaded->attributes = VM86_ATTRIBUTES;
        loaded->limit = 0xffff;
    } else {
        /* Real mode leaves limit and size of what protected mode loaded. */
        if (!seg_present(loaded))
            loaded->limit = 0xffff;
        loaded->attributes = (loaded->attributes & (SEGATTR_DB | SEGATTR_G)) | REAL_ATTRIBUTES;
    }
    loaded->selector = selector;
    loaded->base = (uint32_t)selector << 4;
}

static void load_stack_segment(struct cpu *cpu, uint16_t selector)
{
    if (!selector_is_null(selector)) {
        cpu->seg[SEG_SS] = cpu_stack_segment(cpu, selector, cpu->cpl, VECTOR_GP);
        return;
    }
    if (mode_code(cpu->mode) != DEC_MODE_64 || cpu->cpl == 3 ||
        (selector & SELECTOR_RPL) != cpu->cpl)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu_null_segment(cpu, SEG_SS, selector);
}

void cpu_load_data_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector, enum vector vector)
{
    if (selector_is_null(selector)) {
        cpu_null_segment(cpu, seg, selector);
        return;
    }
    struct descriptor desc;
    cpu_get_descriptor(cpu, selector, vector, &desc);
    unsigned rpl = selector & SELECTOR_RPL;
    unsigned dpl = seg_dpl(&desc.segment);
    if (!seg_is_readable(&desc.segment) ||
        (!seg_is_conforming(&desc.segment) && (rpl > dpl || cpu->cpl > dpl)))
        cpu_raise_selector(cpu, vector, selector);
    if (!seg_present(&desc.segment))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    cpu_mark_accessed(cpu, &desc);
    cpu->seg[seg] = desc.segment;
}

void cpu_load_segment(struct cpu *cpu, enum dec_seg seg, uint16_t selector)
{
    if (cpu_is_real(cpu))
        cpu_load_real_segment(cpu, seg, selector);
    else if (seg == SEG_SS)
        load_stack_segment(cpu, selector);
    else
        cpu_load_data_segment(cpu, seg, selector, VECTOR_GP);

    if (seg == SEG_SS) {
        cpu->interrupt_shadow = SHADOW_MOV_SS;
        cpu->leave = 1;
    }
    cpu_update_level(cpu);
}
