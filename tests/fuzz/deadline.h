/* A call from outside into what runs: on the same thread, at any instruction. */
#ifndef DOPPEL_TESTS_FUZZ_DEADLINE_H
#define DOPPEL_TESTS_FUZZ_DEADLINE_H

#include <stdint.h>

struct deadline;

/* fn(opaque) is called in a signal handler. Exits where the host has no timer. */
struct deadline *deadline_create(void (*fn)(void *opaque), void *opaque);
void deadline_destroy(struct deadline *deadline);

/* Calls fn in ns nanoseconds, below a second; 0: not any more. */
void deadline_set(struct deadline *deadline, uint32_t ns);

#endif
