/* The code cache: translations, their links, and how code finds them. Private to jit/. */
#ifndef DOPPEL_JIT_CACHE_H
#define DOPPEL_JIT_CACHE_H

#include "cpu/blocks.h"
#include "host/codemem.h"
#include "jit/jit.h"

struct assembler;

/* A jump from the end of one translation to the start of another one in the same mode, and in the
 * same page or at least the same large page. Until it is linked, and when its target goes, it leads
 * to its own way out. */
struct jit_link {
    uint8_t *site; /* the rel32, in the writable view */
    uint8_t *unlinked;
    struct jit_link *next, **previous; /* into the same target; previous NULL: not linked */
    struct jit_link *older;            /* made before it in this generation */
    gpa_t gpa;                         /* of the target block */
    uint32_t mode;                     /* likewise, as in struct block */
    bool backward;                     /* requests must be polled on the way */
};

struct translation {
    uint8_t *polled; /* where backward links enter; this and the following in the writable view */
    uint8_t *entry;  /* where other links and C code enter */
    /* Where jumps by address enter: checks a jump entry of the space's own, or of the global ones.
     * NULL: none yet. */
    uint8_t *indirect[2];
    struct jit_link *incoming;
    uint32_t host_size;
    uint16_t offset;     /* in the page */
    uint8_t flags_alive; /* whether any status flag is live at entry */
};

/* Jumps by address look here, then in the entry beside it, where go those that others displace.
 * `context` is what struct cpu must have at `context`, or for global
 * entries at `requests`: with zeroes where the requests are, so that one compare fails for another
 * context and for a pending request. `code` is never NULL. */
#define JIT_JUMP_BITS 15
#define JIT_JUMP_ENTRIES (1u << JIT_JUMP_BITS)

struct jit_jump {
    gva_t va;
    uint64_t context;
    const uint8_t *code; /* of translation.indirect, in the executable view */
    uint64_t unused;
};

_Static_assert(sizeof(struct jit_jump) == 32, "emitted code shifts the index by 5");

/* Which pairs of mode word and epoch have which number. */
#define JIT_CONTEXTS 256

struct jit_context {
    uint32_t mode, epoch, number;
};

/* The numbers for a mode word and the two epochs. */
struct jit_selection {
    uint32_t mode, space_epoch, global_epoch;
    uint32_t context, global_context;
};

/* How code was left: by which link, for JIT_EXIT_LINK. */
struct jit_left {
    struct jit_link *link;
    uint64_t exit; /* enum jit_exit */
};

/* What an access that meets no TLB entry wants of it: enum mmu_refill. */
enum refill_kind { REFILL_READ, REFILL_WRITE, REFILL_READ_TO_WRITE, REFILL_KINDS };

/* What follows a call of a refill thunk and the JMP that makes the check again. */
struct jit_site {
    uint32_t offset : 12;    /* of the instruction in its page */
    uint32_t last : 8;       /* byte of the span */
    uint32_t may_bounce : 1; /* a copy of the bytes will do */
    uint32_t second : 1;     /* the address is in T2, not T0 */
    uint32_t check_size : 8; /* from there to behind the check, in bytes */
};

#define JIT_RETRY_SIZE 5

/* What a JMP leaves of the CMP and JNE that an indirect entry begins with, in bytes. */
#define JIT_INDIRECT_REST 4

_Static_assert(sizeof(struct jit_site) == 4, "emitted as an immediate");

/* Where struct cpu's `kept` has T0 and T2. */
enum { JIT_KEPT_T0 = 6, JIT_KEPT_T2 = 7 };

/* Plain translations that refill thunks find without further ado. */
#define JIT_PLAIN_ENTRIES 64

struct jit_plain_entry {
    uint64_t rip;
    uint32_t context, age; /* must be cpu->context and jit->plain_age */
    const uint8_t *code;   /* in the executable view */
};

/* Shared code, in the executable view. */
struct jit_thunks {
    struct jit_left (*enter)(struct cpu *cpu, const uint8_t *code); /* runs until code leaves */
    /* Call: T0 is the instruction's offset in the arena. [status flags in][status flags out] */
    const uint8_t *handler[2][2];
    const uint8_t *handler_leave[2]; /* jump: after the handler it leaves */
    const uint8_t *handler_jump[2];  /* jump: after the handler it goes on at next_rip */
    const uint8_t *lookup;           /* jump to T0; T1 as struct cpu's branch */
    const uint8_t *second;           /* jump: T0 is not what T2's jump entry is for */
    const uint8_t *miss;             /* jump: leaves with RIP = T0 */
    const uint8_t *leave_at;         /* jump: leaves with RIP = code_page + T0 */
    const uint8_t *leave_link;       /* jump: leaves with link T0 */
    /* Call: load or save vector or x87 registers. They change T0, T1 and the flags; save_vec
     * changes RAX and the flags. */
    const uint8_t *load_vec, *save_vec, *load_fx, *save_fx;
    /* Call, after a check of T0 or T2 has failed: returns with the linear address in it and a TLB
     * entry filled, or goes on behind the check with the pointer in it, or in the instruction's
     * plain translation. A JMP and struct jit_site follow the call. */
    const uint8_t *refill[REFILL_KINDS][2];
    const uint8_t
        *plain; /* jump: on in the plain translation of the instruction at T0 in the page */
    /* Call, with RCX not zero: REP STOS and REP MOVS by binary logarithm of the element's size,
     * with DF clear. RCX is not zero afterwards where the handler is to go on. They change T0, T1,
     * T2 and the flags. */
    const uint8_t *repeat[2][4];
};

struct jit {
    struct jit_config config;
    struct codemem mem;
    ptrdiff_t to_exec; /* from the writable to the executable view */
    /* The cache behind the thunks, and the records, are cut in parts, one for each generation of
     * blocks. A translation lies in the part of the generation in which it was made, its block in
     * that generation or an older one. */
    size_t thunks_end, part_size;
    size_t used, end; /* of the code of the newest generation */
    bool bmi2;
    bool wrgsbase;
    bool xsave; /* the host's, without which x87 is left to handlers */
    struct jit_thunks thunks;
    struct jit_jump *jump;
    struct jit_context context[2][JIT_CONTEXTS]; /* of space epochs, of global ones */
    uint32_t last_context;
    struct jit_selection selected; /* what struct cpu has */
    struct jit_selection before;   /* likely the next one */
    struct translation *entered;   /* last, from C; or NULL */
    struct jit_link *left_by;      /* what the last run left by, to be linked; or NULL */
    struct jit_plain_entry plain[JIT_PLAIN_ENTRIES];
    uint32_t plain_age; /* changes when a plain translation goes */
    uint8_t *records;   /* translations and links; go with the code */
    size_t records_used, records_end;
    struct jit_link *links[BLOCK_GENERATIONS]; /* of each generation's code; newest first */
    struct jit_stats stats;
    uint64_t called[DEC_OP_COUNT], slow_paths;
    FILE *perf_map;
#ifdef DOPPEL_RECORD_OPERANDS
    uint8_t *operands; /* enum asm_record for each byte of mem */
    uint64_t operands_checked;
#endif
};

#define JIT_RECORDS_SIZE ((size_t)16 << 20)
#define JIT_RECORDS_PART (JIT_RECORDS_SIZE / BLOCK_GENERATIONS)
#define JIT_BLOCK_MAX (32u << 10) /* host bytes that the largest block can take, with a margin */

static inline bool jit_has(const struct jit *jit, enum jit_feature feature)
{
    return !(jit->config.without & feature);
}

static inline struct translation *jit_translation(const struct block *block)
{
    return block->translation;
}

/* Whether there is room for one more block. */
bool jit_has_room(const struct jit *jit);
void *jit_record(struct jit *jit, size_t size);

/* A link in the code of the newest generation, not linked yet. */
struct jit_link *jit_new_link(struct cpu *cpu);

/* Lets `link` lead to target. */
void jit_link(struct jit_link *link, struct translation *target);

/* Enters va of the current context into the jump table, or of all spaces; makes target's indirect
 * entry. */
void jit_enter_jump(struct cpu *cpu, gva_t va, struct translation *target, bool global);

/* Sets cpu->context and cpu->global_context. And whether they are up to date. */
void jit_select_context(struct cpu *cpu);
bool jit_is_context(const struct cpu *cpu);

/* After an instruction whose handler has set cpu->leave: whether translated code can go on at
 * next_rip in what is now its context. False: the run loop has something to do first. */
bool jit_resume(struct cpu *cpu);

static inline struct jit_plain_entry *jit_plain_entry(struct jit *jit, uint64_t rip)
{
    return &jit->plain[(rip ^ rip >> 6) % JIT_PLAIN_ENTRIES];
}

/* reach.c: a failed check's way on, for its thunk: NULL: it is to be made again. `retry` is the
 * thunk's return address. */
const uint8_t *jit_reach(struct cpu *cpu, gva_t va, enum refill_kind kind, const uint8_t *retry);

/* The plain translation of the block at RIP, in the executable view; NULL: leave. Raises what
 * fetching raises. */
const uint8_t *jit_plain(struct cpu *cpu);

/* Engine callbacks. */
void jit_block_dropped(struct cpu *cpu, struct block *block);
void jit_blocks_dropped(struct cpu *cpu);
void jit_generation_began(struct cpu *cpu, unsigned generation);

/* thunks.c, refill.c */
void jit_emit_thunks(struct cpu *cpu);
void jit_emit_indirect_entry(struct jit *jit, struct translation *target, bool global);

/* state.c: the thunks for vector and x87 registers; and save_fx for C code. */
void jit_emit_state_thunks(struct cpu *cpu, struct assembler *a);
void jit_save_fx(struct cpu *cpu);

/* translate.c: NULL where there is no room. A plain translation runs accesses that cannot be
 * grouped: to devices, across pages, to pages with code, and those that fault. */
struct translation *jit_translate(struct cpu *cpu, struct block *block, bool plain);

#endif
