/* Decoded blocks: how they are built, found and dropped. Private to the interpreter.
 *
 * A block is a run of instructions within one guest-physical page, decoded for one mode word; an
 * instruction that crosses a page is a block of its own, keyed by both pages. It goes on after a
 * conditional jump, which leaves it where it is taken: one entry, several exits. The arena that
 * blocks lie in is a ring of generations: where the newest is full, the oldest goes and makes room.
 * A dropped block keeps its memory until then, marked dead, so that who holds a pointer to it can
 * tell.
 *
 * Who writes code, the vCPU or a device, only notes where (blocks_note_write()); the vCPU drops
 * blocks between two blocks (blocks_drop_written()), so that none goes while it runs. */
#ifndef DOPPEL_CPU_BLOCKS_H
#define DOPPEL_CPU_BLOCKS_H

#include "base/bits.h"
#include "cpu/interp.h"

#include <pthread.h>

#define BLOCK_MAX_INSNS 64
#define BLOCK_MAX_EXITS 8     /* conditional jumps in a block's middle */
#define BLOCKS_A_SAMPLE 64    /* of the time that decoding takes: struct cpu_stats */
#define BLOCK_DEAD UINT32_MAX /* no mode word */
#define BLOCK_LARGE BIT(31)   /* beside the mode word: fetched through a page of 2 MiB or more */
#define BLOCK_LARGE_SIZE (2u << 20)
#define BLOCK_ONE_PAGE UINT64_MAX

struct block {
    gpa_t gpa;         /* of its first byte */
    gpa_t second;      /* the page it crosses into, or BLOCK_ONE_PAGE */
    uint32_t mode;     /* without MODE_STEP, with BLOCK_LARGE; BLOCK_DEAD when dropped */
    uint16_t count;    /* of instructions */
    uint16_t length;   /* of their code in bytes */
    uint16_t patience; /* how often it is interpreted before an engine takes it */
    void *translation; /* another engine's, and one that it makes for what is rare */
    void *plain_translation;
    struct block *next_in_bucket;
    struct block *next_kept; /* older, in its generation */
    struct interp_insn insn[];
};

/* The jump cache: from linear address, mode and address space to block. Through a global
 * translation the epoch is the global one. */
#define JUMP_ENTRIES 32768

struct jump_entry {
    gva_t va;
    uint32_t epoch; /* 0: the entry is empty */
    uint32_t mode;  /* without MODE_STEP */
    struct block *block;
};

#define WRITTEN_MAX 64

struct written_range {
    gpa_t gpa;
    unsigned size;
};

struct code_page;

/* How often a block is interpreted before it is translated. Many run only once. Code that is
 * rewritten time and again is not worth translating until it has run as often as a translation
 * costs; rewrites are counted by hash of a block's address. */
#define FIRST_PATIENCE 1
#define REWRITE_COUNTS 4096
#define REWRITES_MAX 3
#define REWRITTEN_PATIENCE 12

#define BLOCK_GENERATIONS 8

struct blocks {
    uint8_t *arena;
    size_t used; /* up to where the newest generation reaches */
    unsigned generation;
    struct block *kept[BLOCK_GENERATIONS]; /* of each one, dead ones too; newest first */
    struct code_page *page_memory, *free_pages;
    unsigned used_pages,
        free_page_count;      /* of page_memory; the latter of the rest and free_pages */
    struct block **buckets;   /* by physical address and mode */
    struct code_page **pages; /* by page: which blocks have code there */
    struct jump_entry *jump;
    uint8_t rewrites[REWRITE_COUNTS];
    uint16_t first_patience; /* of new blocks; an engine's to set */
    struct block *loose;     /* one instruction fetched from a device: kept nowhere */
    pthread_mutex_t lock;    /* of the following; nothing is locked inside it */
    struct written_range written[WRITTEN_MAX];
    unsigned written_count;
    bool drop_all;
};

bool blocks_init(struct blocks *blocks);
void blocks_free(struct blocks *blocks);

/* Any thread. */
void blocks_note_write(struct blocks *blocks, gpa_t gpa, unsigned size);
void blocks_note_drop_all(struct blocks *blocks);

/* Drops what has been noted. */
void blocks_drop_written(struct cpu *cpu, struct blocks *blocks);

/* The block that begins at linear address va in cpu's mode, built if need be. Raises what fetching
 * its first instruction raises. */
struct block *blocks_find_slow(struct cpu *cpu, struct blocks *blocks, gva_t va);

/* blocks_mark() marks bytes as code before they are read, blocks_watch() ties a block to further
 * bytes of its page that are marked: it goes when they are written. The arena's room must do for
 * it: blocks_has_room(). */
void blocks_mark(struct cpu *cpu, gpa_t gpa, unsigned size);
void blocks_watch(struct cpu *cpu, struct blocks *blocks, struct block *block, gpa_t gpa,
                  unsigned size);
bool blocks_has_room(const struct blocks *blocks);

/* Drops the oldest generation and begins a new one in its place; no block may be running. */
void blocks_next_generation(struct cpu *cpu, struct blocks *blocks);

/* Drops every block at once; none may be running. */
void blocks_drop_all(struct cpu *cpu, struct blocks *blocks);

/* build.c: decodes at the top of the arena, which has room for the largest block; mode is the
 * block's. NULL where the memory for host code is full. */
struct block *block_build(struct cpu *cpu, struct blocks *blocks, gva_t va, gpa_t gpa,
                          uint32_t mode);

static inline uint8_t *blocks_rewrites(struct blocks *blocks, gpa_t gpa)
{
    return &blocks->rewrites[(gpa ^ gpa >> PAGE_SHIFT) & (REWRITE_COUNTS - 1)];
}

/* Whether a block of this mode begins at gpa. */
bool blocks_begin_at(struct blocks *blocks, gpa_t gpa, uint32_t mode);

/* The arena: blocks_top() is where block_build() writes, blocks_keep() keeps what it wrote. */
static inline struct block *blocks_top(struct blocks *blocks)
{
    return (struct block *)(blocks->arena + blocks->used);
}
void blocks_keep(struct cpu *cpu, struct blocks *blocks, struct block *block);

/* Whether all of its code is mapped wherever its first byte is. */
static inline bool block_is_whole(const struct block *block)
{
    return block->second == BLOCK_ONE_PAGE ||
           (block->mode & BLOCK_LARGE && block->second == (block->gpa & PAGE_MASK) + PAGE_SIZE &&
            (block->second ^ block->gpa) < BLOCK_LARGE_SIZE);
}

static inline uint32_t blocks_mode(const struct cpu *cpu)
{
    return cpu->mode & ~(uint32_t)MODE_STEP;
}

static inline struct jump_entry *blocks_jump_entry(struct blocks *blocks, gva_t va)
{
    return &blocks->jump[(va ^ va >> 12) & (JUMP_ENTRIES - 1)];
}

static inline struct block *blocks_find(struct cpu *cpu, struct blocks *blocks, gva_t va)
{
    const struct jump_entry *entry = blocks_jump_entry(blocks, va);
    if (LIKELY(entry->va == va && entry->mode == blocks_mode(cpu) &&
               (entry->epoch == cpu->space_epoch || entry->epoch == cpu->global_epoch) &&
               entry->block->mode != BLOCK_DEAD))
        return entry->block;
    return blocks_find_slow(cpu, blocks, va);
}

/* Whether the block that was just found at va was so through a global translation. */
static inline bool blocks_found_global(struct cpu *cpu, struct blocks *blocks, gva_t va)
{
    return blocks_jump_entry(blocks, va)->epoch == cpu->global_epoch;
}

#endif
