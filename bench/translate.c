/* bench_translate FILE [PASSES]: decodes and translates the code of a 64-bit ELF file, block after
 * block as it lies in memory, for two seconds or that many times, and prints what an instruction
 * costs. Nothing is executed. Host instructions, which no other work disturbs, are counted by
 *
 *   valgrind --tool=callgrind --toggle-collect=decode_chunk --toggle-collect=translate_chunk \
 *       bench_translate FILE 1
 */
#include "base/bits.h"
#include "base/trace.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "cpu/blocks.h"
#include "cpu/cpu.h"
#include "host/thread.h"
#include "jit/cache.h"
#include "mmu/mmu.h"
#include "mmu/phys.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLES 0x1000ull /* a PML4, a PDPT and a page directory */
#define CODE 0x200000ull
#define RAM (512ull << 20)
#define CHUNK (32u << 10) /* bytes that are decoded, then translated */
#define RUN_NS (2 * NS_PER_SECOND)

struct bench {
    struct cpu *cpu;
    struct block *block[CHUNK + 1];
    unsigned count;
    uint64_t decode_ns, translate_ns;
};

/* Identical, by large pages. */
static void map_memory(struct phys_map *phys)
{
    enum { P = 1, W = 2, PS = 0x80 };
    uint64_t pml4 = (TABLES + PAGE_SIZE) | P | W, pdpt = (TABLES + 2 * PAGE_SIZE) | P | W;
    phys_write(phys, TABLES, &pml4, sizeof(pml4));
    phys_write(phys, TABLES + PAGE_SIZE, &pdpt, sizeof(pdpt));
    for (uint64_t at = 0; at < RAM; at += BLOCK_LARGE_SIZE) {
        uint64_t pde = at | P | W | PS;
        phys_write(phys, TABLES + 2 * PAGE_SIZE + at / BLOCK_LARGE_SIZE * 8, &pde, sizeof(pde));
    }
}

static void start_guest(struct cpu *cpu)
{
    for (unsigned i = 0; i < ARRAY_SIZE(cpu->seg); i++)
        cpu->seg[i] = (struct segment){.attributes = 0xc093, .limit = UINT32_MAX};
    cpu->seg[SEG_CS].attributes = 0xa09b;
    cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    cpu->cr3 = TABLES;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
    cpu->xcr0 = cpu->model->xcr0_supported;
    cpu->msr.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    cpu_update_mode(cpu);
    mmu_flush_all(cpu);
}

static __attribute__((noinline)) gva_t decode_chunk(struct bench *bench, gva_t at, gva_t end)
{
    while (at < end) {
        struct block *block = blocks_find_slow(bench->cpu, interp_blocks(bench->cpu), at);
        bench->block[bench->count++] = block;
        at += block->length;
    }
    return at;
}

static __attribute__((noinline)) void translate_chunk(struct bench *bench)
{
    for (unsigned i = 0; i < bench->count; i++) {
        if (!jit_translate(bench->cpu, bench->block[i], false))
            abort(); /* the chunk is too large for a part of the caches */
    }
}

static void translate_all(struct bench *bench, gva_t end)
{
    for (gva_t at = CODE; at < end;) {
        gva_t chunk_end = at + CHUNK < end ? at + CHUNK : end;
        blocks_drop_all(bench->cpu, interp_blocks(bench->cpu));
        bench->count = 0;
        uint64_t start = host_thread_ns();
        at = decode_chunk(bench, at, chunk_end);
        uint64_t decoded = host_thread_ns();
        translate_chunk(bench);
        bench->decode_ns += decoded - start;
        bench->translate_ns += host_thread_ns() - decoded;
    }
}

static void measure(struct bench *bench, size_t size, unsigned passes)
{
    const struct cpu_stats *stats = &bench->cpu->stats;
    unsigned pass = 0;
    do
        translate_all(bench, CODE + size);
    while (++pass < passes || (!passes && bench->decode_ns + bench->translate_ns < RUN_NS));
    const struct jit_stats *jit = jit_stats(bench->cpu);
    double instructions = (double)stats->instructions_decoded;
    printf(
        "%u passes over %.0f instructions in %.0f blocks: an instruction takes %.1f ns to decode "
        "and %.1f ns to translate; %.2f host bytes a guest byte\n",
        pass, instructions / pass, (double)stats->blocks_decoded / pass,
        (double)bench->decode_ns / instructions, (double)bench->translate_ns / instructions,
        (double)jit->host_bytes / (double)jit->guest_bytes);
}

static int fail(const char *message)
{
    fprintf(stderr, "bench_translate: %s\n", message);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3)
        return fail("usage: bench_translate FILE [PASSES]");
    struct text text;
    if (!text_open(&text, argv[1]))
        return 1;
    if (text.size > RAM - CODE)
        return fail("the file's code is too large");

    struct error error;
    struct cpu_model model;
    struct trace trace = {0, stderr};
    struct bus *bus = bus_create();
    struct clock *clock = clock_create_manual();
    struct phys_map *phys = phys_create(bus);
    const struct cpu_config config = {
        .model = &model, .phys = phys, .bus = bus, .clock = clock, .trace = &trace};
    if (!cpu_model_init(&model, NULL, &error) || !phys_add_ram(phys, 0, RAM, &error))
        return fail(error.text);
    struct bench *bench = calloc(1, sizeof(*bench));
    bench->cpu = cpu_create(&config, &error);
    if (!bench->cpu || !jit_attach(bench->cpu, &(struct jit_config){0}, &error))
        return fail(error.text);
    if (setjmp(bench->cpu->fault))
        return fail("the code cannot be fetched");

    map_memory(phys);
    phys_write(phys, CODE, text.code, text.size);
    start_guest(bench->cpu);
    measure(bench, text.size, argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0);
    cpu_destroy(bench->cpu);
    free(bench);
    phys_destroy(phys);
    clock_destroy(clock);
    bus_destroy(bus);
    text_close(&text);
    return 0;
}
