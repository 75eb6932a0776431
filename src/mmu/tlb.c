#include "mmu/bank.h"

#include "base/bits.h"
#include "cpu/state.h"
#include "host/memory.h"
#include "mmu/phys.h"

#include <stdlib.h>

#define LARGE_SHIFT 22 /* 4 MiB holds a large page of either size */
#define HUGE_SHIFT 30

static unsigned filter_bit(uint64_t key)
{
    return (unsigned)((key * 0x9e3779b97f4a7c15ull) >> 52);
}

static void filter_add(struct tlb_filter *filter, uint64_t key)
{
    unsigned bit = filter_bit(key);
    filter->bits[bit / 64] |= BIT(bit % 64);
}

static bool filter_has(const struct tlb_filter *filter, uint64_t key)
{
    unsigned bit = filter_bit(key);
    return filter->bits[bit / 64] & BIT(bit % 64);
}

/* The fetch translations may have changed: what was cached under the old epoch is void. */
static void new_epoch(struct cpu *cpu, struct tlb_bank *bank)
{
    bank->epoch = ++cpu->tlbs->last_epoch;
    memset(&bank->fetches, 0, sizeof(bank->fetches));
    if (bank == cpu->tlbs->current)
        cpu->space_epoch = bank->epoch;
}

/* The same for global translations, which all banks have in common. */
static void new_global_epoch(struct cpu *cpu)
{
    struct tlb *tlb = cpu->tlbs;
    cpu->global_epoch = ++tlb->last_epoch;
    memset(&tlb->global_fetches, 0, sizeof(tlb->global_fetches));
}

static void invalidate(struct tlb_table *table, unsigned index)
{
    table->entry[index].read_tag = tlb_invalid_tag(index);
    table->entry[index].write_tag = tlb_invalid_tag(index);
}

static bool is_valid(const struct tlb_table *table, unsigned index)
{
    return table->entry[index].read_tag != tlb_invalid_tag(index);
}

static void flush_table(struct tlb_table *table, bool keep_global)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < table->logged; i++) {
        unsigned index = table->log[i];
        if (keep_global && table->entry[index].gpa & TLB_GLOBAL && is_valid(table, index)) {
            table->log[kept++] = (uint16_t)index;
        } else {
            invalidate(table, index);
            table->in_log[index] = false;
        }
    }
    table->logged = kept;
}

static void forget_devices(struct tlb_bank *bank)
{
    memset(&bank->device, 0, sizeof(bank->device));
}

static void flush_bank(struct cpu *cpu, struct tlb_bank *bank, bool keep_global)
{
    forget_devices(bank);
    for (unsigned i = 0; i < TLB_TABLES; i++)
        flush_table(&bank->table[i], keep_global);
    if (!keep_global) {
        memset(&bank->large, 0, sizeof(bank->large));
        memset(&bank->huge, 0, sizeof(bank->huge));
    }
    new_epoch(cpu, bank);
}

void tlb_fill(struct tlb_bank *bank, unsigned table_index, gva_t va, const struct walk *walk,
              uint8_t *host, bool writable)
{
    struct tlb_table *table = &bank->table[table_index];
    unsigned index = tlb_index(va);
    if (!table->in_log[index]) {
        table->in_log[index] = true;
        table->log[table->logged++] = (uint16_t)index;
    }
    table->entry[index] = (struct tlb_entry){
        .read_tag = va & PAGE_MASK,
        .write_tag = writable ? va & PAGE_MASK : tlb_invalid_tag(index),
        .host = host,
        .gpa = (walk->gpa & PAGE_MASK) | walk->flags,
    };
    if (walk->flags & TLB_LARGE)
        filter_add(&bank->large, va >> LARGE_SHIFT);
    if (walk->flags & TLB_HUGE)
        filter_add(&bank->huge, va >> HUGE_SHIFT);
}

void tlb_note_fetch(struct tlb *tlb, gva_t va, unsigned flags)
{
    struct tlb_fetches *fetches =
        flags & TLB_GLOBAL ? &tlb->global_fetches : &tlb->current->fetches;
    if (flags & TLB_HUGE)
        filter_add(&fetches->huge, va >> HUGE_SHIFT);
    else if (flags & TLB_LARGE)
        filter_add(&fetches->large, va >> LARGE_SHIFT);
    else
        filter_add(&fetches->page, va >> PAGE_SHIFT);
}

/* Whether the translation that INVLPG of va drops may have been fetched through. */
static bool was_fetched(const struct tlb_fetches *fetches, gva_t va)
{
    return filter_has(&fetches->page, va >> PAGE_SHIFT) ||
           filter_has(&fetches->large, va >> LARGE_SHIFT) ||
           filter_has(&fetches->huge, va >> HUGE_SHIFT);
}

/* Drops the fragments of large (huge) pages around va. */
static void drop_fragments(struct tlb_table *table, gva_t va, unsigned flag, unsigned shift,
                           bool global_only)
{
    for (unsigned i = 0; i < table->logged; i++) {
        unsigned index = table->log[i];
        const struct tlb_entry *entry = &table->entry[index];
        if (!is_valid(table, index) || !(entry->gpa & flag) ||
            (entry->read_tag ^ va) >> shift != 0 || (global_only && !(entry->gpa & TLB_GLOBAL)))
            continue;
        invalidate(table, index);
    }
}

/* INVLPG in one bank; in banks of other PCIDs it reaches global translations only. */
static void drop_page(struct cpu *cpu, struct tlb_bank *bank, gva_t va, bool global_only)
{
    bool large = filter_has(&bank->large, va >> LARGE_SHIFT);
    bool huge = filter_has(&bank->huge, va >> HUGE_SHIFT);
    forget_devices(bank);
    for (unsigned i = 0; i < TLB_TABLES; i++) {
        struct tlb_table *table = &bank->table[i];
        struct tlb_entry *entry = tlb_table_entry(table, va);
        if (((entry->read_tag ^ va) & PAGE_MASK) == 0 && (!global_only || entry->gpa & TLB_GLOBAL))
            invalidate(table, tlb_index(va));
        if (large)
            drop_fragments(table, va, TLB_LARGE, LARGE_SHIFT, global_only);
        if (huge)
            drop_fragments(table, va, TLB_HUGE, HUGE_SHIFT, global_only);
    }
    if (!global_only && was_fetched(&bank->fetches, va))
        new_epoch(cpu, bank);
    if (was_fetched(&cpu->tlbs->global_fetches, va))
        new_global_epoch(cpu);
}

static struct tlb_bank *find_bank(struct tlb *tlb, uint16_t pcid)
{
    for (unsigned i = 0; i < TLB_BANKS; i++) {
        struct tlb_bank *bank = tlb->bank[i];
        if (bank && bank->used && bank->pcid == pcid)
            return bank;
    }
    return NULL;
}

static struct tlb_bank *map_bank(void)
{
    struct tlb_bank *bank = host_memory_map(sizeof(*bank));
    for (unsigned i = 0; bank && i < TLB_TABLES; i++)
        invalidate(&bank->table[i], 0);
    return bank;
}

/* A bank for a PCID that has none: an unused one, a new one, or the one that rested longest. */
static struct tlb_bank *claim_bank(struct cpu *cpu, uint16_t pcid)
{
    struct tlb *tlb = cpu->tlbs;
    struct tlb_bank *oldest = NULL;
    struct tlb_bank *bank = NULL;
    for (unsigned i = 0; i < TLB_BANKS && !bank; i++) {
        if (!tlb->bank[i])
            bank = tlb->bank[i] = map_bank();
        else if (!tlb->bank[i]->used)
            bank = tlb->bank[i];
        if (!oldest || (tlb->bank[i] && tlb->bank[i]->last_used < oldest->last_used))
            oldest = tlb->bank[i];
    }
    if (!bank)
        bank = oldest;
    flush_bank(cpu, bank, false);
    bank->used = true;
    bank->pcid = pcid;
    return bank;
}

static uint16_t current_pcid(const struct cpu *cpu)
{
    return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & 0xfff : 0;
}

void mmu_select_view(struct cpu *cpu)
{
    cpu->tlb = cpu->tlb_view[mode_view(cpu->mode)];
}

static void select_bank(struct cpu *cpu)
{
    struct tlb *tlb = cpu->tlbs;
    uint16_t pcid = current_pcid(cpu);
    struct tlb_bank *bank = find_bank(tlb, pcid);
    tlb->current = bank ? bank : claim_bank(cpu, pcid);
    tlb->current->last_used = ++tlb->clock;
    cpu->space_epoch = tlb->current->epoch;
    for (unsigned i = 0; i < TLB_VIEWS; i++)
        cpu->tlb_view[i] = tlb->current->table[i].entry;
    mmu_select_view(cpu);
}

bool mmu_init(struct cpu *cpu)
{
    cpu->tlbs = calloc(1, sizeof(*cpu->tlbs));
    if (!cpu->tlbs)
        return false;
    cpu->tlbs->bank[0] = map_bank();
    if (!cpu->tlbs->bank[0]) {
        free(cpu->tlbs);
        cpu->tlbs = NULL;
        return false;
    }
    cpu->physical_mask = ~0ull;
    select_bank(cpu);
    new_global_epoch(cpu);
    return true;
}

void mmu_free(struct cpu *cpu)
{
    if (!cpu->tlbs)
        return;
    for (unsigned i = 0; i < TLB_BANKS; i++)
        host_memory_unmap(cpu->tlbs->bank[i], sizeof(struct tlb_bank));
    free(cpu->tlbs);
    cpu->tlbs = NULL;
}

void mmu_switch_space(struct cpu *cpu, bool keep)
{
    select_bank(cpu);
    if (!keep)
        flush_bank(cpu, cpu->tlbs->current, true);
}

static void flush_all_banks(struct cpu *cpu, bool keep_global)
{
    for (unsigned i = 0; i < TLB_BANKS; i++) {
        struct tlb_bank *bank = cpu->tlbs->bank[i];
        if (bank && bank->used)
            flush_bank(cpu, bank, keep_global);
    }
    if (!keep_global)
        new_global_epoch(cpu);
}

void mmu_flush_all(struct cpu *cpu)
{
    flush_all_banks(cpu, false);
    select_bank(cpu); /* CR4.PCIDE may have changed */
}

void mmu_invlpg(struct cpu *cpu, gva_t va)
{
    for (unsigned i = 0; i < TLB_BANKS; i++) {
        struct tlb_bank *bank = cpu->tlbs->bank[i];
        if (bank && bank->used)
            drop_page(cpu, bank, va, bank != cpu->tlbs->current);
    }
}

void mmu_invpcid(struct cpu *cpu, unsigned type, uint16_t pcid, gva_t va)
{
    struct tlb_bank *bank = find_bank(cpu->tlbs, pcid);
    switch (type) {
    case 0:
        if (bank)
            drop_page(cpu, bank, va, false);
        break;
    case 1:
        if (bank)
            flush_bank(cpu, bank, true);
        break;
    case 2:
        flush_all_banks(cpu, false);
        break;
    default:
        flush_all_banks(cpu, true);
        break;
    }
}

/* Takes the write tags of data entries for which take() says so. */
typedef bool take_fn(struct cpu *cpu, struct tlb_entry *entry, gpa_t page);

static void take_write_tags(struct cpu *cpu, take_fn *take, gpa_t page)
{
    for (unsigned i = 0; i < TLB_BANKS * TLB_VIEWS; i++) {
        struct tlb_bank *bank = cpu->tlbs->bank[i / TLB_VIEWS];
        if (!bank || !bank->used)
            continue;
        struct tlb_table *table = &bank->table[i % TLB_VIEWS];
        for (unsigned j = 0; j < table->logged; j++) {
            unsigned index = table->log[j];
            struct tlb_entry *entry = &table->entry[index];
            if (entry->write_tag != tlb_invalid_tag(index) && take(cpu, entry, page))
                entry->write_tag = tlb_invalid_tag(index);
        }
    }
}

static bool is_code_page(struct cpu *cpu, struct tlb_entry *entry, gpa_t page)
{
    (void)cpu;
    if ((entry->gpa & PAGE_MASK) != page)
        return false;
    if (!(entry->gpa & TLB_DIRECT))
        entry->gpa |= TLB_CODE;
    return true;
}

void mmu_protect_code_page(struct cpu *cpu, gpa_t page)
{
    take_write_tags(cpu, is_code_page, page & PAGE_MASK);
}

static bool is_direct(struct cpu *cpu, struct tlb_entry *entry, gpa_t page)
{
    (void)page;
    if (!(entry->gpa & TLB_DIRECT))
        return false;
    const struct phys_region *region = phys_find(cpu->phys, entry->gpa & PAGE_MASK);
    if (region)
        phys_note_written(region, entry->gpa & PAGE_MASK);
    return true;
}

void mmu_rearm_direct(struct cpu *cpu)
{
    take_write_tags(cpu, is_direct, 0);
}
