/* The address types, and small helpers that every room uses. */
#ifndef DOPPEL_BASE_TYPES_H
#define DOPPEL_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest linear (virtual) and guest physical addresses, in bytes. Host addresses are pointers. */
typedef uint64_t gva_t;
typedef uint64_t gpa_t;

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK (~(uint64_t)(PAGE_SIZE - 1))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* For bodies whose constant arguments must fold: `static ALWAYS_INLINE`. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* The structure of type `type` whose member `member` is at `ptr`. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
