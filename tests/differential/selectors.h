/* Random selectors and far pointers, of descriptors that the host and the guest both have. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_SELECTORS_H
#define DOPPEL_TESTS_DIFFERENTIAL_SELECTORS_H

#include "generate.h"

/* Whether it may load a segment register. */
bool loads_segment(const struct dec_insn *insn);

/* Whether it reads a selector: these, and those that look at descriptors. */
bool reads_selector(const struct dec_insn *insn);

/* Chooses the far pointer in the code, if there is one. */
void generate_pointer(struct random *random, struct sample *sample);

/* Puts a selector, or a far pointer or frame, wherever the instruction reads one. */
void generate_selectors(struct random *random, const struct sample *sample, struct diff_state *in,
                        uint8_t *data);

#endif
