/* Random instructions, mostly of those that work on general registers, or on others. */
#ifndef DOPPEL_TESTS_JIT_RANDOM_CODE_H
#define DOPPEL_TESTS_JIT_RANDOM_CODE_H

#include "../differential/random.h"
#include "decoder/decoder.h"

/* 15 bytes that often begin with an instruction: prefixes, an opcode of any map, VEX. */
void generate_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH]);

/* Likewise of MMX, SSE, AVX and x87. */
void generate_vector_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH]);

#endif
