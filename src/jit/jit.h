/* The translator: an engine that runs guest code as host code, block by block (doc/translator.md).
 *
 * All calls are for the vCPU's own thread, or before it runs. */
#ifndef DOPPEL_JIT_JIT_H
#define DOPPEL_JIT_JIT_H

#include "base/error.h"
#include "base/types.h"

#include <stdio.h>

struct cpu;

#define JIT_CODE_MIN ((size_t)1 << 20)
#define JIT_CODE_DEFAULT ((size_t)64 << 20)
#define JIT_CODE_MAX ((size_t)1 << 30) /* jumps reach 2 GiB */

struct jit_config {
    size_t code_size;  /* of the cache of translated code, in whole pages; 0: the default */
    uint32_t without;  /* enum jit_feature: optimisations that are off */
    bool perf_map;     /* write /tmp/perf-PID.map for perf(1) */
    bool count_called; /* count the instructions that are not translated, for jit_print_stats() */
};

/* What --without can switch off. */
enum jit_feature {
    JIT_NATIVE = 1 << 0, /* translated instructions: without, each calls its interpreter handler */
    JIT_LINKS = 1 << 1,  /* jumps from block to block within a page */
    JIT_LIVENESS = 1 << 2, /* looking for dead status flags beyond a block's end */
    JIT_LOOKUP = 1 << 3,   /* finding blocks by address without leaving translated code */
    JIT_GLOBAL = 1 << 4,   /* what is found through global translations stays so in all spaces */
    JIT_GROUPS = 1 << 5,   /* one check for several memory accesses */
    JIT_LARGE = 1 << 6,    /* links between the pages of a large page */
    JIT_PATIENCE = 1 << 7, /* interpreting each block once first: off to test translated code */
    JIT_STRINGS = 1 << 8,  /* REP MOVS and REP STOS without their handlers */
};

/* What lets translated code go on to other blocks: without it, a run is a block. */
#define JIT_CHAINING (JIT_LINKS | JIT_LOOKUP)

/* The bits of a comma-separated list. False with *bad at the first name that is unknown. */
bool jit_parse_features(const char *list, uint32_t *features, const char **bad);
const char *jit_feature_names(void);

/* Makes the translator the CPU's engine; cpu_destroy() frees it. */
bool jit_attach(struct cpu *cpu, const struct jit_config *config, struct error *error);

/* Why translated code was left, but for faults. */
enum jit_exit {
    JIT_EXIT_HANDLER, /* an instruction ended the block for good */
    JIT_EXIT_MODE,    /* likewise, and mode or translations have changed */
    JIT_EXIT_MISS,    /* a jump by address met no entry */
    JIT_EXIT_LINK,    /* a direct jump was not linked */
    JIT_EXIT_REQUEST, /* requests were pending */
    JIT_EXITS
};

struct jit_stats {
    uint64_t blocks, guest_bytes, host_bytes, flushes;
    uint64_t entries, links;   /* entries from C; links made */
    uint64_t checks, accesses; /* emitted: the latter to guest memory, the former of TLB entries */
    uint64_t plain;            /* entries of plain translations */
    uint64_t exits[JIT_EXITS];
};

const struct jit_stats *jit_stats(const struct cpu *cpu);

#ifdef DOPPEL_RECORD_OPERANDS
/* Checks the memory operands of what has been emitted (doc/testing.md): aborts where one is not
 * what its record says. Returns how many there were so far. */
uint64_t jit_check_operands(const struct cpu *cpu);
#endif

/* The host code that was entered last, for reports; returns its size. It stays until the CPU runs
 * again. */
size_t jit_last_code(const struct cpu *cpu, const uint8_t **code);

/* With count_called: the operations that called handlers most, one a line. */
void jit_print_called(const struct cpu *cpu, FILE *out);

#endif
