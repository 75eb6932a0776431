#include "random_guest.h"

#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/segment.h"
#include "mmu/phys.h"
#include "random_code.h"

enum {
    SEL_CODE64 = 0x08, /* the order that SYSCALL and SYSENTER want */
    SEL_DATA = 0x10,
    SEL_USER_CODE32 = 0x18,
    SEL_USER_DATA = 0x20,
    SEL_USER_CODE64 = 0x28,
    SEL_CODE32 = 0x30,
    SEL_TSS = 0x38,
    SEL_LDT = 0x48,
    SEL_CODE16 = 0x58,
    SEL_DATA16 = 0x60,
    SEL_CALL_GATE = 0x68,
    SEL_TSS2 = 0x78,
    SEL_TASK_GATE = 0x88,
    SEL_TSS16 = 0x90,
    SEL_FIRST_RANDOM = 0xa0,
};

/* The page tables: for 4 levels, PAE and 32 bits. */
enum {
    TABLE_PML4 = AT_TABLES,
    TABLE_PDPT = AT_TABLES + 0x1000,
    TABLE_LOW_PD = AT_TABLES + 0x2000,
    TABLE_HIGH_PD = AT_TABLES + 0x3000,
    TABLE_PT = AT_TABLES + 0x4000, /* and the next page */
    TABLE_PDPT_PAE = AT_TABLES + 0x6000,
    TABLE_PD32 = AT_TABLES + 0x7000, /* its page table is in the data area */
    TABLE_PT32 = AT_DATA,
};

#define PAGE_FLAGS 0x67u /* present, writable, user, accessed, dirty */
#define PAGE_LARGE 0x80u

struct maker {
    struct random *random;
    struct cpu *cpu;
};

static void put(struct maker *maker, gpa_t gpa, uint64_t value, unsigned size)
{
    phys_write(maker->cpu->phys, gpa, &value, size);
}

static bool chance(struct maker *maker, unsigned percent)
{
    return random_chance(maker->random, percent);
}

static unsigned below(struct maker *maker, unsigned bound)
{
    return random_below(maker->random, bound);
}

/* --- Memory */

void random_guest_memory(struct random *random, struct phys_map *phys)
{
    uint8_t page[PAGE_SIZE];
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned at = 0; i == 3 && at < PAGE_SIZE; at += 256)
            random_code(random, random_below(random, 3), page + at, 256);
        if (i < 3)
            random_code(random, (enum dec_mode)i, page, PAGE_SIZE);
        phys_write(phys, AT_CODE + i * PAGE_SIZE, page, PAGE_SIZE);
    }
    for (gpa_t gpa = AT_DATA; gpa < AT_DATA + 2 * PAGE_SIZE; gpa += 8) {
        uint64_t value = random_value(random);
        phys_write(phys, gpa, &value, 8);
    }
    for (gpa_t gpa = AT_STACK_END - PAGE_SIZE; gpa < AT_STACK_END; gpa += 8) {
        uint64_t value = random_value(random);
        phys_write(phys, gpa, &value, 8);
    }
}

/* --- Page tables */

static void map_identity(struct maker *maker)
{
    for (unsigned i = 0; i < 512; i++) {
        uint64_t large = i * (2ull << 20) | PAGE_LARGE | PAGE_FLAGS;
        put(maker, TABLE_LOW_PD + 8 * i, large, 8);
        put(maker, TABLE_HIGH_PD + 8 * i, large + (3ull << 30), 8);
    }
    for (unsigned i = 0; i < 1024; i++) {
        put(maker, TABLE_PT + 8 * i, i * PAGE_SIZE | PAGE_FLAGS, 8);
        put(maker, TABLE_PT32 + 4 * i, i * PAGE_SIZE | PAGE_FLAGS, 4);
        put(maker, TABLE_PD32 + 4 * i, i << 22 | PAGE_LARGE | PAGE_FLAGS, 4);
    }
    put(maker, TABLE_LOW_PD, TABLE_PT | PAGE_FLAGS, 8);
    put(maker, TABLE_LOW_PD + 8, (TABLE_PT + PAGE_SIZE) | PAGE_FLAGS, 8);
    put(maker, TABLE_PD32, TABLE_PT32 | PAGE_FLAGS, 4);
    put(maker, TABLE_PD32 + 4 * 0x300, TABLE_PD32 | PAGE_FLAGS, 4); /* itself */

    put(maker, TABLE_PDPT, TABLE_LOW_PD | PAGE_FLAGS, 8);
    put(maker, TABLE_PDPT + 8, PAGE_LARGE | PAGE_FLAGS, 8);
    put(maker, TABLE_PDPT + 24, TABLE_HIGH_PD | PAGE_FLAGS, 8);
    put(maker, TABLE_PML4, TABLE_PDPT | PAGE_FLAGS, 8);
    put(maker, TABLE_PML4 + 8 * 255, TABLE_PDPT | PAGE_FLAGS, 8);
    put(maker, TABLE_PML4 + 8 * 256, TABLE_PML4 | PAGE_FLAGS, 8);
    put(maker, TABLE_PML4 + 8 * 511, TABLE_PDPT | PAGE_FLAGS, 8);
    put(maker, TABLE_PDPT_PAE, TABLE_LOW_PD | 1, 8);
    put(maker, TABLE_PDPT_PAE + 16, TABLE_PDPT | 1, 8);
    put(maker, TABLE_PDPT_PAE + 24, TABLE_HIGH_PD | 1, 8);
}

/* Entries that are absent, read-only, global, reserved, in devices, in other tables, or anything.
 */
static void disturb_tables(struct maker *maker)
{
    for (unsigned i = below(maker, 40); i > 0; i--) {
        gpa_t gpa = AT_TABLES + 4 * below(maker, (AT_TABLES_END - AT_TABLES) / 4);
        uint64_t entry = random_address(maker->random) & PAGE_MASK;
        entry |= chance(maker, 80) ? PAGE_FLAGS : 0;
        entry ^= chance(maker, 60) ? BIT(below(maker, 12)) : 0;
        entry ^= chance(maker, 20) ? BIT(63) : 0;
        put(maker, gpa, entry, chance(maker, 50) ? 4 : 8);
    }
}

/* --- Segments */

static uint64_t descriptor(uint32_t base, uint32_t limit20, uint16_t attributes)
{
    return (limit20 & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
           (uint64_t)(attributes & 0xf0ff) << 40 | (uint64_t)(limit20 >> 16 & 15) << 48 |
           (uint64_t)(base >> 24) << 56;
}

static uint64_t random_descriptor(struct maker *maker)
{
    uint32_t base = (uint32_t)random_address(maker->random);
    uint32_t limit = chance(maker, 50) ? 0xfffff : (uint32_t)random_next(maker->random);
    uint16_t attributes = (uint16_t)(random_next(maker->random) | (chance(maker, 80) ? 0x80 : 0));
    return descriptor(chance(maker, 50) ? 0 : base, limit, attributes);
}

static uint64_t gate(uint16_t selector, uint32_t offset, uint16_t attributes)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)attributes << 40 |
           (uint64_t)(offset >> 16) << 48;
}

static uint32_t random_entry_point(struct maker *maker)
{
    return AT_CODE + below(maker, AT_CODE_END - AT_CODE);
}

static void set_descriptors(struct maker *maker, bool is_long)
{
    const struct {
        uint16_t selector;
        uint64_t raw;
    } fixed[] = {
        {SEL_CODE64, descriptor(0, 0xfffff, 0xa09b)},
        {SEL_DATA, descriptor(0, 0xfffff, 0xc093)},
        {SEL_USER_CODE32, descriptor(0, 0xfffff, 0xc0fb)},
        {SEL_USER_DATA, descriptor(0, 0xfffff, 0xc0f3)},
        {SEL_USER_CODE64, descriptor(0, 0xfffff, 0xa0fb)},
        {SEL_CODE32, descriptor(0, 0xfffff, 0xc09b)},
        {SEL_TSS, descriptor(AT_TSS, 0x1fff, 0x8b)},
        {SEL_LDT, descriptor(AT_LDT, 0xfff, 0x82)},
        {SEL_CODE16, descriptor(AT_CODE, 0xffff, 0x9b)},
        {SEL_DATA16, descriptor(AT_DATA, 0xffff, 0x93)},
        {SEL_CALL_GATE, gate(is_long ? SEL_CODE64 : SEL_CODE32, random_entry_point(maker),
                             (uint16_t)(0xec00 >> 8 | below(maker, 32) << 8))},
        {SEL_TSS2, descriptor(AT_TSS2, 0x67 + below(maker, 2) * 0x1000, 0x89)},
        {SEL_TASK_GATE, gate(SEL_TSS2, 0, 0xe5)},
        {SEL_TSS16, descriptor(AT_TSS2, 0x2b, 0x81)},
    };
    for (unsigned selector = 0; selector < PAGE_SIZE; selector += 8) {
        put(maker, AT_LDT + selector, random_descriptor(maker), 8);
        put(maker, AT_GDT + selector, selector < SEL_FIRST_RANDOM ? 0 : random_descriptor(maker),
            8);
    }
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        put(maker, AT_GDT + fixed[i].selector, fixed[i].raw, 8);
}

static void set_gates(struct maker *maker, bool is_long, bool real)
{
    unsigned size = is_long ? 16 : 8;
    for (unsigned vector = 0; vector < 256; vector++) {
        uint16_t attributes = (uint16_t)(0x8e | below(maker, 2) | below(maker, 4) << 5);
        uint16_t selector = is_long ? SEL_CODE64 : SEL_CODE32;
        uint64_t raw = gate(selector, random_entry_point(maker), attributes);
        if (chance(maker, 5) && !is_long)
            raw = gate(SEL_TSS2, 0, 0xe5);
        else if (chance(maker, 5))
            raw ^= BIT(below(maker, 64));
        else if (chance(maker, 10) && is_long)
            raw |= (uint64_t)below(maker, 8) << 32;
        put(maker, AT_IDT + vector * size, raw, 8);
        if (is_long)
            put(maker, AT_IDT + vector * size + 8, chance(maker, 1) ? ~0u : 0, 8);
        if (real)
            put(maker, AT_IVT + vector * 4, AT_CODE >> 4 << 16 | below(maker, 0x4000), 4);
    }
}

static uint64_t random_stack(struct maker *maker)
{
    if (chance(maker, 10))
        return random_value(maker->random);
    uint64_t stack = AT_STACK + 0x800 + below(maker, AT_STACK_END - AT_STACK - 0x800);
    return chance(maker, 80) ? align_down(stack, 8) : stack;
}

/* A TSS for the mode at base: outer stacks, and for tasks a whole state. */
static void set_tss(struct maker *maker, gpa_t base, bool is_long)
{
    static const uint16_t selectors[] = {SEL_DATA, SEL_CODE32, SEL_DATA, SEL_DATA, 0, SEL_DATA};
    if (is_long) {
        for (unsigned offset = 4; offset < 92; offset += 8)
            put(maker, base + offset, random_stack(maker), 8);
    } else {
        for (unsigned level = 0; level < 3; level++) {
            put(maker, base + 4 + 8 * level, random_stack(maker), 4);
            put(maker, base + 8 + 8 * level, SEL_DATA | level, 4);
        }
        put(maker, base + 28, maker->cpu->cr3, 4);
        put(maker, base + 32, random_entry_point(maker), 4);
        put(maker, base + 36, FLAGS_FIXED | (chance(maker, 20) ? FLAG_VM : 0), 4);
        for (unsigned i = 0; i < 8; i++)
            put(maker, base + 40 + 4 * i, random_value(maker->random), 4);
        for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++)
            put(maker, base + 72 + 4 * i, selectors[i], 4);
        put(maker, base + 96, chance(maker, 50) ? SEL_LDT : 0, 4);
        put(maker, base + 100, below(maker, 2), 2);
    }
    put(maker, base, chance(maker, 50) ? SEL_TSS2 : (uint64_t)below(maker, 64) << 3, 2);
    put(maker, base + 102, chance(maker, 50) ? 0x68 : below(maker, 0x10000), 2);
}

/* --- The state */

enum kind { KIND_REAL, KIND_PROTECTED16, KIND_PROTECTED32, KIND_VM86, KIND_COMPAT, KIND_LONG };

static struct segment segment_for(struct maker *maker, uint16_t attributes, unsigned cpl)
{
    struct segment seg = {
        .selector = (uint16_t)(below(maker, 64) << 3 | cpl),
        .attributes = (uint16_t)(attributes | cpl << SEGATTR_DPL_SHIFT),
        .limit = UINT32_MAX,
    };
    if (chance(maker, 10)) {
        seg.base = (uint32_t)random_address(maker->random);
        seg.limit = (uint32_t)random_value(maker->random);
    }
    return seg;
}

static void set_segments(struct maker *maker, enum kind kind, unsigned cpl)
{
    static const uint16_t code[] = {0x9b, 0x9b, 0xc09b, 0xf3, 0xc09b, 0xa09b};
    struct cpu *cpu = maker->cpu;
    bool by_selector = kind == KIND_REAL || kind == KIND_VM86;
    for (unsigned i = 0; i < 6; i++) {
        uint16_t data = kind == KIND_PROTECTED16 ? 0x93 : 0xc093;
        cpu->seg[i] = segment_for(maker, i == SEG_CS ? code[kind] & ~0x60u : data, cpl);
        if (by_selector) {
            uint16_t selector = (uint16_t)(random_address(maker->random) >> 4);
            cpu->seg[i].selector = i == SEG_CS ? AT_CODE >> 4 : selector;
            cpu->seg[i].base = cpu->seg[i].selector << 4;
            cpu->seg[i].limit = kind == KIND_REAL && chance(maker, 10) ? UINT32_MAX : 0xffff;
        }
        if (kind == KIND_VM86)
            cpu->seg[i].attributes = 0xf3;
    }
    if (kind == KIND_LONG)
        cpu->seg[SEG_CS].base = 0;
    if (chance(maker, 90))
        cpu->seg[SEG_SS].base = by_selector ? cpu->seg[SEG_SS].base : 0;
}

static void set_paging(struct maker *maker, enum kind kind)
{
    struct cpu *cpu = maker->cpu;
    static const uint64_t roots[] = {TABLE_PD32, TABLE_PDPT_PAE, TABLE_PML4};
    bool is_long = kind >= KIND_COMPAT, paging = is_long || chance(maker, 60);
    unsigned form = is_long ? 2 : below(maker, 2);
    if (!paging)
        return;
    cpu->cr4 = form ? CR4_PAE : CR4_PSE;
    cpu->cr3 = roots[form];
    if (is_long)
        cpu->msr.efer = EFER_LME | EFER_LMA;
    for (unsigned i = 0; i < 4; i++)
        phys_read(cpu->phys, TABLE_PDPT_PAE + 8 * i, &cpu->pdpte[i], 8);
    cpu->cr0 |= CR0_PG;
}

static void set_flags(struct maker *maker, enum kind kind)
{
    uint64_t rare = FLAG_TF | FLAG_NT | FLAG_AC | FLAG_RF | FLAG_VIF | FLAG_VIP;
    uint64_t common = FLAGS_STATUS | FLAG_IF | FLAG_IOPL | FLAG_ID;
    uint64_t flags = random_next(maker->random) & common;
    if (chance(maker, 30))
        flags |= BIT(below(maker, 22)) & (rare | FLAG_DF);
    maker->cpu->rflags = flags | FLAGS_FIXED | (kind == KIND_VM86 ? FLAG_VM : 0);
}

/* Through the checks that the guest's own writes go through: what they refuse stays as it is. */
static void disturb_controls(struct maker *maker)
{
    static const uint32_t msrs[] = {0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
                                    0xc0000101, 0xc0000102, 0x174,      0x175,      0x176};
    struct cpu *cpu = maker->cpu;
    uint64_t star = (uint64_t)(SEL_USER_CODE32 | 3) << 48 | (uint64_t)SEL_CODE64 << 32;
    cpu_write_cr4(cpu, cpu->cr4 | CR4_OSFXSR | (chance(maker, 80) ? CR4_OSXSAVE : 0));
    cpu->xcr0 = chance(maker, 80) ? cpu->model->xcr0_supported | 1 : 1;
    for (unsigned i = below(maker, 5); i > 0; i--) {
        cpu_write_cr4(cpu, cpu->cr4 ^ (BIT(below(maker, 23)) & ~CR4_PAE));
        cpu_write_cr0(cpu, cpu->cr0 ^ (BIT(below(maker, 31)) & ~CR0_PE));
    }
    cpu_write_msr(cpu, MSR_EFER, cpu->msr.efer | EFER_SCE | (chance(maker, 50) ? EFER_NXE : 0));
    for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
        cpu_write_msr(cpu, msrs[i], random_value(maker->random));
    if (chance(maker, 60)) {
        cpu_write_msr(cpu, 0xc0000081, star);
        cpu_write_msr(cpu, 0xc0000082, random_entry_point(maker));
        cpu_write_msr(cpu, MSR_SYSENTER_CS, SEL_CODE64);
        cpu_write_msr(cpu, 0x176, random_entry_point(maker));
    }
    if (chance(maker, 10)) {
        for (unsigned i = 0; i < 4; i++)
            cpu->dr[i] =
                chance(maker, 50) ? random_entry_point(maker) : random_address(maker->random);
        cpu->dr[7] = 0x400 | (uint32_t)(random_next(maker->random) & 0xffff23ff);
    }
}

void random_guest_divert(struct random *random, struct cpu *cpu)
{
    struct maker maker = {random, cpu};
    unsigned page = random_chance(random, 80) ? mode_code(cpu->mode) : 3;
    for (unsigned i = 0; i < 16; i++) {
        cpu->gpr[i] = random_value(random);
        cpu->vec[i].u64[i & 3] = random_value(random);
        cpu->vec[i].u64[~i & 3] = random_value(random);
    }
    cpu->gpr[REG_RSP] = random_stack(&maker);
    cpu->rip = AT_CODE + page * PAGE_SIZE + random_below(random, PAGE_SIZE);
    if (mode_code(cpu->mode) != DEC_MODE_64)
        cpu->rip = (uint32_t)(cpu->rip - cpu->seg[SEG_CS].base);
    cpu->next_rip = cpu->rip;
}

void random_guest_enter(struct random *random, struct cpu *cpu)
{
    struct maker maker = {random, cpu};
    enum kind kind = below(&maker, 6);
    bool is_long = kind >= KIND_COMPAT;
    unsigned cpl = kind == KIND_REAL ? 0 : kind == KIND_VM86 ? 3 : below(&maker, 2) * 3;
    if (cpl && kind != KIND_VM86 && chance(&maker, 20))
        cpl = 1 + below(&maker, 2);

    map_identity(&maker);
    if (chance(&maker, 60))
        disturb_tables(&maker);
    set_descriptors(&maker, is_long);
    set_gates(&maker, is_long, kind == KIND_REAL || kind == KIND_VM86);
    cpu->cr0 = CR0_ET | CR0_NE | (kind == KIND_REAL ? 0 : CR0_PE);
    if (kind != KIND_REAL)
        set_paging(&maker, kind);
    set_tss(&maker, AT_TSS, is_long);
    set_tss(&maker, AT_TSS2, is_long);

    cpu->cpl = (uint8_t)cpl;
    set_segments(&maker, kind, cpl);
    set_flags(&maker, kind);
    cpu->gdtr = (struct table_register){AT_GDT, PAGE_SIZE - 1};
    cpu->idtr = kind == KIND_REAL ? (struct table_register){AT_IVT, 0x3ff}
                                  : (struct table_register){AT_IDT, PAGE_SIZE - 1};
    cpu->tr = (struct segment){SEL_TSS, 0x8b, chance(&maker, 50) ? 0x1fff : 0x67, AT_TSS};
    cpu->ldtr = (struct segment){SEL_LDT, 0x82, PAGE_SIZE - 1, AT_LDT};
    cpu_update_mode(cpu);
    disturb_controls(&maker);
    cpu_update_mode(cpu);
    random_guest_divert(random, cpu);
}
