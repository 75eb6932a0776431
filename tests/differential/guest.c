#include "guest.h"

#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/cpu.h"
#include "cpu/gates.h"
#include "cpu/interp.h"
#include "cpu/segment.h"
#include "cpu/stub.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"

#include <stdio.h>
#include <stdlib.h>

/* Guest-physical layout: page tables, then the areas. */
#define PHYS_TABLES 0x1000ull
#define PHYS_CODE 0x10000ull
#define PHYS_DATA 0x14000ull
#define PHYS_DESCRIPTORS 0x18000ull
#define PHYS_SIZE 0x20000ull

/* Linear addresses where Linux has such things. */
#define GDT_BASE 0xfffffe0000001000ull
#define TSS_BASE (GDT_BASE + 0x400)
#define LDT_BASE (GDT_BASE + 0x800)
#define HANDLERS (GDT_BASE + 0xc00) /* of exceptions: HLT, one for each vector */
#define IDT_BASE (GDT_BASE + PAGE_SIZE)
#define STACK_TOP (GDT_BASE + 3 * PAGE_SIZE)
#define DESCRIPTOR_PAGES 3

#define PTE_P 1u
#define PTE_W 2u
#define PTE_U 4u

struct guest {
    struct cpu_model model;
    struct phys_map *phys;
    struct bus *bus;
    struct clock *clock;
    struct cpu *cpu;
    struct trace trace;
    gpa_t next_table;
    const struct diff_run *run;
    struct interp_insn decoded;
    bool undefined; /* what was prepared */
};

static uint64_t *phys_words(struct guest *guest, gpa_t gpa)
{
    return phys_ram_pointer(guest->phys, gpa, PAGE_SIZE);
}

static void map_page(struct guest *guest, gva_t va, gpa_t gpa, uint64_t rights)
{
    uint64_t *table = phys_words(guest, PHYS_TABLES);
    for (unsigned shift = 39; shift > PAGE_SHIFT; shift -= 9) {
        uint64_t *entry = &table[va >> shift & 511];
        if (!*entry) {
            *entry = guest->next_table | PTE_P | PTE_W | PTE_U;
            guest->next_table += PAGE_SIZE;
        }
        table = phys_words(guest, *entry & PAGE_MASK);
    }
    table[va >> PAGE_SHIFT & 511] = gpa | PTE_P | rights;
}

static void map_areas(struct guest *guest, enum diff_kind kind)
{
    guest->next_table = PHYS_TABLES + PAGE_SIZE;
    map_page(guest, AREA_CODE, PHYS_CODE, PTE_U);
    for (uint64_t offset = 0; kind == DIFF_PROGRAMS && offset < AREA_CODE_SIZE; offset += PAGE_SIZE)
        map_page(guest, AREA_CODE + offset, PHYS_CODE + offset, PTE_U | PTE_W);
    for (uint64_t offset = 0; offset < AREA_SIZE; offset += PAGE_SIZE)
        map_page(guest, AREA_DATA + offset, PHYS_DATA + offset,
                 PTE_U | (offset < AREA_WRITABLE ? PTE_W : 0));
    for (uint64_t offset = 0; offset < DESCRIPTOR_PAGES * PAGE_SIZE; offset += PAGE_SIZE)
        map_page(guest, GDT_BASE + offset, PHYS_DESCRIPTORS + offset, PTE_W);
}

static void set_system_state(struct cpu *cpu)
{
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
    cpu->cr3 = PHYS_TABLES;
    cpu->cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->msr.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu->xcr0 = cpu->model->xcr0_supported;
    cpu->cpl = 3;
    /* A 64-bit TSS without an I/O permission bitmap. */
    cpu->tr = (struct segment){.selector = 0x40,
                               .attributes = SYSTEM_TSS32_BUSY | SEGATTR_P,
                               .limit = 0x66,
                               .base = TSS_BASE};
    cpu->idtr = (struct table_register){.base = IDT_BASE, .limit = PAGE_SIZE - 1};
    cpu->gdtr = (struct table_register){.base = GDT_BASE, .limit = 8 * GDT_ENTRIES - 1};
    cpu->ldtr = (struct segment){.selector = 0x50,
                                 .attributes = SYSTEM_LDT | SEGATTR_P,
                                 .limit = 8 * LDT_ENTRIES - 1,
                                 .base = LDT_BASE};
}

#define USER (SEGATTR_S | 3 << SEGATTR_DPL_SHIFT | SEGATTR_P)
#define USER_DATA (SEGTYPE_WRITABLE | SEGTYPE_ACCESSED | USER)
#define USER_CODE (SEGTYPE_CODE | SEGTYPE_READABLE | SEGTYPE_ACCESSED | USER)

static struct segment ldt_segment(enum ldt_entry entry)
{
    static const struct segment segments[LDT_ENTRIES] = {
        [LDT_CODE16] = {.attributes = USER_CODE | SEGATTR_G, .limit = UINT32_MAX},
        [LDT_WINDOW] = {.attributes = USER_DATA | SEGATTR_DB,
                        .limit = LDT_WINDOW_LIMIT,
                        .base = AREA_DATA},
        [LDT_STACK16] = {.attributes = USER_DATA, .limit = AREA_SIZE - 1, .base = AREA_DATA},
        [LDT_EXPAND_DOWN] = {.attributes = USER_DATA | SEGTYPE_EXPAND_DOWN | SEGATTR_DB,
                             .limit = LDT_EXPAND_LIMIT},
        [LDT_READ_ONLY] = {.attributes = (USER_DATA & ~SEGTYPE_WRITABLE) | SEGATTR_DB | SEGATTR_G,
                           .limit = UINT32_MAX},
        [LDT_ABSENT] = {.attributes = (USER_DATA & ~SEGATTR_P) | SEGATTR_DB, .limit = 0xfff},
        [LDT_CODE32] = {.attributes = USER_CODE | SEGATTR_DB,
                        .limit = PAGE_SIZE - 1,
                        .base = AREA_CODE},
        [LDT_CODE32_EXECUTE] = {.attributes =
                                    (USER_CODE & ~SEGTYPE_READABLE) | SEGATTR_DB | SEGATTR_G,
                                .limit = UINT32_MAX},
        [LDT_CODE16_ABSENT] = {.attributes = USER_CODE & ~SEGATTR_P, .limit = 0xfff},
        [LDT_CONFORMING_ABSENT] = {.attributes =
                                       (USER_CODE & ~SEGATTR_P) | SEGTYPE_CONFORMING | SEGATTR_DB,
                                   .limit = 0xfff},
    };
    struct segment segment = segments[entry];
    segment.selector = SELECTOR_LDT(entry);
    return segment;
}

static uint64_t encode_descriptor(const struct segment *segment)
{
    uint64_t base = segment->base;
    uint64_t limit = segment->attributes & SEGATTR_G ? segment->limit >> 12 : segment->limit;
    return (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)segment->attributes << 40 |
           (limit & 0xf0000) << 32 | (base & 0xff000000) << 32;
}

/* The GDT as x86-64 Linux has it. */
static void fill_descriptors(struct guest *guest)
{
    static const uint64_t gdt[GDT_ENTRIES] = {
        [1] = 0x00cf9b000000ffff, [2] = 0x00af9b000000ffff,  [3] = 0x00cf93000000ffff,
        [4] = 0x00cffb000000ffff, [5] = 0x00cff3000000ffff,  [6] = 0x00affb000000ffff,
        [8] = 0x00008b0000004087, [10] = 0x000082000000003f, [15] = 0x0040f50000000000,
    };
    memcpy(phys_words(guest, PHYS_DESCRIPTORS), gdt, sizeof(gdt));
    uint64_t *ldt = phys_words(guest, PHYS_DESCRIPTORS) + (LDT_BASE - GDT_BASE) / sizeof(*ldt);
    for (unsigned i = 0; i < LDT_ENTRIES; i++) {
        struct segment segment = ldt_segment(i);
        ldt[i] = encode_descriptor(&segment);
    }
}

/* Exceptions lead to a HLT in ring 0, so that the frame on its stack tells all. */
static void fill_handlers(struct guest *guest)
{
    uint8_t *page = (uint8_t *)phys_words(guest, PHYS_DESCRIPTORS);
    uint64_t *idt = phys_words(guest, PHYS_DESCRIPTORS + (IDT_BASE - GDT_BASE));
    store_le(page + (TSS_BASE - GDT_BASE) + 4, STACK_TOP, 8); /* RSP0 */
    memset(page + (HANDLERS - GDT_BASE), 0xf4, 256);
    for (unsigned i = 0; i < 256; i++) {
        uint64_t to = HANDLERS + i;
        idt[2 * i] = (to & 0xffff) | 0x10 << 16 | 0x8e00ull << 32 | (to & 0xffff0000) << 32;
        idt[2 * i + 1] = to >> 32;
    }
}

static void set_segments(struct cpu *cpu, enum dec_mode mode, enum layout layout)
{
    const struct segment data = {.selector = SELECTOR_DATA,
                                 .attributes = USER_DATA | SEGATTR_DB | SEGATTR_G,
                                 .limit = UINT32_MAX};
    static const uint16_t selectors[] = {SELECTOR_LDT(LDT_CODE16), SELECTOR_CODE32,
                                         SELECTOR_CODE64};
    static const uint16_t sizes[] = {0, SEGATTR_DB, SEGATTR_L};
    cpu->seg[SEG_ES] = cpu->seg[SEG_SS] = cpu->seg[SEG_DS] = cpu->seg[SEG_CS] = data;
    cpu->seg[SEG_CS].selector = selectors[mode];
    cpu->seg[SEG_CS].attributes = USER_CODE | SEGATTR_G | sizes[mode];
    cpu->seg[SEG_FS] = cpu->seg[SEG_GS] = (struct segment){0};
    if (mode != DEC_MODE_64) {
        cpu->seg[SEG_FS] = ldt_segment(LDT_EXPAND_DOWN);
        cpu->seg[SEG_GS] = ldt_segment(LDT_READ_ONLY);
    }
    if (layout == LAYOUT_WINDOW) {
        cpu->seg[SEG_DS] = cpu->seg[SEG_ES] = ldt_segment(LDT_WINDOW);
        cpu->seg[SEG_SS] = ldt_segment(LDT_STACK16);
    }
}

struct guest *guest_create(enum diff_kind kind)
{
    struct error error;
    struct guest *guest = calloc(1, sizeof(*guest));
    guest->bus = bus_create();
    guest->clock = clock_create_manual();
    guest->phys = phys_create(guest->bus);
    guest->trace.out = stderr;
    const struct cpu_config config = {.model = &guest->model,
                                      .phys = guest->phys,
                                      .bus = guest->bus,
                                      .clock = guest->clock,
                                      .trace = &guest->trace};
    if (!cpu_model_init(&guest->model, "host", &error) ||
        !phys_add_ram(guest->phys, 0, PHYS_SIZE, &error) ||
        !(guest->cpu = cpu_create(&config, &error))) {
        fprintf(stderr, "differential: %s\n", error.text);
        guest_destroy(guest);
        return NULL;
    }
    map_areas(guest, kind);
    fill_descriptors(guest);
    fill_handlers(guest);
    set_system_state(guest->cpu);
    set_segments(guest->cpu, DEC_MODE_64, LAYOUT_FLAT);
    cpu_update_mode(guest->cpu);
    mmu_flush_all(guest->cpu);
    return guest;
}

void guest_destroy(struct guest *guest)
{
    if (guest->cpu)
        cpu_destroy(guest->cpu);
    phys_destroy(guest->phys);
    clock_destroy(guest->clock);
    bus_destroy(guest->bus);
    free(guest);
}

const struct cpu_model *guest_model(const struct guest *guest)
{
    return &guest->model;
}

uint8_t *guest_data(struct guest *guest)
{
    return phys_ram_pointer(guest->phys, PHYS_DATA, AREA_SIZE);
}

static void load_state(struct guest *guest, const struct diff_state *in)
{
    struct cpu *cpu = guest->cpu;
    if (guest->run->loads_segments)
        set_segments(cpu, guest->run->mode, guest->run->layout);
    memcpy(cpu->gpr, in->gpr, sizeof(cpu->gpr));
    cpu->rip = in->rip;
    cpu->rflags = in->rflags | (guest->run->step ? FLAG_TF : 0);
    cpu->seg[SEG_FS].base = in->fs_base;
    cpu->seg[SEG_GS].base = in->gs_base;
    if (in->has_vectors) {
        memcpy(cpu->vec, in->vec, sizeof(cpu->vec));
        cpu->mxcsr = in->mxcsr;
        memcpy(&cpu->fx, &in->fx, offsetof(struct fx_image, mxcsr));
        memcpy(cpu->fx.st, in->fx.st, sizeof(cpu->fx.st));
    }
    cpu_update_mode(cpu);
}

static void read_state(const struct cpu *cpu, bool has_vectors, struct diff_state *state)
{
    memcpy(state->gpr, cpu->gpr, sizeof(state->gpr));
    state->rip = cpu->rip;
    state->rflags = cpu->rflags & ~(uint64_t)(FLAG_TF | FLAG_RF);
    state->fs_base = cpu->seg[SEG_FS].base;
    state->gs_base = cpu->seg[SEG_GS].base;
    for (unsigned i = 0; i < 6; i++)
        state->selector[i] = cpu->seg[i].selector;
    state->has_vectors = has_vectors;
    if (has_vectors) {
        memcpy(state->vec, cpu->vec, sizeof(state->vec));
        state->mxcsr = cpu->mxcsr;
        memcpy(&state->fx, &cpu->fx, offsetof(struct fx_image, unused));
    }
}

/* As the block builder does it. */
static bool select_handler(struct cpu *cpu, struct interp_insn *in)
{
    interp_degrade(&in->insn, cpu->model);
    in->handler = interp_gate(&in->insn, cpu->mode, cpu->model);
    if (!in->handler)
        in->handler = interp_select_integer(&in->insn, cpu->mode);
    if (!in->handler)
        in->handler = interp_select_system(&in->insn, cpu->mode);
    if (!in->handler)
        in->handler = interp_select_x87(&in->insn, cpu->mode);
    if (!in->handler)
        in->handler = interp_select_vector(&in->insn, cpu->mode);
    if (!in->handler)
        in->handler = interp_select_state(&in->insn, cpu->mode);
    if (!in->handler)
        return false;
    if (interp_attach_code(cpu, in))
        return true;
    stub_flush(cpu->stubs);
    return interp_attach_code(cpu, in);
}

void guest_prepare(struct guest *guest, const struct diff_run *run, const uint8_t *code)
{
    struct cpu *cpu = guest->cpu;
    guest->run = run;
    memcpy(phys_ram_pointer(guest->phys, PHYS_CODE, PAGE_SIZE), code, PAGE_SIZE);
    set_segments(cpu, run->mode, run->layout);
    cpu_update_mode(cpu);
    guest->undefined =
        dec_decode(run->code, run->length, run->mode, &guest->decoded.insn) != DEC_OK ||
        !select_handler(cpu, &guest->decoded);
}

/* A repeated string instruction does as much as it likes at a time, and is come back to. */
static void execute(struct cpu *cpu, const struct interp_insn *in, bool step)
{
    bool mode64 = in->insn.mode == DEC_MODE_64;
    do {
        cpu->leave = 0;
        cpu->next_rip = cpu->rip + in->insn.length;
        if (!mode64)
            cpu->next_rip = (uint32_t)cpu->next_rip;
        in->handler(cpu, in);
    } while (cpu->next_rip == cpu->rip && !step &&
             (dec_info(in->insn.op)->attributes & DEC_ATTR_STRING));
    cpu->rip = cpu->next_rip;
}

/* What comes of it by Linux's IDT: programs may raise #BP and #OF alone. */
static void read_exception(struct cpu *cpu, bool step, struct diff_outcome *out)
{
    const struct exception *pending = &cpu->pending;
    out->vector = pending->vector;
    out->error = pending->error;
    out->address = pending->cr2;
    if (pending->software && pending->vector != VECTOR_BP && pending->vector != VECTOR_OF) {
        out->vector = VECTOR_GP;
        out->error = pending->vector * 8u | 2;
    } else if (pending->software) {
        cpu->rip = cpu->next_rip;
    } else if (step && pending->vector == VECTOR_DB) {
        out->vector = OUTCOME_COMPLETED;
        cpu->rip = cpu->next_rip;
    }
}

void guest_run(struct guest *guest, const struct diff_state *in, struct diff_outcome *out)
{
    struct cpu *cpu = guest->cpu;
    load_state(guest, in);
    out->vector = OUTCOME_COMPLETED;
    out->error = 0;
    out->address = 0;
    if (guest->undefined) {
        out->vector = VECTOR_UD;
    } else if (setjmp(cpu->fault)) {
        read_exception(cpu, guest->run->step, out);
    } else {
        execute(cpu, &guest->decoded, guest->run->step);
    }
    read_state(cpu, in->has_vectors, &out->state);
}

bool guest_translate(struct guest *guest, const struct jit_config *config)
{
    struct error error;
    if (jit_attach(guest->cpu, config, &error))
        return true;
    fprintf(stderr, "differential: %s\n", error.text);
    return false;
}

const uint8_t *guest_code(struct guest *guest)
{
    return phys_ram_pointer(guest->phys, PHYS_CODE, AREA_CODE_SIZE);
}

void guest_set_program(struct guest *guest, const struct diff_run *run, unsigned offset,
                       const uint8_t *code, unsigned size)
{
    guest->run = run;
    phys_write(guest->phys, PHYS_CODE + offset, code, size);
}

static bool has_error_code(unsigned vector)
{
    return BIT(vector) & (BIT(VECTOR_DF) | BIT(VECTOR_TS) | BIT(VECTOR_NP) | BIT(VECTOR_SS) |
                          BIT(VECTOR_GP) | BIT(VECTOR_PF) | BIT(VECTOR_AC));
}

/* What the handler of an exception was given (SDM vol. 3, 6.14.2). */
static void read_frame(struct guest *guest, struct diff_outcome *out)
{
    const struct cpu *cpu = guest->cpu;
    gpa_t stack = PHYS_DESCRIPTORS + (cpu->gpr[REG_RSP] - GDT_BASE);
    const uint64_t *frame = phys_ram_pointer(guest->phys, stack, STACK_TOP - cpu->gpr[REG_RSP]);
    out->vector = (int)(cpu->rip - HANDLERS - 1);
    out->error = 0;
    if (has_error_code((unsigned)out->vector))
        out->error = (uint32_t)*frame++;
    out->address = cpu->cr2;
    out->state.rip = frame[0];
    out->state.selector[SEG_CS] = (uint16_t)frame[1];
    out->state.rflags = frame[2] & ~(uint64_t)(FLAG_TF | FLAG_RF);
    out->state.gpr[REG_RSP] = frame[3];
    out->state.selector[SEG_SS] = (uint16_t)frame[4];
}

bool guest_run_program(struct guest *guest, const struct diff_state *in, unsigned budget,
                       struct diff_outcome *out)
{
    struct cpu *cpu = guest->cpu;
    set_segments(cpu, guest->run->mode, guest->run->layout);
    cpu->cpl = 3;
    cpu->halted = false;
    load_state(guest, in);
    enum cpu_exit exit = budget ? cpu_run_for(cpu, budget) : cpu_run(cpu);
    if (exit != CPU_EXIT_HALT)
        return false;
    read_state(cpu, in->has_vectors, &out->state);
    read_frame(guest, out);
    return true;
}
