/* Runs instructions and programs on Doppel's CPU: decoder, handlers or translator, MMU, in user
 * mode under paging, with the areas, selectors and segments that a Linux process has (state.h). */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_GUEST_H
#define DOPPEL_TESTS_DIFFERENTIAL_GUEST_H

#include "cpu/model.h"
#include "jit/jit.h"
#include "state.h"

struct guest;

/* NULL with a message on stderr on failure. */
struct guest *guest_create(enum diff_kind kind);
void guest_destroy(struct guest *guest);

/* The model: all that Doppel offers on this host. */
const struct cpu_model *guest_model(const struct guest *guest);

/* AREA_SIZE bytes: the data area. */
uint8_t *guest_data(struct guest *guest);

/* Chooses the instruction; run and its code stay the caller's. code: what the code page holds. */
void guest_prepare(struct guest *guest, const struct diff_run *run, const uint8_t *code);

void guest_run(struct guest *guest, const struct diff_state *in, struct diff_outcome *out);

/* Translates programs from here on. False with a message on stderr on failure. */
bool guest_translate(struct guest *guest, const struct jit_config *config);

/* The code area of programs: AREA_CODE_SIZE bytes. */
const uint8_t *guest_code(struct guest *guest);

/* Puts a program's code at an offset of the code area; run stays the caller's. */
void guest_set_program(struct guest *guest, const struct diff_run *run, unsigned offset,
                       const uint8_t *code, unsigned size);

/* Runs it from in.rip to the fault that ends it. budget: the turns of the interpreter's loop after
 * which it is given up, 0 with the translator. False where it is. */
bool guest_run_program(struct guest *guest, const struct diff_state *in, unsigned budget,
                       struct diff_outcome *out);

#endif
