/* The soft TLB: linear page to host page, in banks (one per PCID in use) and views.
 *
 * This layout is one of the project's seams (doc/seams.md). A lookup of linear address `va` is
 *
 *     entry = &view[(va >> 12) & TLB_INDEX_MASK];
 *     offset = va ^ entry->read_tag;                 (or write_tag)
 *     if (offset <= PAGE_SIZE - size)  the datum is at entry->host + offset
 *
 * one compare that checks tag and page end at once. An invalid tag lies in a page with another
 * index, so that no address can match it. write_tag is valid only where a store needs nothing else:
 * the page is writable, its dirty bit is set, and it is RAM that holds no decoded code. MMIO is
 * never entered.
 *
 * A TLB belongs to its vCPU's thread. */
#ifndef DOPPEL_MMU_TLB_H
#define DOPPEL_MMU_TLB_H

#include "base/types.h"

#define TLB_INDEX_BITS 12
#define TLB_ENTRIES (1u << TLB_INDEX_BITS)
#define TLB_INDEX_MASK (TLB_ENTRIES - 1)
#define TLB_BANKS 8

/* Whose rights an access has: three views of the same tables, chosen by CPL, RFLAGS.AC and SMAP. */
enum tlb_view {
    TLB_VIEW_USER,          /* CPL 3 */
    TLB_VIEW_SUPERVISOR,    /* CPL < 3 with RFLAGS.AC clear, and all implicit supervisor accesses */
    TLB_VIEW_SUPERVISOR_AC, /* CPL < 3 with RFLAGS.AC set: SMAP does not apply */
    TLB_VIEWS
};

struct tlb_entry {
    uint64_t read_tag;  /* linear page address, or invalid */
    uint64_t write_tag; /* likewise */
    uint8_t *host;      /* the page in this guest's own RAM or ROM */
    uint64_t gpa;       /* guest-physical page address; low bits: enum tlb_flag */
};

_Static_assert(sizeof(struct tlb_entry) == 32, "emitted code shifts the index by 5");

enum tlb_flag {
    TLB_GLOBAL = 1 << 0,
    TLB_LARGE = 1 << 1,  /* a fragment of a 2 or 4 MiB page */
    TLB_HUGE = 1 << 2,   /* a fragment of a 1 GiB page */
    TLB_CODE = 1 << 3,   /* decoded code in the page, or a log of stores, is all that stands
                            against a write tag */
    TLB_DIRECT = 1 << 4, /* memory of a device's, which asks what was written */
};

/* The tag that no lookup in entry `index` matches. */
static inline uint64_t tlb_invalid_tag(unsigned index)
{
    return (uint64_t)(index ^ 1) << PAGE_SHIFT;
}

static inline unsigned tlb_index(gva_t va)
{
    return (unsigned)(va >> PAGE_SHIFT) & TLB_INDEX_MASK;
}

#endif
