/* Hardware task switches (SDM vol. 3, chapter 7). */
#include "cpu/access.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "cpu/far.h"

/* Where a TSS has its fields; registers and segments are in the order of their numbers. */
struct tss_layout {
    uint8_t size;  /* of a field: 2 or 4 */
    uint8_t bytes; /* the whole without I/O bitmap */
    uint8_t rip, flags, gpr, seg, ldt;
    uint8_t seg_count; /* the 16-bit TSS has no FS and GS */
};

static const struct tss_layout tss16 = {2, 44, 14, 16, 18, 34, 42, 4};
static const struct tss_layout tss32 = {4, 104, 32, 36, 40, 72, 96, 6};

#define TSS_CR3 28
#define TSS_TRAP 100
#define DR7_LOCAL 0x55u /* L0 to L3: a task's own breakpoints (SDM vol. 3, 17.2.4) */

struct tss {
    const struct tss_layout *layout;
    gva_t base;
    uint8_t image[104];
};

static const struct tss_layout *layout_of(const struct segment *seg)
{
    return seg_type(seg) & 8 ? &tss32 : &tss16;
}

static uint32_t field(const struct tss *tss, unsigned offset)
{
    return (uint32_t)load_le(tss->image + offset, tss->layout->size);
}

/* The TSS to switch to, checked; its image may cross a page, so it is read in parts. */
static void read_tss(struct cpu *cpu, uint16_t selector, enum task_reason reason,
                     struct descriptor *desc, struct tss *tss)
{
    enum vector vector = reason == TASK_IRET ? VECTOR_TS : VECTOR_GP;
    cpu_get_descriptor(cpu, selector, vector, desc);
    const struct segment *seg = &desc->segment;
    unsigned busy = reason == TASK_IRET ? 2 : 0;
    bool is_tss = seg_is_system(seg) && (seg_type(seg) & ~8u) == (SYSTEM_TSS16 | busy);
    if ((selector & SELECTOR_TI) || !is_tss)
        cpu_raise_selector(cpu, vector, selector);
    if (!seg_present(seg))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    tss->layout = layout_of(seg);
    tss->base = seg->base;
    if (seg->limit + 1ull < tss->layout->bytes)
        cpu_raise_selector(cpu, VECTOR_TS, selector);
    for (unsigned i = 0; i < tss->layout->bytes; i += 4)
        sys_read(cpu, cpu_linear(cpu, tss->base + i), tss->image + i, 4);
}

static void write_field(struct cpu *cpu, unsigned offset, uint64_t value)
{
    sys_write(cpu, cpu_linear(cpu, cpu->tr.base + offset), &value, layout_of(&cpu->tr)->size);
}

static void save_task(struct cpu *cpu, uint64_t rip, uint64_t flags)
{
    const struct tss_layout *layout = layout_of(&cpu->tr);
    /* The fields lie on two pages at most: nothing is stored unless all can be. */
    sys_probe_write(cpu, cpu_linear(cpu, cpu->tr.base + layout->rip), layout->size);
    sys_probe_write(cpu, cpu_linear(cpu, cpu->tr.base + layout->bytes - 1), 1);
    write_field(cpu, layout->rip, rip);
    write_field(cpu, layout->flags, flags);
    for (unsigned i = 0; i < 8; i++)
        write_field(cpu, layout->gpr + i * layout->size, cpu->gpr[i]);
    for (unsigned i = 0; i < layout->seg_count; i++) {
        gva_t address = cpu->tr.base + layout->seg + i * layout->size;
        sys_write(cpu, cpu_linear(cpu, address), &cpu->seg[i].selector, 2);
    }
}

static void clear_old_busy(struct cpu *cpu)
{
    struct descriptor desc;
    if (cpu_read_descriptor(cpu, cpu->tr.selector, &desc))
        cpu_mark_busy(cpu, &desc, false);
}

static void load_code(struct cpu *cpu, uint16_t selector, uint64_t rip)
{
    struct descriptor desc;
    unsigned rpl = selector & SELECTOR_RPL;
    cpu_get_descriptor(cpu, selector, VECTOR_TS, &desc);
    unsigned dpl = seg_dpl(&desc.segment);
    if (!seg_is_code(&desc.segment) || (seg_is_conforming(&desc.segment) ? dpl > rpl : dpl != rpl))
        cpu_raise_selector(cpu, VECTOR_TS, selector);
    if (!seg_present(&desc.segment))
        cpu_raise_selector(cpu, VECTOR_NP, selector);
    cpu_mark_accessed(cpu, &desc);
    far_set_code(cpu, &desc.segment, rpl, rip);
}

static void load_segments(struct cpu *cpu, const uint16_t *selector)
{
    static const enum dec_seg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    if (cpu->rflags & FLAG_VM) {
        for (unsigned i = 0; i < 6; i++)
            cpu_load_real_segment(cpu, i, selector[i]);
        return;
    }
    load_code(cpu, selector[SEG_CS], cpu->next_rip);
    cpu_mode_changed(cpu); /* each time: the next one may fault */
    cpu->seg[SEG_SS] = cpu_stack_segment(cpu, selector[SEG_SS], cpu->cpl, VECTOR_TS);
    cpu_mode_changed(cpu);
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        cpu_load_data_segment(cpu, data[i], selector[data[i]], VECTOR_TS);
        cpu_mode_changed(cpu);
    }
}

/* The new task's registers, and then, in its context, its segments. */
static void load_task(struct cpu *cpu, const struct tss *tss, uint64_t nested)
{
    const struct tss_layout *layout = tss->layout;
    uint16_t selector[6] = {0};
    for (unsigned i = 0; i < 8; i++)
        cpu->gpr[i] = field(tss, layout->gpr + i * layout->size);
    for (unsigned i = 0; i < layout->seg_count; i++)
        selector[i] = (uint16_t)field(tss, layout->seg + i * layout->size);
    for (unsigned i = 0; i < 6; i++)
        cpu_null_segment(cpu, i, selector[i]);
    cpu->ldtr = (struct segment){.selector = (uint16_t)field(tss, layout->ldt)};
    cpu->rip = cpu->next_rip = field(tss, layout->rip);
    uint64_t flags = field(tss, layout->flags) | nested;
    cpu->cpl = flags & FLAG_VM ? 3 : selector[SEG_CS] & SELECTOR_RPL;
    cpu_write_flags(cpu, flags, layout->size == 4 ? 0x3f7fd5 : 0x7fd5);

    if (layout->size == 4 && (cpu->cr0 & CR0_PG) &&
        !cpu_write_cr3(cpu, load_le(tss->image + TSS_CR3, 4)))
        cpu_raise_error(cpu, VECTOR_GP, 0);
    cpu_load_ldtr(cpu, cpu->ldtr.selector, VECTOR_TS);
    load_segments(cpu, selector);
    cpu_mode_changed(cpu);
    cpu_check_rip(cpu, &cpu->seg[SEG_CS], cpu->next_rip);
}

void cpu_task_switch(struct cpu *cpu, uint16_t selector, enum task_reason reason, uint64_t rip,
                     const struct exception *event)
{
    struct descriptor desc;
    struct tss tss;
    read_tss(cpu, selector, reason, &desc, &tss);
    bool nests = reason == TASK_CALL || reason == TASK_INTERRUPT;
    if (nests)
        sys_probe_write(cpu, cpu_linear(cpu, tss.base), 2);

    uint64_t flags = cpu->rflags;
    if (reason == TASK_IRET)
        flags &= ~(uint64_t)FLAG_NT;
    if (event && !event->software && !event->trap && !event->keeps_rf)
        flags |= FLAG_RF;
    save_task(cpu, rip, flags);
    if (nests)
        sys_write(cpu, cpu_linear(cpu, tss.base), &cpu->tr.selector, 2);
    else
        clear_old_busy(cpu);
    if (reason != TASK_IRET)
        cpu_mark_busy(cpu, &desc, true);

    cpu->tr = desc.segment;
    cpu->tr.attributes |= 2;
    cpu->cr0 |= CR0_TS;
    cpu->dr[7] &= ~(uint64_t)DR7_LOCAL;
    cpu_update_mode(cpu); /* what follows may fault, in the new task */
    load_task(cpu, &tss, nests ? FLAG_NT : 0);

    if (event && event->has_error) {
        struct far_stack stack = far_stack_current(cpu, &cpu->seg[SEG_CS]);
        far_stack_push(cpu, &stack, event->error, tss.layout->size);
        far_stack_commit(cpu, &stack);
    }
    if (tss.layout->size == 4 && (tss.image[TSS_TRAP] & 1))
        cpu_raise_debug(cpu, DR6_BT, true);
}

void cpu_task_return(struct cpu *cpu, uint64_t rip)
{
    uint16_t link;
    sys_read(cpu, cpu_linear(cpu, cpu->tr.base), &link, 2);
    cpu_task_switch(cpu, link, TASK_IRET, rip, NULL);
}
