#include "cpu/blocks.h"

#include "cpu/cpu.h"
#include "cpu/exception.h"
#include "cpu/stub.h"
#include "host/memory.h"
#include "host/thread.h"
#include "mmu/phys.h"

#include <stdlib.h>

#define ARENA_SIZE ((size_t)48 << 20)
#define GENERATION_SIZE (ARENA_SIZE / BLOCK_GENERATIONS)
#define CODE_PAGES (1u << 14) /* that can have blocks at a time */
#define BUCKETS (1u << 16)
#define PAGE_BUCKETS (1u << 12)

/* A page with code, and a reference for each block that has code there. */
struct block_ref {
    struct block *block;
    struct block_ref *next;
    uint16_t start, end; /* in the page */
};

struct code_page {
    gpa_t page;
    struct code_page *next_in_bucket;
    struct block_ref *refs;
    bool stale;                     /* refs may be of dead blocks; while a generation goes */
    unsigned stray_writes;          /* to marks that outlived their blocks, since it has no block */
    uint8_t bytes[PHYS_CODE_BYTES]; /* a bit for each byte of the refs */
};

/* A page whose code was overwritten keeps its marks until that many writes show that it is not to
 * hold code again: protecting it anew is a walk through the whole TLB. */
#define STRAY_WRITES_MAX 8

/* Of a block: its own bytes, and those that it watches. */
#define BLOCK_MAX_REFS 8

/* What building and keeping the largest block can take. */
#define BLOCK_MAX_BYTES                                                                            \
    (sizeof(struct block) + BLOCK_MAX_INSNS * sizeof(struct interp_insn) +                         \
     BLOCK_MAX_REFS * sizeof(struct block_ref))

static void free_page(struct blocks *blocks, struct code_page *page)
{
    page->next_in_bucket = blocks->free_pages;
    blocks->free_pages = page;
    blocks->free_page_count++;
}

/* Memory that no page has had yet is not touched. */
static void free_all_pages(struct blocks *blocks)
{
    blocks->free_pages = NULL;
    blocks->used_pages = 0;
    blocks->free_page_count = CODE_PAGES;
}

static struct code_page *take_page(struct blocks *blocks)
{
    struct code_page *page = blocks->free_pages;
    blocks->free_page_count--;
    if (!page)
        return &blocks->page_memory[blocks->used_pages++];
    blocks->free_pages = page->next_in_bucket;
    return page;
}

bool blocks_init(struct blocks *blocks)
{
    pthread_mutex_init(&blocks->lock, NULL);
    blocks->arena = host_memory_map(ARENA_SIZE);
    blocks->buckets = host_memory_map(BUCKETS * sizeof(*blocks->buckets));
    blocks->pages = host_memory_map(PAGE_BUCKETS * sizeof(*blocks->pages));
    blocks->page_memory = host_memory_map(CODE_PAGES * sizeof(*blocks->page_memory));
    blocks->jump = host_memory_map(JUMP_ENTRIES * sizeof(*blocks->jump));
    blocks->loose = calloc(1, sizeof(struct block) + sizeof(struct interp_insn));
    if (!blocks->arena || !blocks->buckets || !blocks->pages || !blocks->page_memory ||
        !blocks->jump || !blocks->loose)
        return false;
    free_all_pages(blocks);
    return true;
}

void blocks_free(struct blocks *blocks)
{
    free(blocks->loose);
    host_memory_unmap(blocks->jump, JUMP_ENTRIES * sizeof(*blocks->jump));
    host_memory_unmap(blocks->page_memory, CODE_PAGES * sizeof(*blocks->page_memory));
    host_memory_unmap(blocks->pages, PAGE_BUCKETS * sizeof(*blocks->pages));
    host_memory_unmap(blocks->buckets, BUCKETS * sizeof(*blocks->buckets));
    host_memory_unmap(blocks->arena, ARENA_SIZE);
    pthread_mutex_destroy(&blocks->lock);
}

static void *arena_take(struct blocks *blocks, size_t size)
{
    void *p = blocks->arena + blocks->used;
    blocks->used += align_up(size, 16);
    return p;
}

static struct block **block_bucket(struct blocks *blocks, gpa_t gpa, uint32_t mode)
{
    uint64_t hash = gpa >> 2 ^ mode * 0x9e3779b97f4a7c15ull >> 40;
    return &blocks->buckets[hash & (BUCKETS - 1)];
}

bool blocks_begin_at(struct blocks *blocks, gpa_t gpa, uint32_t mode)
{
    const struct block *block = *block_bucket(blocks, gpa, mode);
    while (block && (block->gpa != gpa || block->mode != mode))
        block = block->next_in_bucket;
    return block;
}

static struct code_page **page_bucket(struct blocks *blocks, gpa_t page)
{
    return &blocks->pages[page >> PAGE_SHIFT & (PAGE_BUCKETS - 1)];
}

static struct code_page *find_page(struct blocks *blocks, gpa_t page)
{
    struct code_page *found = *page_bucket(blocks, page);
    while (found && found->page != page)
        found = found->next_in_bucket;
    return found;
}

static void set_bits(uint8_t *bitmap, unsigned start, unsigned end)
{
    uint8_t first = (uint8_t)(0xff << start % 8), last = (uint8_t)(0xff >> (7 - (end - 1) % 8));
    unsigned from = start / 8, to = (end - 1) / 8;
    if (from == to) {
        bitmap[from] |= first & last;
        return;
    }
    bitmap[from] |= first;
    memset(bitmap + from + 1, 0xff, to - from - 1);
    bitmap[to] |= last;
}

static void add_ref(struct cpu *cpu, struct blocks *blocks, struct block *block, gpa_t gpa,
                    unsigned size)
{
    gpa_t page_address = gpa & PAGE_MASK;
    struct code_page *page = find_page(blocks, page_address);
    if (!page) {
        struct code_page **bucket = page_bucket(blocks, page_address);
        page = take_page(blocks);
        *page = (struct code_page){.page = page_address, .next_in_bucket = *bucket};
        *bucket = page;
    }
    struct block_ref *ref = arena_take(blocks, sizeof(*ref));
    uint16_t start = (uint16_t)(gpa - page_address);
    *ref = (struct block_ref){block, page->refs, start, (uint16_t)(start + size)};
    if (!page->refs)
        phys_set_code_bytes(cpu->phys, page_address, page->bytes);
    page->refs = ref;
    page->stray_writes = 0;
    set_bits(page->bytes, ref->start, ref->end);
}

void blocks_keep(struct cpu *cpu, struct blocks *blocks, struct block *block)
{
    arena_take(blocks, sizeof(*block) + block->count * sizeof(block->insn[0]));
    struct block **bucket = block_bucket(blocks, block->gpa, block->mode);
    block->next_in_bucket = *bucket;
    *bucket = block;
    block->next_kept = blocks->kept[blocks->generation];
    blocks->kept[blocks->generation] = block;

    unsigned room = PAGE_SIZE - (unsigned)(block->gpa & ~PAGE_MASK);
    if (block->second == BLOCK_ONE_PAGE) {
        add_ref(cpu, blocks, block, block->gpa, block->length);
    } else {
        add_ref(cpu, blocks, block, block->gpa, room);
        add_ref(cpu, blocks, block, block->second, block->length - room);
    }
}

void blocks_mark(struct cpu *cpu, gpa_t gpa, unsigned size)
{
    if (phys_mark_code(cpu->phys, gpa, size))
        mmu_protect_code_page(cpu, gpa & PAGE_MASK);
}

void blocks_watch(struct cpu *cpu, struct blocks *blocks, struct block *block, gpa_t gpa,
                  unsigned size)
{
    add_ref(cpu, blocks, block, gpa, size);
}

bool blocks_has_room(const struct blocks *blocks)
{
    size_t end = (blocks->generation + 1) * GENERATION_SIZE;
    return end - blocks->used >= BLOCK_MAX_BYTES && blocks->free_page_count >= BLOCK_MAX_REFS;
}

void blocks_note_write(struct blocks *blocks, gpa_t gpa, unsigned size)
{
    pthread_mutex_lock(&blocks->lock);
    struct written_range *last =
        blocks->written_count ? &blocks->written[blocks->written_count - 1] : NULL;
    bool follows = last && last->gpa + last->size == gpa && gpa & ~PAGE_MASK;
    if (follows)
        last->size += size;
    else if (blocks->written_count < WRITTEN_MAX)
        blocks->written[blocks->written_count++] = (struct written_range){gpa, size};
    else
        blocks->drop_all = true;
    pthread_mutex_unlock(&blocks->lock);
}

void blocks_note_drop_all(struct blocks *blocks)
{
    pthread_mutex_lock(&blocks->lock);
    blocks->drop_all = true;
    pthread_mutex_unlock(&blocks->lock);
}

static void drop_block(struct cpu *cpu, struct blocks *blocks, struct block *block)
{
    if (block->mode == BLOCK_DEAD)
        return; /* through its other page */
    struct block **link = block_bucket(blocks, block->gpa, block->mode);
    while (*link != block)
        link = &(*link)->next_in_bucket;
    *link = block->next_in_bucket;
    block->mode = BLOCK_DEAD;
    if (cpu->engine)
        cpu->engine->block_dropped(cpu, block);
}

static void drop_rewritten(struct cpu *cpu, struct blocks *blocks, struct block *block)
{
    uint8_t *rewrites = blocks_rewrites(blocks, block->gpa);
    *rewrites += *rewrites < REWRITES_MAX;
    drop_block(cpu, blocks, block);
}

/* Frees a page that has no block any more. */
static void forget_page(struct cpu *cpu, struct blocks *blocks, struct code_page *page)
{
    struct code_page **link = page_bucket(blocks, page->page);
    while (*link != page)
        link = &(*link)->next_in_bucket;
    *link = page->next_in_bucket;
    phys_keep_code(cpu->phys, page->page, 0);
    free_page(blocks, page);
}

/* Takes the references of dead blocks off the page. */
static void keep_live_refs(struct cpu *cpu, struct code_page *page)
{
    memset(page->bytes, 0, sizeof(page->bytes));
    for (struct block_ref **link = &page->refs; *link;) {
        struct block_ref *ref = *link;
        if (ref->block->mode == BLOCK_DEAD) {
            *link = ref->next;
            continue;
        }
        set_bits(page->bytes, ref->start, ref->end);
        link = &ref->next;
    }
    if (!page->refs)
        phys_set_code_bytes(cpu->phys, page->page, NULL);
}

/* Drops the blocks that overlap a written range, which lies in one page. */
static void drop_range(struct cpu *cpu, struct blocks *blocks, struct written_range range)
{
    gpa_t page_address = range.gpa & PAGE_MASK;
    unsigned start = (unsigned)(range.gpa - page_address);
    unsigned end = start + range.size;
    struct code_page *page = find_page(blocks, page_address);
    if (!page) {
        phys_keep_code(cpu->phys, page_address, 0);
        return;
    }
    if (!page->refs && ++page->stray_writes == STRAY_WRITES_MAX) {
        forget_page(cpu, blocks, page);
        return;
    }
    for (struct block_ref *ref = page->refs; ref; ref = ref->next) {
        if (ref->start < end && start < ref->end)
            drop_rewritten(cpu, blocks, ref->block);
    }
    keep_live_refs(cpu, page);
}

/* BLOCK_ONE_PAGE is no page. */
static void mark_stale(struct blocks *blocks, gpa_t page_address)
{
    struct code_page *page = find_page(blocks, page_address);
    if (page)
        page->stale = true;
}

static void clean_page(struct cpu *cpu, struct blocks *blocks, gpa_t page_address)
{
    struct code_page *page = find_page(blocks, page_address);
    if (!page || !page->stale)
        return;
    page->stale = false;
    keep_live_refs(cpu, page);
    if (!page->refs)
        forget_page(cpu, blocks, page);
}

void blocks_next_generation(struct cpu *cpu, struct blocks *blocks)
{
    blocks->generation = (blocks->generation + 1) % BLOCK_GENERATIONS;
    blocks->used = blocks->generation * GENERATION_SIZE;
    struct block *oldest = blocks->kept[blocks->generation];
    blocks->kept[blocks->generation] = NULL;
    for (struct block *block = oldest; block; block = block->next_kept) {
        drop_block(cpu, blocks, block);
        mark_stale(blocks, block->gpa & PAGE_MASK);
        mark_stale(blocks, block->second);
    }
    for (struct block *block = oldest; block; block = block->next_kept) {
        clean_page(cpu, blocks, block->gpa & PAGE_MASK);
        clean_page(cpu, blocks, block->second);
    }
    memset(blocks->jump, 0, JUMP_ENTRIES * sizeof(*blocks->jump));
    cpu->stats.generations++;
    if (cpu->engine)
        cpu->engine->generation_began(cpu, blocks->generation);
}

void blocks_drop_all(struct cpu *cpu, struct blocks *blocks)
{
    for (unsigned i = 0; i < PAGE_BUCKETS; i++) {
        for (struct code_page *page = blocks->pages[i]; page; page = page->next_in_bucket) {
            phys_keep_code(cpu->phys, page->page, 0);
            phys_set_code_bytes(cpu->phys, page->page, NULL);
        }
        blocks->pages[i] = NULL;
    }
    free_all_pages(blocks);
    memset(blocks->kept, 0, sizeof(blocks->kept));
    memset(blocks->buckets, 0, BUCKETS * sizeof(*blocks->buckets));
    memset(blocks->jump, 0, JUMP_ENTRIES * sizeof(*blocks->jump));
    blocks->used = 0;
    blocks->generation = 0;
    if (cpu->engine)
        cpu->engine->blocks_dropped(cpu);
}

void blocks_drop_written(struct cpu *cpu, struct blocks *blocks)
{
    struct written_range written[WRITTEN_MAX];
    pthread_mutex_lock(&blocks->lock);
    unsigned count = blocks->written_count;
    bool all = blocks->drop_all;
    memcpy(written, blocks->written, count * sizeof(written[0]));
    blocks->written_count = 0;
    blocks->drop_all = false;
    pthread_mutex_unlock(&blocks->lock);
    if (all) {
        blocks_drop_all(cpu, blocks);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        drop_range(cpu, blocks, written[i]);
}

/* Whether block, found by its first page, also crosses into the page that follows va's now. */
static bool second_page_matches(struct cpu *cpu, const struct block *block, gva_t va)
{
    if (block->second == BLOCK_ONE_PAGE)
        return true;
    gpa_t gpa;
    unsigned flags;
    struct mmu_fault fault;
    gva_t next = (va & PAGE_MASK) + PAGE_SIZE;
    if (mode_code(cpu->mode) != DEC_MODE_64)
        next = (uint32_t)next;
    return mmu_fetch(cpu, next, &gpa, &flags, &fault) == MMU_OK && gpa == block->second;
}

/* Under A20M# what is next to each other in a large page may not be so in memory. */
static bool is_large(const struct cpu *cpu, unsigned flags)
{
    return flags & (TLB_LARGE | TLB_HUGE) && cpu->physical_mask == ~0ull;
}

static struct block *build_sampled(struct cpu *cpu, struct blocks *blocks, gva_t va, gpa_t gpa,
                                   uint32_t mode)
{
    if (cpu->stats.blocks_decoded % BLOCKS_A_SAMPLE)
        return block_build(cpu, blocks, va, gpa, mode);
    uint64_t before = host_thread_ns(), start = host_thread_ns();
    struct block *block = block_build(cpu, blocks, va, gpa, mode);
    cpu->stats.decode_sampled += block ? block->count : 0;
    cpu->stats.decode_sampled_ns += host_thread_ns() - start - (start - before);
    return block;
}

struct block *blocks_find_slow(struct cpu *cpu, struct blocks *blocks, gva_t va)
{
    gpa_t gpa;
    unsigned flags;
    struct mmu_fault fault;
    enum mmu_status status = mmu_fetch(cpu, va, &gpa, &flags, &fault);
    if (status != MMU_OK)
        cpu_raise_memory(cpu, SEG_CS, status, &fault);

    uint32_t mode = blocks_mode(cpu) | (is_large(cpu, flags) ? BLOCK_LARGE : 0);
    struct block *block = *block_bucket(blocks, gpa, mode);
    while (block &&
           (block->gpa != gpa || block->mode != mode || !second_page_matches(cpu, block, va)))
        block = block->next_in_bucket;
    cpu->stats.jump_cache_misses++;
    while (!block && !blocks_has_room(blocks))
        blocks_next_generation(cpu, blocks);
    if (!block)
        block = build_sampled(cpu, blocks, va, gpa, mode);
    while (!block) {
        blocks_drop_all(cpu, blocks);
        stub_flush(cpu->stubs);
        block = block_build(cpu, blocks, va, gpa, mode);
    }
    if (block == blocks->loose)
        return block;
    bool global = flags & TLB_GLOBAL && block_is_whole(block);
    *blocks_jump_entry(blocks, va) = (struct jump_entry){
        va, global ? cpu->global_epoch : cpu->space_epoch, blocks_mode(cpu), block};
    return block;
}
