#include "random_code.h"

static uint8_t random_byte(struct random *random)
{
    return (uint8_t)(random_next(random) >> 56);
}

static unsigned generate_prefixes(struct random *random, enum dec_mode mode, uint8_t *code)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned length = 0;
    if (random_chance(random, 20))
        code[length++] = 0x66;
    if (random_chance(random, 6))
        code[length++] = 0x67;
    if (random_chance(random, 15))
        code[length++] = random_chance(random, 50) ? 0xf2 : 0xf3;
    if (random_chance(random, 4))
        code[length++] = segments[random_below(random, ARRAY_SIZE(segments))];
    if (random_chance(random, 6))
        code[length++] = 0xf0;
    if (mode == DEC_MODE_64 && random_chance(random, 50))
        code[length++] = 0x40 | (random_byte(random) & 15);
    return length;
}

/* Three-byte VEX with R, X and B inverted, mostly of the maps and opcodes that work on general
 * registers. */
static void generate_vex(struct random *random, enum dec_mode mode, uint8_t *code)
{
    code[0] = 0xc4;
    code[1] = (code[1] & 0xe0) | (1 + random_below(random, 3));
    if (mode != DEC_MODE_64)
        code[1] |= 0xc0;
    if (random_chance(random, 90)) {
        code[1] |= 2;
        code[2] &= 0xfb; /* VEX.L clear */
        code[3] = 0xf0 | (code[3] & 7);
    }
    if (random_chance(random, 25)) { /* RORX: no VEX.vvvv */
        code[1] |= 3;
        code[2] |= 0x7b;
        code[3] = 0xf0;
    }
}

void generate_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH])
{
    /* In the map 0F: what has few opcodes, or needs a prefix, or another value in ModRM.reg. */
    static const uint8_t rare[] = {0x0d, 0x18, 0x1e, 0xae, 0xb8, 0xbc, 0xbd, 0xc7};
    for (unsigned i = 0; i < DEC_MAX_LENGTH; i++)
        code[i] = random_byte(random);
    unsigned kind = random_below(random, 100);
    if (kind < 20) {
        generate_vex(random, mode, code);
        return;
    }
    unsigned length = generate_prefixes(random, mode, code);
    if (kind < 50)
        return;
    if (kind > 90 && random_chance(random, 50))
        code[length++] = 0xf3;
    code[length++] = 0x0f;
    if (kind > 90) {
        code[length] = rare[random_below(random, ARRAY_SIZE(rare))];
    } else if (kind > 80) {
        code[length++] = 0x38;
        code[length] |= 0xf0;
    }
}

/* Of any opcode, in half of the cases with VEX.vvvv unused. */
static void generate_avx(struct random *random, enum dec_mode mode, uint8_t *code)
{
    code[0] = 0xc4;
    code[1] = (code[1] & 0xe0) | (1 + random_below(random, 3));
    if (mode != DEC_MODE_64)
        code[1] |= 0xc0;
    if (random_chance(random, 50))
        code[2] |= 0x78;
}

void generate_vector_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH])
{
    static const uint8_t mandatory[] = {0x66, 0xf3, 0xf2};
    for (unsigned i = 0; i < DEC_MAX_LENGTH; i++)
        code[i] = random_byte(random);
    unsigned kind = random_below(random, 100), length = 0;
    if (kind < 30) {
        generate_avx(random, mode, code);
        return;
    }
    if (kind < 55) {
        code[0] = 0xd8 | (code[0] & 7);
        return;
    }
    if (random_chance(random, 75))
        code[length++] = mandatory[random_below(random, ARRAY_SIZE(mandatory))];
    if (mode == DEC_MODE_64 && random_chance(random, 50))
        code[length++] = 0x40 | (random_byte(random) & 15);
    code[length++] = 0x0f;
    if (kind >= 85)
        code[length++] = kind & 1 ? 0x38 : 0x3a;
}
