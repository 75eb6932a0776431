/* Random programs: straight code of any kind with jumps, calls, loops and code that it changes
 * itself, and memory operands mostly in the data area. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_PROGRAM_H
#define DOPPEL_TESTS_DIFFERENTIAL_PROGRAM_H

#include "cpu/model.h"
#include "generate.h"
#include "random.h"
#include "state.h"

#define PROGRAM_INSNS_MAX 40

struct program {
    /* The caller's: where the areas lie (of AREA_CODE_SIZE bytes that can be written, and AREA_SIZE
     * bytes of which AREA_WRITABLE can be), both where 32-bit displacements reach; what FS and GS
     * are based at; and the model, whose instructions are used. */
    uint64_t code_base, data_base, fs_base, gs_base;
    const struct cpu_model *model;
    bool stores_pointers;   /* programs may look at FOP and FDP */
    bool stores_components; /* and at which components of XSAVE there are */

    enum dec_mode mode; /* of 64 or 32 bits */
    bool has_vectors;
    uint8_t code[AREA_CODE_SIZE];
    unsigned start, end;                  /* offsets */
    unsigned insn[2 * PROGRAM_INSNS_MAX]; /* where a jump may lead */
    unsigned insn_count;
    bool patches;       /* some of its own code */
    unsigned patch[16]; /* what it may patch */
    unsigned patch_count;
};

/* It ends by HLT, with the flags live. */
void program_generate(struct random *random, struct program *program);

/* Before each program's states: these depend on its seed alone. */
void program_renew_pool(struct pool *pool, uint64_t seed, bool first);

/* A state for it; of in, rip and the segments are the caller's. data: AREA_SIZE bytes. */
void program_generate_state(struct random *random, const struct program *program, struct pool *pool,
                            struct diff_state *in, uint8_t *data);

#endif
