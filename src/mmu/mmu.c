/* Slow loads and stores: what the inline lookup of cpu/access.h does not find. */
#include "mmu/mmu.h"

#include "base/bits.h"
#include "cpu/state.h"
#include "mmu/bank.h"
#include "mmu/phys.h"
#include "mmu/store_log.h"
#include "mmu/watch.h"

/* Part of an access, within one page. */
struct part {
    gva_t va;
    unsigned size;
    gpa_t gpa;
    uint8_t *host; /* of the first byte; NULL: a device or absent memory */
    bool rom;      /* writes vanish, or go to sink */
    uint8_t *sink; /* of the first byte, or NULL */
    bool code;     /* the page holds decoded code */
};

/* A store to a page that has or had decoded code, through an entry that knows its translation. */
static void translate_near_code(struct cpu *cpu, struct tlb_entry *entry, struct part *part)
{
    uint64_t offset = part->va & ~PAGE_MASK;
    part->host = entry->host + offset;
    part->gpa = (entry->gpa & PAGE_MASK) | offset;
    part->code = phys_page_has_code(cpu->phys, part->gpa);
    if (!part->code && !cpu->stores) {
        entry->gpa &= ~(uint64_t)TLB_CODE;
        entry->write_tag = entry->read_tag;
    }
}

/* A walk, or what an earlier one to a device's page has found. */
static enum mmu_status walk_data(struct cpu *cpu, enum tlb_view view, enum mmu_access access,
                                 gva_t va, bool quick, struct walk *walk, struct mmu_fault *fault)
{
    const struct tlb_device_page *device = tlb_device_page(cpu->tlbs->current, va);
    if (tlb_is_device(device, view, va) && (access == MMU_READ || device->walk.writable)) {
        *walk = device->walk;
        walk->gpa |= va & ~PAGE_MASK;
        return MMU_OK;
    }
    return walk_translate(cpu, view, access, va, quick, walk, fault);
}

static void keep_device_page(struct tlb_bank *bank, enum tlb_view view, gva_t va,
                             const struct walk *walk)
{
    struct tlb_device_page *device = tlb_device_page(bank, va);
    *device = (struct tlb_device_page){true, view, va & PAGE_MASK, *walk};
    device->walk.gpa &= PAGE_MASK;
}

static enum mmu_status translate_data(struct cpu *cpu, enum tlb_view view, enum mmu_access access,
                                      bool quick, struct part *part, struct mmu_fault *fault)
{
    struct tlb_bank *bank = cpu->tlbs->current;
    struct tlb_entry *entry = tlb_table_entry(&bank->table[view], part->va);
    uint64_t offset = part->va ^ (access == MMU_WRITE ? entry->write_tag : entry->read_tag);
    part->rom = part->code = false;
    part->sink = NULL;
    if (offset < PAGE_SIZE) {
        part->host = entry->host + offset;
        part->gpa = (entry->gpa & PAGE_MASK) | offset;
        return MMU_OK;
    }
    if (access == MMU_WRITE && entry->gpa & TLB_CODE && (part->va ^ entry->read_tag) < PAGE_SIZE) {
        translate_near_code(cpu, entry, part);
        return MMU_OK;
    }
    struct walk walk;
    enum mmu_status status = walk_data(cpu, view, access, part->va, quick, &walk, fault);
    if (status != MMU_OK)
        return status;
    part->gpa = walk.gpa;
    part->host = NULL;
    struct phys_region *region = phys_find(cpu->phys, walk.gpa);
    if (!region) {
        keep_device_page(bank, view, part->va, &walk);
        return MMU_OK;
    }
    if (access == MMU_WRITE && region->kind == PHYS_ROM && region->direct)
        return MMU_OK; /* a command */
    part->host = region->host + (walk.gpa - region->base);
    part->rom = region->kind == PHYS_ROM;
    part->sink = region->sink ? region->sink + (walk.gpa - region->base) : NULL;
    part->code = phys_region_has_code(region, walk.gpa);
    uint8_t *page = part->host - (part->va & ~PAGE_MASK);
    bool writable = walk.writable && !part->rom;
    bool slow = part->code || cpu->stores;
    if (region->direct && !part->rom) {
        walk.flags |= TLB_DIRECT;
        if (access == MMU_WRITE)
            phys_note_written(region, walk.gpa);
        else
            slow = true; /* the first store is to come by */
    } else if (writable && slow) {
        walk.flags |= TLB_CODE;
    }
    if (LIKELY(!cpu->watching || !watch_in_page(cpu, part->va)))
        tlb_fill(bank, view, part->va, &walk, page, writable && !slow);
    return MMU_OK;
}

/* The address of the page after va's: linear addresses outside 64-bit mode wrap at 4 GiB. */
static gva_t next_page(const struct cpu *cpu, gva_t va)
{
    gva_t next = (va & PAGE_MASK) + PAGE_SIZE;
    if (next == BIT(32) && mode_code(cpu->mode) != DEC_MODE_64)
        return 0;
    return next;
}

bool mmu_refill(struct cpu *cpu, gva_t va, enum mmu_refill kind)
{
    enum tlb_view view = mode_view(cpu->mode);
    struct tlb_bank *bank = cpu->tlbs->current;
    const struct tlb_entry *entry = tlb_table_entry(&bank->table[view], va);
    const uint64_t *tag = kind == MMU_REFILL_READ ? &entry->read_tag : &entry->write_tag;
    struct part part = {.va = va};
    struct mmu_fault fault;
    if ((va ^ *tag) < PAGE_SIZE || tlb_is_device(tlb_device_page(bank, va), view, va))
        return false; /* the access goes on in the next page, or would find nothing */
    cpu->stats.tlb_slow++;
    enum mmu_access access = kind == MMU_REFILL_WRITE ? MMU_WRITE : MMU_READ;
    return translate_data(cpu, view, access, true, &part, &fault) == MMU_OK &&
           (va ^ *tag) < PAGE_SIZE;
}

static void copy_8(uint8_t *to, const uint8_t *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    memcpy(to, &value, sizeof(value));
}

bool mmu_read_across(struct cpu *cpu, gva_t va, uint8_t *data, unsigned size)
{
    gva_t next = next_page(cpu, va);
    const struct tlb_entry *low = &cpu->tlb[tlb_index(va)];
    const struct tlb_entry *high = &cpu->tlb[tlb_index(next)];
    unsigned in_page = (unsigned)(va & ~PAGE_MASK);
    unsigned room = PAGE_SIZE - in_page;
    if (room >= size || low->read_tag != (va & PAGE_MASK) || high->read_tag != next)
        return false;
    for (unsigned left = align_up(room, 8); left; left -= 8)
        copy_8(data + room - left, low->host + PAGE_SIZE - left);
    for (unsigned i = 0; i < size - room; i += 8)
        copy_8(data + room + i, high->host + i);
    return true;
}

/* Splits an access at the page's end and translates its one or two parts. */
static enum mmu_status translate_parts(struct cpu *cpu, enum tlb_view view, enum mmu_access access,
                                       gva_t va, unsigned size, struct part part[2],
                                       unsigned *count, struct mmu_fault *fault)
{
    unsigned room = PAGE_SIZE - (unsigned)(va & ~PAGE_MASK);
    *count = size > room ? 2 : 1;
    part[0].va = va;
    part[0].size = *count == 2 ? room : size;
    part[1].va = next_page(cpu, va);
    part[1].size = size - part[0].size;
    cpu->stats.tlb_slow++;
    for (unsigned i = 0; i < *count; i++) {
        enum mmu_status status = translate_data(cpu, view, access, false, &part[i], fault);
        if (status != MMU_OK)
            return status;
    }
    return MMU_OK;
}

static void note_access(struct cpu *cpu, const struct part part[2], unsigned count,
                        enum watch_kind kind)
{
    for (unsigned i = 0; i < count; i++)
        watch_access(cpu, part[i].va, part[i].size, kind);
}

static unsigned device_chunk(unsigned size)
{
    return size < 8 ? size : 8;
}

enum mmu_status mmu_read(struct cpu *cpu, enum tlb_view view, gva_t va, void *data, unsigned size,
                         struct mmu_fault *fault)
{
    struct part part[2];
    unsigned count;
    enum mmu_status status = translate_parts(cpu, view, MMU_READ, va, size, part, &count, fault);
    if (status != MMU_OK)
        return status;
    if (UNLIKELY(cpu->watching))
        note_access(cpu, part, count, WATCH_READ);
    uint8_t *out = data;
    for (unsigned i = 0; i < count; out += part[i++].size) {
        if (part[i].host) {
            memcpy(out, part[i].host, part[i].size);
            continue;
        }
        for (unsigned done = 0; done < part[i].size;) {
            unsigned chunk = device_chunk(part[i].size - done);
            cpu->stats.mmio_accesses++;
            store_le(out + done, phys_mmio_read(cpu->phys, part[i].gpa + done, chunk), chunk);
            done += chunk;
        }
    }
    return MMU_OK;
}

uint8_t *mmu_store_beside_code(struct cpu *cpu, enum tlb_view view, gva_t va, unsigned size)
{
    const struct tlb_entry *entry = tlb_table_entry(&cpu->tlbs->current->table[view], va);
    uint64_t offset = va ^ entry->read_tag;
    if (!(entry->gpa & TLB_CODE) || offset > PAGE_SIZE - size ||
        !phys_is_beside_code(cpu->phys, (entry->gpa & PAGE_MASK) + offset, size))
        return NULL;
    if (UNLIKELY(cpu->stores != NULL))
        store_log_note(cpu->stores, entry->gpa);
    return entry->host + offset;
}

static void write_part(struct cpu *cpu, const struct part *part, const uint8_t *in)
{
    if (!part->host) {
        for (unsigned done = 0; done < part->size;) {
            unsigned chunk = device_chunk(part->size - done);
            cpu->stats.mmio_accesses++;
            phys_mmio_write(cpu->phys, part->gpa + done, load_le(in + done, chunk), chunk);
            done += chunk;
        }
        return;
    }
    if (part->rom) {
        if (part->sink)
            memcpy(part->sink, in, part->size);
        return;
    }
    if (part->code && !memcmp(part->host, in, part->size) &&
        !phys_is_monitored(cpu->phys, part->gpa, part->size))
        return; /* code stays what it is */
    memcpy(part->host, in, part->size);
    if (UNLIKELY(cpu->stores != NULL))
        store_log_note(cpu->stores, part->gpa);
    if (part->code && phys_code_stored(cpu->phys, part->gpa, part->size)) {
        cpu->stats.code_writes++;
        cpu->leave = 1;
    }
}

enum mmu_status mmu_write(struct cpu *cpu, enum tlb_view view, gva_t va, const void *data,
                          unsigned size, struct mmu_fault *fault)
{
    struct part part[2];
    unsigned count;
    enum mmu_status status = translate_parts(cpu, view, MMU_WRITE, va, size, part, &count, fault);
    if (status != MMU_OK)
        return status;
    if (UNLIKELY(cpu->watching))
        note_access(cpu, part, count, WATCH_WRITE);
    const uint8_t *in = data;
    for (unsigned i = 0; i < count; in += part[i++].size)
        write_part(cpu, &part[i], in);
    return MMU_OK;
}

void mmu_write_physical(struct cpu *cpu, gpa_t gpa, const void *data, unsigned size)
{
    if (UNLIKELY(cpu->stores != NULL)) {
        store_log_note(cpu->stores, gpa);
        store_log_note(cpu->stores, gpa + size - 1);
    }
    phys_write(cpu->phys, gpa, data, size);
    cpu->leave = 1;
}

enum mmu_status mmu_probe_write(struct cpu *cpu, enum tlb_view view, gva_t va, unsigned size,
                                struct mmu_fault *fault)
{
    struct part part[2];
    unsigned count;
    return translate_parts(cpu, view, MMU_WRITE, va, size, part, &count, fault);
}

/* As mmu_fetch(), with the page's host address: NULL where the code is not in memory. */
static enum mmu_status fetch_page(struct cpu *cpu, gva_t va, gpa_t *gpa, unsigned *flags,
                                  uint8_t **host, struct mmu_fault *fault)
{
    bool user = (cpu->mode >> MODE_CPL_SHIFT & 3) == 3;
    unsigned table = user ? TLB_TABLE_FETCH_USER : TLB_TABLE_FETCH_SUPERVISOR;
    struct tlb_bank *bank = cpu->tlbs->current;
    const struct tlb_entry *entry = tlb_table_entry(&bank->table[table], va);
    uint64_t offset = va ^ entry->read_tag;
    if (offset < PAGE_SIZE) {
        *flags = entry->gpa & (TLB_GLOBAL | TLB_LARGE | TLB_HUGE);
        tlb_note_fetch(cpu->tlbs, va, *flags);
        *gpa = (entry->gpa & PAGE_MASK) | offset;
        *host = entry->host + offset;
        return MMU_OK;
    }
    struct walk walk;
    enum tlb_view view = user ? TLB_VIEW_USER : TLB_VIEW_SUPERVISOR;
    enum mmu_status status = walk_translate(cpu, view, MMU_EXECUTE, va, false, &walk, fault);
    if (status != MMU_OK)
        return status;
    *gpa = walk.gpa;
    *flags = walk.flags;
    tlb_note_fetch(cpu->tlbs, va, *flags);
    struct phys_region *region = phys_find(cpu->phys, walk.gpa);
    *host = region ? region->host + (walk.gpa - region->base) : NULL;
    if (region)
        tlb_fill(bank, table, va, &walk, *host - (va & ~PAGE_MASK), false);
    return MMU_OK;
}

enum mmu_status mmu_fetch(struct cpu *cpu, gva_t va, gpa_t *gpa, unsigned *flags,
                          struct mmu_fault *fault)
{
    uint8_t *host;
    return fetch_page(cpu, va, gpa, flags, &host, fault);
}

unsigned mmu_fetch_bytes(struct cpu *cpu, gva_t va, uint8_t *bytes, unsigned size,
                         enum mmu_status *status, struct mmu_fault *fault)
{
    unsigned done = 0;
    *status = MMU_OK;
    while (done < size) {
        gpa_t gpa;
        uint8_t *host;
        unsigned flags;
        *status = fetch_page(cpu, va, &gpa, &flags, &host, fault);
        if (*status != MMU_OK)
            return done;
        unsigned chunk = PAGE_SIZE - (unsigned)(va & ~PAGE_MASK);
        if (chunk > size - done)
            chunk = size - done;
        if (host) {
            memcpy(bytes + done, host, chunk);
        } else {
            for (unsigned i = 0; i < chunk; i++)
                bytes[done + i] = (uint8_t)phys_mmio_read(cpu->phys, gpa + i, 1);
        }
        done += chunk;
        va = next_page(cpu, va);
    }
    return done;
}

bool mmu_debug_translate(struct cpu *cpu, gva_t va, gpa_t *gpa)
{
    return walk_peek(cpu, va, gpa);
}
