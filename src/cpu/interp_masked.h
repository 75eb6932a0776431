/* Vector instructions whose memory accesses go element by element, and those that clear registers.
 */
#ifndef DOPPEL_CPU_INTERP_MASKED_H
#define DOPPEL_CPU_INTERP_MASKED_H

#include "cpu/interp.h"

/* The handler, which needs no host code, or NULL where insn is none of them. */
interp_handler *interp_select_masked(const struct dec_insn *insn);

#endif
