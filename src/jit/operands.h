/* For a build with DOPPEL_RECORD_OPERANDS: the assembler records what each byte of the code cache
 * is (enum asm_record), and all that was emitted is decoded again and compared with that: before a
 * part of the cache is used again, when the CPU is destroyed and for --stats. The first instruction
 * that does not fit is shown on stderr and ends the process. What is checked: doc/testing.md. In
 * other builds there is nothing of it. Private to jit/. */
#ifndef DOPPEL_JIT_OPERANDS_H
#define DOPPEL_JIT_OPERANDS_H

#include "jit/cache.h"
#include "jit/x86_64/asm.h"

/* For code at `at` in the writable view. */
static inline struct assembler jit_assembler(const struct jit *jit, uint8_t *at)
{
    struct assembler a = {.p = at};
#ifdef DOPPEL_RECORD_OPERANDS
    a.to_record = jit->operands - jit->mem.write;
#else
    (void)jit;
#endif
    return a;
}

#ifdef DOPPEL_RECORD_OPERANDS

/* mem is there already. */
bool operands_create(struct jit *jit, struct error *error);

/* Checks all code, if there is any besides the thunks. */
void operands_destroy(struct jit *jit);

/* Checks and forgets what was emitted in the part of the cache at `start`. */
void operands_drop(struct jit *jit, size_t start);

#else

static inline bool operands_create(struct jit *jit, struct error *error)
{
    (void)jit, (void)error;
    return true;
}

static inline void operands_destroy(struct jit *jit)
{
    (void)jit;
}

static inline void operands_drop(struct jit *jit, size_t start)
{
    (void)jit, (void)start;
}

#endif

#endif
