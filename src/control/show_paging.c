/* Page tables: SDM vol. 3, chapter 4. */
#include "base/bits.h"
#include "control/show.h"
#include "cpu/cpu.h"
#include "mmu/phys.h"

#include <inttypes.h>

/* Tables may form circles, or contain each other many times over. */
enum { TABLES_MAX = 16384, LINES_MAX = 65536 };

enum {
    ENTRY_P = 1 << 0,
    ENTRY_RW = 1 << 1,
    ENTRY_US = 1 << 2,
    ENTRY_PS = 1 << 7,
};
#define ENTRY_XD BIT(63)
#define ENTRY_ADDRESS ((uint64_t)0x000ffffffffff000)

struct walk {
    const struct cpu *cpu;
    FILE *out;
    unsigned entry_size; /* 4 or 8 */
    unsigned tables, lines;
    /* What is done with a page: of `size` bytes at va, entry is its own, rights are those of all
     * entries on the way, as in the entry. */
    void (*page)(struct walk *walk, gva_t va, uint64_t size, uint64_t entry, uint64_t rights);
    gva_t start, end; /* the range so far */
    uint64_t range_rights;
};

static bool is_long(const struct cpu *cpu)
{
    return cpu->msr.efer & EFER_LMA;
}

static bool walk_is_over(const struct walk *walk)
{
    return walk->tables >= TABLES_MAX || walk->lines >= LINES_MAX;
}

/* Whether the entry, of a table whose entries stand for 1 << shift bytes each, is a page. */
static bool is_page(const struct walk *walk, uint64_t entry, unsigned shift)
{
    if (shift == PAGE_SHIFT)
        return true;
    bool may_be = walk->entry_size == 4 ? walk->cpu->cr4 & CR4_PSE : shift <= 30;
    return may_be && entry & ENTRY_PS;
}

static void walk_table(struct walk *walk, gpa_t table, unsigned shift, gva_t va, uint64_t rights)
{
    union {
        uint64_t wide[512];
        uint32_t narrow[1024];
    } entries;
    /* The four entries of PAE's first table have no rights. */
    bool pae_root = shift == 30 && !is_long(walk->cpu);
    unsigned count = pae_root ? 4 : PAGE_SIZE / walk->entry_size;
    if (walk_is_over(walk) ||
        !phys_read(walk->cpu->phys, table, &entries, count * (uint64_t)walk->entry_size))
        return;
    walk->tables++;
    for (unsigned i = 0; i < count; i++) {
        uint64_t entry = walk->entry_size == 4 ? entries.narrow[i] : entries.wide[i];
        gva_t at = va + ((gva_t)i << shift);
        if (shift == 39 && i >= 256) /* canonical addresses */
            at |= 0xffff000000000000ull;
        if (!(entry & ENTRY_P))
            continue;
        uint64_t both = pae_root ? rights : rights & entry;
        if (!pae_root && is_page(walk, entry, shift))
            walk->page(walk, at, (uint64_t)1 << shift, entry, both);
        else
            walk_table(walk, entry & ENTRY_ADDRESS, walk->entry_size == 4 ? 12 : shift - 9, at,
                       both);
    }
}

static bool walk_all(struct walk *walk)
{
    const struct cpu *cpu = walk->cpu;
    const uint64_t all = ENTRY_RW | ENTRY_US;
    if (!(cpu->cr0 & CR0_PG)) {
        fprintf(walk->out, "PG disabled\n");
        return false;
    }
    walk->entry_size = cpu->cr4 & CR4_PAE ? 8 : 4;
    if (is_long(cpu))
        walk_table(walk, cpu->cr3 & ENTRY_ADDRESS, 39, 0, all);
    else if (cpu->cr4 & CR4_PAE)
        walk_table(walk, cpu->cr3 & 0xffffffe0, 30, 0, all);
    else
        walk_table(walk, cpu->cr3 & 0xfffff000, 22, 0, all);
    return true;
}

static void end_walk(const struct walk *walk)
{
    if (walk_is_over(walk))
        fprintf(walk->out, "(there is more)\n");
}

static void print_page(struct walk *walk, gva_t va, uint64_t size, uint64_t entry, uint64_t rights)
{
    static const struct {
        uint64_t bit;
        char name;
    } bits[] = {{ENTRY_XD, 'X'}, {BIT(8), 'G'}, {BIT(7), 'P'},   {BIT(6), 'D'},  {BIT(5), 'A'},
                {BIT(4), 'C'},   {BIT(3), 'T'}, {ENTRY_US, 'U'}, {ENTRY_RW, 'W'}};
    char text[ARRAY_SIZE(bits) + 1] = "";
    (void)rights;
    if (walk->lines++ >= LINES_MAX)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
        text[i] =
            entry & bits[i].bit && (bits[i].bit != BIT(7) || size > PAGE_SIZE) ? bits[i].name : '-';
    fprintf(walk->out, "%016" PRIx64 ": %016" PRIx64 " %s\n", va,
            entry & ENTRY_ADDRESS & ~(size - 1), text);
}

void show_pages(const struct cpu *cpu, FILE *out)
{
    struct walk walk = {.cpu = cpu, .out = out, .page = print_page};
    if (walk_all(&walk))
        end_walk(&walk);
}

static void print_range(struct walk *walk)
{
    if (walk->start == walk->end || walk->lines++ >= LINES_MAX)
        return;
    fprintf(walk->out, "%016" PRIx64 "-%016" PRIx64 " %016" PRIx64 " %cr%c\n", walk->start,
            walk->end, walk->end - walk->start, walk->range_rights & ENTRY_US ? 'u' : '-',
            walk->range_rights & ENTRY_RW ? 'w' : '-');
}

static void extend_range(struct walk *walk, gva_t va, uint64_t size, uint64_t entry,
                         uint64_t rights)
{
    (void)entry;
    if (walk->start == walk->end || va != walk->end || rights != walk->range_rights) {
        print_range(walk);
        walk->start = va;
        walk->range_rights = rights;
    }
    walk->end = va + size;
}

void show_ranges(const struct cpu *cpu, FILE *out)
{
    struct walk walk = {.cpu = cpu, .out = out, .page = extend_range};
    if (!walk_all(&walk))
        return;
    print_range(&walk);
    end_walk(&walk);
}
