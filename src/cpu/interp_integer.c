/* The integer instructions: which file handles which. */
#include "cpu/interp_integer.h"

interp_handler *interp_select_integer(const struct dec_insn *insn, uint32_t mode)
{
    static interp_handler *(*const selectors[])(const struct dec_insn *, uint32_t) = {
        interp_select_move,     interp_select_alu,  interp_select_branch, interp_select_stack,
        interp_select_shift,    interp_select_bit,  interp_select_string, interp_select_muldiv,
        interp_select_exchange, interp_select_flag, interp_select_bmi,    interp_select_bcd,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(selectors); i++) {
        interp_handler *handler = selectors[i](insn, mode);
        if (handler)
            return handler;
    }
    return NULL;
}
