/* Which memory accesses of a block share one check (doc/translator.md).
 *
 * Accesses off one base, index and scale lie at fixed distances from each other. They form a group:
 * the first that is executed checks the whole span from the lowest to the highest byte, the others
 * use its host pointer. */
#ifndef DOPPEL_JIT_GROUPS_H
#define DOPPEL_JIT_GROUPS_H

#include "cpu/blocks.h"

#define GROUP_SPAN_MAX BOUNCE_MAX /* a larger span meets the end of a page more often */
#define GROUP_NONE UINT16_MAX
#define ACCESSES_PER_INSN 2 /* PUSH and CALL with a memory operand; in order of execution */
#define ACCESS_MAX (ACCESSES_PER_INSN * BLOCK_MAX_INSNS)

struct access {
    uint16_t group; /* GROUP_NONE: there is no such access */
    uint16_t next;  /* the next one of the group; GROUP_NONE: it is the last */
    int64_t offset; /* from where the group's base was when it began */
    uint16_t size;
    bool write;
};

struct group {
    /* Value numbers of base and index, 0 where there is none; what else makes up the address. */
    uint16_t base, index;
    uint16_t era; /* segment bases have not changed in one */
    uint8_t scale, segment, address_size;
    bool write;         /* some access writes */
    bool may_bounce;    /* nothing is stored from its first access to its last */
    uint16_t stores;    /* before its first access */
    uint8_t exits;      /* conditional jumps before the first access */
    int64_t start, end; /* the span of offsets */
    uint16_t last;      /* access */
};

struct groups {
    struct access access[ACCESS_MAX];
    struct group group[ACCESS_MAX];
    unsigned count;
};

/* The accesses of a block and their groups. */
void groups_find(struct groups *groups, const struct block *block);

#endif
