/* What keeps an instruction from running in a mode or on a CPU model: the block builder asks once,
 * when it decodes. */
#ifndef DOPPEL_CPU_GATES_H
#define DOPPEL_CPU_GATES_H

#include "cpu/interp.h"
#include "cpu/model.h"

/* A handler that raises #UD or #NM where the model does not offer the instruction, where real and
 * virtual-8086 mode do not have it, or where CR0.EM, CR0.TS, CR4.OSFXSR, CR4.OSXSAVE or XCR0 (by
 * the mode word) forbid it. NULL: nothing is in its way. What depends on more than that, privilege
 * among it, is the family's. */
interp_handler *interp_gate(const struct dec_insn *insn, uint32_t mode,
                            const struct cpu_model *model);

/* Changes an instruction that a model without it executes as another: TZCNT as BSF, LZCNT as BSR
 * (REP is ignored there), PREFETCHW as NOP. To be called before interp_gate(). */
void interp_degrade(struct dec_insn *insn, const struct cpu_model *model);

/* Whether an instruction is as it is in every mode and on every model: then neither of the above
 * has anything to say. Most are. */
bool interp_is_free(const struct dec_insn *insn);

/* The handlers themselves: #UD and #NM. */
interp_handler interp_raise_ud, interp_raise_nm;

#endif
