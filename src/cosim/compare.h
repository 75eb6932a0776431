/* The part of struct cpu that both engines must agree on. Private to cosim/. */
#ifndef DOPPEL_COSIM_COMPARE_H
#define DOPPEL_COSIM_COMPARE_H

#include "cpu/state.h"

#include <stdio.h>

/* Copies it. */
void state_copy(struct cpu *to, const struct cpu *from);

/* Whether it is equal, but for the status flags, which may be dead. */
bool state_equal(const struct cpu *a, const struct cpu *b);

/* Lists the fields that differ. */
void state_print_differences(const struct cpu *a, const struct cpu *b, FILE *out);

#endif
