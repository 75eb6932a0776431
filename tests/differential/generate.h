/* Random instructions, and states in which they do something. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_GENERATE_H
#define DOPPEL_TESTS_DIFFERENTIAL_GENERATE_H

#include "decoder/decoder.h"
#include "random.h"
#include "state.h"

struct sample {
    uint8_t code[DEC_MAX_LENGTH];
    struct dec_insn insn;
    struct diff_state in;
};

/* 15 bytes that often begin with an instruction: prefixes, an opcode of any map, VEX. */
void generate_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH]);

/* Registers for sample->insn, which was decoded from sample->code. Memory operands and the stack
 * mostly lie in the data area, at times across its pages' borders, on the page that cannot be
 * written, or nowhere; displacements in the code that have no register to make up for them are
 * changed. data is the data area, written where an operand should have a special value.
 *
 * False where an address could not be kept away from the host's own memory. */
bool generate_state(struct random *random, struct sample *sample, uint8_t *data, uint64_t fs_base);

/* A random number, or one at the border of something. */
uint64_t generate_value(struct random *random);

#endif
