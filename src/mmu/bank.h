/* The banks behind cpu->tlb, private to mmu/.
 *
 * A bank holds the translations of one PCID in five tables of one shape: data accesses by view, and
 * fetches by privilege (read_tag is then the fetch tag and write_tag stays invalid). A table logs
 * which entries it has filled, so that a flush costs what was filled. An entry whose host and gpa
 * are stale has invalid tags; memory of all zeroes is an empty table but for entry 0, which page 0
 * would match. */
#ifndef DOPPEL_MMU_BANK_H
#define DOPPEL_MMU_BANK_H

#include "mmu/mmu.h"
#include "mmu/walk.h"

struct cpu;

enum tlb_table_index {
    TLB_TABLE_FETCH_USER = TLB_VIEWS,
    TLB_TABLE_FETCH_SUPERVISOR,
    TLB_TABLES,
};

/* Translated code has the table's address in RSP: below it is the room for what calls push. */
#define TLB_STACK_ROOM 4096

struct tlb_table {
    uint8_t stack_room[TLB_STACK_ROOM];
    struct tlb_entry entry[TLB_ENTRIES];
    uint16_t log[TLB_ENTRIES];
    unsigned logged;
    bool in_log[TLB_ENTRIES];
};

/* Hashed bits, so that most of INVLPG is a few tests. */
#define TLB_FILTER_BITS 4096

struct tlb_filter {
    uint64_t bits[TLB_FILTER_BITS / 64];
};

/* What has been fetched from in an epoch: pages, and ranges around va of large and huge ones. */
struct tlb_fetches {
    struct tlb_filter page, large, huge;
};

/* What walks to pages of devices have found, which no table has: until any flush. */
#define TLB_DEVICE_PAGES 4

struct tlb_device_page {
    bool used;
    enum tlb_view view;
    gva_t page;
    struct walk walk;
};

struct tlb_bank {
    struct tlb_table table[TLB_TABLES];
    struct tlb_device_page device[TLB_DEVICE_PAGES];
    /* Which 4 MiB (1 GiB) ranges have fragments of large (huge) pages. */
    struct tlb_filter large, huge;
    struct tlb_fetches fetches; /* through translations that are not global */
    uint16_t pcid;
    bool used;
    uint32_t epoch;
    uint64_t last_used;
};

struct tlb {
    struct tlb_bank *bank[TLB_BANKS]; /* mapped when first needed */
    struct tlb_bank *current;
    uint64_t clock; /* of last_used */
    uint32_t last_epoch;
    struct tlb_fetches global_fetches; /* through global translations, in cpu->global_epoch */
};

static inline struct tlb_entry *tlb_table_entry(struct tlb_table *table, gva_t va)
{
    return &table->entry[tlb_index(va)];
}

static inline struct tlb_device_page *tlb_device_page(struct tlb_bank *bank, gva_t va)
{
    return &bank->device[(va >> PAGE_SHIFT) % TLB_DEVICE_PAGES];
}

static inline bool tlb_is_device(const struct tlb_device_page *device, enum tlb_view view, gva_t va)
{
    return device->used && device->view == view && device->page == (va & PAGE_MASK);
}

/* Enters a translation. host is the page in RAM or ROM. */
void tlb_fill(struct tlb_bank *bank, unsigned table, gva_t va, const struct walk *walk,
              uint8_t *host, bool writable);

/* Code at va has been fetched in the current bank through a translation of these flags. */
void tlb_note_fetch(struct tlb *tlb, gva_t va, unsigned flags);

#endif
