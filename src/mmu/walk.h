/* The page walk (SDM vol. 3, chapter 4), private to mmu/. */
#ifndef DOPPEL_MMU_WALK_H
#define DOPPEL_MMU_WALK_H

#include "mmu/mmu.h"

struct walk {
    gpa_t gpa;      /* of the very byte */
    unsigned flags; /* enum tlb_flag */
    bool writable;  /* the view may write here, and the dirty bit is set */
};

/* Translates va for an access with the rights of view, setting accessed and dirty bits. A quick
 * walk fails, with a fault that means nothing, where it would have to set them in a page with code.
 */
enum mmu_status walk_translate(struct cpu *cpu, enum tlb_view view, enum mmu_access access,
                               gva_t va, bool quick, struct walk *walk, struct mmu_fault *fault);

/* The same for a look from outside: no rights, no faults, nothing set. */
bool walk_peek(struct cpu *cpu, gva_t va, gpa_t *gpa);

#endif
