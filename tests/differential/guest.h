/* Runs single instructions on Doppel's CPU: decoder, handlers, MMU, in user mode under paging, with
 * the areas, selectors and segments that a Linux process has (state.h). */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_GUEST_H
#define DOPPEL_TESTS_DIFFERENTIAL_GUEST_H

#include "cpu/model.h"
#include "state.h"

struct guest;

/* NULL with a message on stderr on failure. */
struct guest *guest_create(void);
void guest_destroy(struct guest *guest);

/* The model: all that Doppel offers on this host. */
const struct cpu_model *guest_model(const struct guest *guest);

/* AREA_SIZE bytes: the data area. */
uint8_t *guest_data(struct guest *guest);

/* Chooses the instruction; run and its code stay the caller's. code: what the code page holds. */
void guest_prepare(struct guest *guest, const struct diff_run *run, const uint8_t *code);

void guest_run(struct guest *guest, const struct diff_state *in, struct diff_outcome *out);

#endif
