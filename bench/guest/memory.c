/* Memory: copies and fills of many sizes, and accesses that caches and TLBs dislike. */
#include "bench.h"

#include <string.h>

#define BUFFER (1 << 20)

struct buffers {
    uint8_t from[BUFFER], to[BUFFER + 64];
};

static void *buffers_prepare(const struct bench_env *env)
{
    struct buffers *buffers = bench_alloc(sizeof(*buffers));
    uint64_t seed = 19;
    (void)env;
    for (size_t i = 0; i < BUFFER; i++)
        buffers->from[i] = (uint8_t)(bench_random(&seed) >> 32);
    return buffers;
}

static uint64_t sample(const struct buffers *buffers)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < BUFFER; i += 4093)
        hash = bench_mix(hash, buffers->to[i]);
    return hash;
}

/* --- libc's copies and fills: a round moves `bytes` in pieces of `size`, at moving places --- */

static uint64_t copy(struct buffers *buffers, size_t size, size_t bytes)
{
    size_t from = 0, to = 0;
    for (size_t done = 0; done < bytes; done += size) {
        if (from + size > BUFFER || to + size > BUFFER)
            from = to = 0;
        void *target = buffers->to + to;
        OPAQUE(target);
        memcpy(target, buffers->from + from, size);
        from += size;
        to += size;
    }
    return sample(buffers);
}

static uint64_t fill(struct buffers *buffers, size_t size, size_t bytes)
{
    size_t to = 0;
    for (size_t done = 0; done < bytes; done += size) {
        if (to + size > BUFFER)
            to = 0;
        void *target = buffers->to + to;
        OPAQUE(target);
        memset(target, (int)(done / size), size);
        to += size;
    }
    return sample(buffers);
}

static uint64_t copy_40_round(void *state)
{
    return copy(state, 40, 2 << 20);
}
static uint64_t copy_1000_round(void *state)
{
    return copy(state, 1000, 8 << 20);
}
static uint64_t copy_256k_round(void *state)
{
    return copy(state, 256 << 10, 8 << 20);
}
static uint64_t fill_40_round(void *state)
{
    return fill(state, 40, 2 << 20);
}
static uint64_t fill_64k_round(void *state)
{
    return fill(state, 64 << 10, 8 << 20);
}

/* --- string instructions --- */

static void rep_movsb(void *to, const void *from, size_t count)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void rep_stosq(void *to, uint64_t value, size_t count)
{
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

static uint64_t rep_movsb_small_round(void *state)
{
    struct buffers *buffers = state;
    for (size_t at = 0; at + 100 < BUFFER; at += 100)
        rep_movsb(buffers->to + at, buffers->from + at, 100);
    return sample(buffers);
}

static uint64_t rep_movsb_round(void *state)
{
    struct buffers *buffers = state;
    for (unsigned i = 0; i < 8; i++)
        for (size_t at = 0; at < BUFFER; at += 16 << 10)
            rep_movsb(buffers->to + at, buffers->from + at, 16 << 10);
    return sample(buffers);
}

static uint64_t rep_stosq_round(void *state)
{
    struct buffers *buffers = state;
    for (unsigned i = 0; i < 16; i++)
        for (size_t at = 0; at < BUFFER; at += 4096)
            rep_stosq(buffers->to + at, at + i, 4096 / 8);
    return sample(buffers);
}

/* --- a byte at a time --- */

static uint64_t bytes_round(void *state)
{
    struct buffers *buffers = state;
    for (size_t i = 0; i < BUFFER / 2; i++) {
        buffers->to[i] = (uint8_t)(buffers->from[i] + 1);
        __asm__ volatile("" : : : "memory"); /* no vectors here */
    }
    return sample(buffers);
}

/* --- following pointers --- */

struct node {
    struct node *next;
    uint64_t value[7]; /* a cache line */
};

#define NODES 32768 /* 2 MiB */

static void *chase_prepare(const struct bench_env *env)
{
    struct node *nodes = bench_alloc(NODES * sizeof(*nodes));
    uint32_t *order = bench_alloc(NODES * sizeof(*order));
    uint64_t seed = 23;
    (void)env;
    for (uint32_t i = 0; i < NODES; i++)
        order[i] = i;
    for (uint32_t i = NODES - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(bench_random(&seed) >> 33) % (i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
        nodes[order[i]].value[0] = i;
    }
    return nodes;
}

static uint64_t chase_round(void *state)
{
    const struct node *node = state;
    uint64_t sum = 0;
    for (unsigned i = 0; i < NODES; i++, node = node->next)
        sum += node->value[0];
    return sum;
}

/* --- random accesses --- */

#define WORDS (1 << 21) /* 16 MiB */

static void *random_prepare(const struct bench_env *env)
{
    (void)env;
    return bench_alloc(WORDS * sizeof(uint64_t));
}

static uint64_t random_round(void *state)
{
    uint64_t *words = state, seed = 29, sum = 0;
    /* Adds and takes away the same, so that each round finds the same. */
    for (uint64_t sign = 0; sign < 2; sign++) {
        seed = 29;
        for (unsigned i = 0; i < 50000; i++) {
            uint64_t number = bench_random(&seed);
            uint64_t *word = &words[number >> 43];
            *word += (number ^ -sign) + sign;
            sum ^= *word;
        }
    }
    return sum;
}

/* --- down the columns of a matrix --- */

static uint64_t columns_round(void *state)
{
    const uint64_t *words = state;
    uint64_t sum = 0;
    for (unsigned column = 0; column < 64; column++)
        for (unsigned row = 0; row < WORDS / 1024; row++)
            sum = sum * 3 + words[row * 1024 + column] + row;
    return sum;
}

static const struct bench benches[] = {
    {"copy_40", NULL, buffers_prepare, copy_40_round},
    {"copy_1000", NULL, buffers_prepare, copy_1000_round},
    {"copy_256k", NULL, buffers_prepare, copy_256k_round},
    {"fill_40", NULL, buffers_prepare, fill_40_round},
    {"fill_64k", NULL, buffers_prepare, fill_64k_round},
    {"rep_movsb_100", NULL, buffers_prepare, rep_movsb_small_round},
    {"rep_movsb_16k", NULL, buffers_prepare, rep_movsb_round},
    {"rep_stosq_4k", NULL, buffers_prepare, rep_stosq_round},
    {"bytes", NULL, buffers_prepare, bytes_round},
    {"pointer_chase", NULL, chase_prepare, chase_round},
    {"random_access", NULL, random_prepare, random_round},
    {"columns", NULL, random_prepare, columns_round},
};
const struct bench_group bench_memory = {"memory", benches, COUNT_OF(benches)};
