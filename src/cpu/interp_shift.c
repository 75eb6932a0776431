/* ROL, ROR, RCL, RCR, SHL, SHR, SAR, SHLD, SHRD. */
#include "cpu/interp_integer.h"

/* Where the count comes from; shifts by one have it as an immediate. */
enum count_form { COUNT_IMM, COUNT_CL };

static ALWAYS_INLINE uint64_t count_value(const struct cpu *cpu, const struct dec_insn *insn,
                                          enum count_form form)
{
    return form == COUNT_CL ? cpu->gpr[REG_RCX] : insn->imm;
}

static ALWAYS_INLINE void shift(struct cpu *cpu, const struct dec_insn *insn, alu_binary_fn *alu,
                                enum count_form form, bool memory, unsigned size)
{
    uint64_t count = count_value(cpu, insn, form);
    if (memory) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        store_le(p, alu(load_le(p, size), count, size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        const struct dec_operand *dst = &insn->operand[0];
        uint64_t result = alu(gpr_whole(cpu, dst, size), count, size, &cpu->rflags);
        gpr_write_whole(cpu, dst, result, size);
    }
}

static ALWAYS_INLINE void double_shift(struct cpu *cpu, const struct dec_insn *insn,
                                       alu_double_shift_fn *alu, enum count_form form, bool memory,
                                       unsigned size)
{
    uint64_t count = count_value(cpu, insn, form);
    uint64_t source = gpr_whole(cpu, &insn->operand[1], size);
    if (memory) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        store_le(p, alu(load_le(p, size), source, count, size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        const struct dec_operand *dst = &insn->operand[0];
        uint64_t result = alu(gpr_whole(cpu, dst, size), source, count, size, &cpu->rflags);
        gpr_write_whole(cpu, dst, result, size);
    }
}

#define SHIFT_FORMS(name, by_imm)                                                                  \
    HANDLERS(name##_ri, shift, by_imm, COUNT_IMM, false)                                           \
    HANDLERS(name##_mi, shift, alu_##name, COUNT_IMM, true)                                        \
    HANDLERS(name##_rc, shift, alu_##name, COUNT_CL, false)                                        \
    HANDLERS(name##_mc, shift, alu_##name, COUNT_CL, true)                                         \
    static const handler_row name##_handlers[2][2] = {{ROW(name##_ri), ROW(name##_mi)},            \
                                                      {ROW(name##_rc), ROW(name##_mc)}};

#define DOUBLE_SHIFT_FORMS(name)                                                                   \
    HANDLERS_WIDE(name##_ri, double_shift, alu_##name, COUNT_IMM, false)                           \
    HANDLERS_WIDE(name##_mi, double_shift, alu_##name, COUNT_IMM, true)                            \
    HANDLERS_WIDE(name##_rc, double_shift, alu_##name, COUNT_CL, false)                            \
    HANDLERS_WIDE(name##_mc, double_shift, alu_##name, COUNT_CL, true)                             \
    static const handler_row name##_handlers[2][2] = {{ROW_WIDE(name##_ri), ROW_WIDE(name##_mi)},  \
                                                      {ROW_WIDE(name##_rc), ROW_WIDE(name##_mc)}};

SHIFT_FORMS(rol, alu_rol_imm)
SHIFT_FORMS(ror, alu_ror_imm)
SHIFT_FORMS(rcl, alu_rcl)
SHIFT_FORMS(rcr, alu_rcr)
SHIFT_FORMS(shl, alu_shl)
SHIFT_FORMS(shr, alu_shr)
SHIFT_FORMS(sar, alu_sar)
DOUBLE_SHIFT_FORMS(shld)
DOUBLE_SHIFT_FORMS(shrd)

/* `count` is the index of the operand that says how far. */
static interp_handler *select_shift(const struct dec_insn *insn, const handler_row (*table)[2],
                                    unsigned count)
{
    enum count_form form = insn->operand[count].kind == DEC_OPERAND_IMM ? COUNT_IMM : COUNT_CL;
    bool memory = insn->operand[0].kind == DEC_OPERAND_MEM;
    return table[form][memory][size_index(insn->operand[0].size)];
}

interp_handler *interp_select_shift(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_ROL:
        return select_shift(insn, rol_handlers, 1);
    case DEC_OP_ROR:
        return select_shift(insn, ror_handlers, 1);
    case DEC_OP_RCL:
        return select_shift(insn, rcl_handlers, 1);
    case DEC_OP_RCR:
        return select_shift(insn, rcr_handlers, 1);
    case DEC_OP_SHL:
        return select_shift(insn, shl_handlers, 1);
    case DEC_OP_SHR:
        return select_shift(insn, shr_handlers, 1);
    case DEC_OP_SAR:
        return select_shift(insn, sar_handlers, 1);
    case DEC_OP_SHLD:
        return select_shift(insn, shld_handlers, 2);
    case DEC_OP_SHRD:
        return select_shift(insn, shrd_handlers, 2);
    default:
        return NULL;
    }
}
