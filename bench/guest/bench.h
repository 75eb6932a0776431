/* What the guest's benches share. A bench has a round: a fixed piece of work of about a millisecond
 * on the bare host, whose checksum is the same each time and everywhere. */
#ifndef DOPPEL_BENCH_GUEST_BENCH_H
#define DOPPEL_BENCH_GUEST_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* Keeps the compiler from seeing through a value, and from moving memory accesses past it. */
#define OPAQUE(value) __asm__ volatile("" : "+r"(value) : : "memory")

struct bench_env {
    const char *program; /* path of this program */
    const char *busybox; /* path of a busybox */
    const char *folder;  /* in memory, for files; removed at the end */
};

struct bench {
    const char *name;
    bool (*available)(void);                       /* NULL: always */
    void *(*prepare)(const struct bench_env *env); /* NULL: round gets no state */
    uint64_t (*round)(void *state);                /* returns its checksum */
};

struct bench_group {
    const char *name;
    const struct bench *benches;
    size_t count;
};

extern const struct bench_group bench_integer, bench_memory, bench_float, bench_strings,
    bench_system, bench_selfmod, bench_tools;

/* All end the program with a message where the host's or guest's kernel fails them. */
_Noreturn void bench_fail(const char *what);
void *bench_alloc(size_t size); /* zeroed, page-aligned, touched; lives as long as the process */
/* Runs a program and waits for it; where `output` is given, adds what it writes to that hash. */
void bench_spawn(const char *const argv[], uint64_t *output);

/* A random number generator (xorshift64*); *state must not be zero. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1d;
}

/* One step of FNV-1a, over 64 bits at once. */
static inline uint64_t bench_mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3;
}

uint64_t bench_hash(uint64_t hash, const void *data, size_t size);

#endif
