/* Bit fields, sign extension and unaligned little-endian loads and stores. */
#ifndef DOPPEL_BASE_BITS_H
#define DOPPEL_BASE_BITS_H

#include "base/types.h"

#include <string.h>

#define BIT(n) (1ull << (n))

/* Bits [lo, lo + count) of value; count is 1 to 63. */
static inline uint64_t bits_get(uint64_t value, unsigned lo, unsigned count)
{
    return (value >> lo) & ((1ull << count) - 1);
}

/* The low `bytes` (1 to 8) bytes set. */
static inline uint64_t bytes_mask(unsigned bytes)
{
    return ~0ull >> (64 - 8 * bytes);
}

/* The low `bytes` (1 to 8) bytes of value, sign-extended. */
static inline int64_t sign_extend(uint64_t value, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;
    return (int64_t)(value << shift) >> shift;
}

static inline bool is_power_of_two(uint64_t value)
{
    return value && !(value & (value - 1));
}

/* alignment is a power of two. */
static inline uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) & ~(alignment - 1);
}

static inline uint64_t align_down(uint64_t value, uint64_t alignment)
{
    return value & ~(alignment - 1);
}

/* Little-endian loads and stores at any alignment; bytes is 1 to 8. */
static inline uint64_t load_le(const void *p, unsigned bytes)
{
    uint64_t value = 0;
    memcpy(&value, p, bytes);
    return value;
}

static inline void store_le(void *p, uint64_t value, unsigned bytes)
{
    memcpy(p, &value, bytes);
}

#endif
