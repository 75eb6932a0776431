/* A small generator of pseudo-random numbers that is the same everywhere (xorshift64*). */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_RANDOM_H
#define DOPPEL_TESTS_DIFFERENTIAL_RANDOM_H

#include "base/types.h"

struct random {
    uint64_t state; /* not 0 */
};

static inline uint64_t random_next(struct random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * 0x2545f4914f6cdd1dull;
}

static inline unsigned random_below(struct random *random, unsigned bound)
{
    return (unsigned)((random_next(random) >> 32) % bound);
}

static inline bool random_chance(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

#endif
