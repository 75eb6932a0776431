#include "cpu/smm.h"

#include "base/trace.h"
#include "cpu/breakpoint.h"
#include "cpu/cpu.h"
#include "cpu/interp_system.h"
#include "cpu/segment.h"
#include "mmu/phys.h"

#define ENTRY_OFFSET 0x8000u
#define MAP_OFFSET 0xfe00u
#define MAP_SIZE 0x200u
#define REVISION 0x00020064u /* the 64-bit map; SMBASE can be moved; no I/O instruction restart */

/* What is where in the map. */
enum {
    MAP_SEGMENTS = 0x00, /* ES to GS, 16 bytes each */
    MAP_GDTR = 0x60,
    MAP_LDTR = 0x70,
    MAP_IDTR = 0x80,
    MAP_TR = 0x90,
    MAP_HALT_RESTART = 0xc9,
    MAP_EFER = 0xd0,
    MAP_REVISION = 0xfc,
    MAP_SMBASE = 0x100,
    MAP_CR4 = 0x148,
    MAP_CR3 = 0x150,
    MAP_CR0 = 0x158,
    MAP_DR7 = 0x160,
    MAP_DR6 = 0x168,
    MAP_RFLAGS = 0x170,
    MAP_RIP = 0x178,
    MAP_GPR = 0x1f8, /* RAX; the others below it */
};

#define MAP_FLAGS                                                                                  \
    (FLAGS_STATUS | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM |        \
     FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID)

static void save_segment(uint8_t *at, const struct segment *seg)
{
    store_le(at, seg->selector, 2);
    store_le(at + 2, seg->attributes, 2);
    store_le(at + 4, seg->limit, 4);
    store_le(at + 8, seg->base, 8);
}

static struct segment load_segment(const uint8_t *at)
{
    return (struct segment){
        .selector = (uint16_t)load_le(at, 2),
        .attributes = load_le(at + 2, 2) & 0xf0ff,
        .limit = (uint32_t)load_le(at + 4, 4),
        .base = load_le(at + 8, 8),
    };
}

static void save_table(uint8_t *at, const struct table_register *table)
{
    store_le(at + 4, table->limit, 4);
    store_le(at + 8, table->base, 8);
}

static struct table_register load_table(const uint8_t *at)
{
    return (struct table_register){.limit = (uint16_t)load_le(at + 4, 2),
                                   .base = load_le(at + 8, 8)};
}

static void save_state(const struct cpu *cpu, uint8_t map[MAP_SIZE])
{
    for (unsigned i = 0; i < 6; i++)
        save_segment(map + MAP_SEGMENTS + 16 * i, &cpu->seg[i]);
    save_table(map + MAP_GDTR, &cpu->gdtr);
    save_segment(map + MAP_LDTR, &cpu->ldtr);
    save_table(map + MAP_IDTR, &cpu->idtr);
    save_segment(map + MAP_TR, &cpu->tr);
    map[MAP_HALT_RESTART] = cpu->halted == HALT_HLT; /* MWAIT is over */
    store_le(map + MAP_EFER, cpu->msr.efer, 8);
    store_le(map + MAP_REVISION, REVISION, 4);
    store_le(map + MAP_SMBASE, cpu->smbase, 4);
    store_le(map + MAP_CR4, cpu->cr4, 8);
    store_le(map + MAP_CR3, cpu->cr3, 8);
    store_le(map + MAP_CR0, cpu->cr0, 8);
    store_le(map + MAP_DR7, cpu->dr[7], 8);
    store_le(map + MAP_DR6, cpu->dr[6], 8);
    store_le(map + MAP_RFLAGS, cpu->rflags, 8);
    store_le(map + MAP_RIP, cpu->rip, 8);
    for (unsigned i = 0; i < 16; i++)
        store_le(map + MAP_GPR - 8 * i, cpu->gpr[i], 8);
}

/* Table 31-4: a flat real mode with 4 GiB limits. */
static void enter_state(struct cpu *cpu)
{
    const struct segment data = {.attributes = SEGATTR_P | SEGATTR_S | SEGATTR_G | 3,
                                 .limit = UINT32_MAX};
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = data;
    cpu->seg[SEG_CS].selector = (uint16_t)(cpu->smbase >> 4);
    cpu->seg[SEG_CS].base = cpu->smbase;
    cpu->cpl = 0;
    cpu->rip = cpu->next_rip = ENTRY_OFFSET;
    cpu->rflags = FLAGS_FIXED;
    cpu->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    cpu->cr4 = 0;
    cpu->msr.efer = 0;
    cpu->dr[7] = DR7_FIXED;
}

void smm_set(struct cpu *cpu, bool on)
{
    cpu->smm = on;
    cpu->phys = phys_view(cpu->phys, on);
}

void smm_enter(struct cpu *cpu)
{
    uint8_t map[MAP_SIZE] = {0};
    smm_set(cpu, true);
    save_state(cpu, map);
    phys_write(cpu->phys, cpu->smbase + MAP_OFFSET, map, sizeof(map));
    TRACE(cpu->trace, TRACE_INTERRUPT, "SMI at %04x:%016lx", cpu->seg[SEG_CS].selector, cpu->rip);
    cpu->smm_nmi_blocked = cpu->nmi_blocked;
    cpu->nmi_blocked = true;
    cpu->halted = HALT_NONE;
    phys_end_monitor(cpu->phys);
    enter_state(cpu);
    breakpoints_update(cpu);
    mmu_flush_all(cpu);
    cpu_mode_changed(cpu);
}

/* 31.7.1: what RSM does not take over. */
static bool is_valid(const struct cpu *cpu, const uint8_t map[MAP_SIZE])
{
    uint64_t cr0 = load_le(map + MAP_CR0, 8), efer = load_le(map + MAP_EFER, 8);
    uint64_t cr4 = load_le(map + MAP_CR4, 8), cr3 = load_le(map + MAP_CR3, 8);
    uint64_t rip = load_le(map + MAP_RIP, 8), rflags = load_le(map + MAP_RFLAGS, 8);
    bool long_mode = efer & EFER_LMA;
    bool cs_long = load_le(map + MAP_SEGMENTS + 16 * SEG_CS + 2, 2) & SEGATTR_L;
    if (!cpu_valid_cr0(cr0) || !cpu_valid_cr4(cpu, cr4) || !cpu_valid_cr3(cpu, cr3))
        return false;
    if (efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) ||
        long_mode != ((cr0 & CR0_PG) && (efer & EFER_LME)))
        return false;
    if (long_mode && !(cr4 & CR4_PAE))
        return false;
    if (!long_mode && cr4 & CR4_PCIDE)
        return false;
    if (rflags & FLAG_VM && (long_mode || !(cr0 & CR0_PE)))
        return false;
    return long_mode && cs_long ? is_canonical(rip) : !(rip >> 32);
}

static unsigned cpl_of(const struct cpu *cpu)
{
    if (!(cpu->cr0 & CR0_PE))
        return 0;
    if (cpu->rflags & FLAG_VM)
        return 3;
    const struct segment *ss = &cpu->seg[SEG_SS];
    return seg_present(ss) ? seg_dpl(ss) : ss->selector & SELECTOR_RPL;
}

static void load_state(struct cpu *cpu, const uint8_t map[MAP_SIZE])
{
    for (unsigned i = 0; i < 6; i++)
        cpu->seg[i] = load_segment(map + MAP_SEGMENTS + 16 * i);
    cpu->gdtr = load_table(map + MAP_GDTR);
    cpu->ldtr = load_segment(map + MAP_LDTR);
    cpu->idtr = load_table(map + MAP_IDTR);
    cpu->tr = load_segment(map + MAP_TR);
    cpu->halted = map[MAP_HALT_RESTART] & 1 ? HALT_HLT : HALT_NONE;
    cpu->msr.efer = load_le(map + MAP_EFER, 8);
    cpu->smbase = (uint32_t)load_le(map + MAP_SMBASE, 4);
    cpu->cr4 = load_le(map + MAP_CR4, 8);
    cpu->cr3 = load_le(map + MAP_CR3, 8);
    cpu->cr0 = (load_le(map + MAP_CR0, 8) & CR0_WRITABLE) | CR0_ET;
    cpu->dr[7] = (load_le(map + MAP_DR7, 8) & DR7_WRITABLE) | DR7_FIXED;
    cpu->dr[6] = (load_le(map + MAP_DR6, 8) & DR6_WRITABLE) | DR6_FIXED;
    cpu->rflags = (load_le(map + MAP_RFLAGS, 8) & MAP_FLAGS) | FLAGS_FIXED;
    cpu->next_rip = load_le(map + MAP_RIP, 8);
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = load_le(map + MAP_GPR - 8 * i, 8);
    cpu->cpl = (uint8_t)cpl_of(cpu);
}

void system_rsm(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    if (!cpu->smm)
        cpu_raise(cpu, VECTOR_UD);
    uint8_t map[MAP_SIZE];
    phys_read(cpu->phys, cpu->smbase + MAP_OFFSET, map, sizeof(map));
    if (!is_valid(cpu, map))
        cpu_shut_down(cpu);
    load_state(cpu, map);
    if (!cpu_load_pdptes(cpu))
        cpu_shut_down(cpu);
    smm_set(cpu, false);
    cpu->nmi_blocked = cpu->smm_nmi_blocked;
    breakpoints_update(cpu);
    mmu_flush_all(cpu);
    cpu_mode_changed(cpu);
}
