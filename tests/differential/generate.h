/* Random states in which instructions do something. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_GENERATE_H
#define DOPPEL_TESTS_DIFFERENTIAL_GENERATE_H

#include "decoder/decoder.h"
#include "random.h"
#include "state.h"

struct sample {
    uint8_t code[DEC_MAX_LENGTH];
    struct dec_insn insn; /* decoded from it */
    enum layout layout;
    bool has_vectors;
};

/* Random numbers made ahead, of which states take runs. */
#define POOL_SIZE 2048
#define POOL_RUN (4 * 16)

struct pool {
    uint64_t integers[POOL_SIZE + POOL_RUN];
    uint64_t floats[POOL_SIZE + POOL_RUN]; /* single and double precision and else */
    uint8_t st[POOL_SIZE / 8 + 8][16];
};

void pool_fill(struct pool *pool, struct random *random);
/* AREA_SIZE bytes out of the pool. */
void pool_fill_memory(const struct pool *pool, struct random *random, uint8_t *data);

/* Vector registers, MXCSR and x87 state, some with exceptions unmasked or pending. */
void generate_vectors(struct random *random, const struct pool *pool, bool integers,
                      struct diff_state *in);

/* Chooses the displacements in the code that no register makes up for. */
void generate_displacement(struct random *random, struct sample *sample);

/* A state for it. Memory operands and the stack mostly lie in the data area, at times across its
 * pages' borders, on the page that cannot be written, or nowhere. data is the data area, written
 * where an operand should have a special value. */
void generate_state(struct random *random, const struct pool *pool, const struct sample *sample,
                    struct diff_state *in, uint8_t *data);

/* An address for a datum of size bytes that is mostly aligned to this number. */
gva_t generate_target(struct random *random, unsigned size, unsigned alignment);
/* Linear: of the segment's base, and of the stack's top. */
gva_t generate_segment_base(const struct sample *sample, const struct diff_state *in, unsigned seg);
gva_t generate_stack_address(const struct sample *sample, const struct diff_state *in);

/* A random number, or one at the border of something. */
uint64_t generate_value(struct random *random);

#endif
