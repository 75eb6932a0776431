/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, INC, DEC, NEG, NOT. */
#include "cpu/interp_integer.h"

static ALWAYS_INLINE void binary(struct cpu *cpu, const struct dec_insn *insn, alu_binary_fn *alu,
                                 enum operand_form form, unsigned size)
{
    uint64_t source = form_source(cpu, insn, form, size);
    if (form == FORM_MR || form == FORM_MI) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        store_le(p, alu(load_le(p, size), source, size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        const struct dec_operand *dst = &insn->operand[0];
        uint64_t result = alu(gpr_whole(cpu, dst, size), source, size, &cpu->rflags);
        gpr_write_whole(cpu, dst, result, size);
    }
}

/* CMP and TEST: no result. */
static ALWAYS_INLINE void compare(struct cpu *cpu, const struct dec_insn *insn, alu_binary_fn *alu,
                                  enum operand_form form, unsigned size)
{
    bool memory = form == FORM_MR || form == FORM_MI;
    uint64_t source = form_source(cpu, insn, form, size);
    uint64_t a = operand_source(cpu, insn, &insn->operand[0], memory, size);
    alu(a, source, size, &cpu->rflags);
}

static ALWAYS_INLINE void binary_locked(struct cpu *cpu, const struct dec_insn *insn,
                                        alu_locked_fn *alu, enum operand_form form, unsigned size)
{
    uint64_t source = form_source(cpu, insn, form, size);
    struct mem_rmw rmw;
    void *p = operand_rmw_begin(cpu, insn, &rmw, size);
    alu(p, source, size, &cpu->rflags);
    mem_rmw_end(cpu, &rmw);
}

static ALWAYS_INLINE void unary(struct cpu *cpu, const struct dec_insn *insn, alu_unary_fn *alu,
                                bool memory, unsigned size)
{
    if (memory) {
        struct mem_rmw rmw;
        void *p = operand_rmw_begin(cpu, insn, &rmw, size);
        store_le(p, alu(load_le(p, size), size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        const struct dec_operand *dst = &insn->operand[0];
        gpr_write_whole(cpu, dst, alu(gpr_whole(cpu, dst, size), size, &cpu->rflags), size);
    }
}

static ALWAYS_INLINE void unary_locked(struct cpu *cpu, const struct dec_insn *insn,
                                       alu_locked_unary_fn *alu, unsigned size)
{
    struct mem_rmw rmw;
    void *p = operand_rmw_begin(cpu, insn, &rmw, size);
    alu(p, size, &cpu->rflags);
    mem_rmw_end(cpu, &rmw);
}

#define FORMS(name, body)                                                                          \
    HANDLERS(name##_rr, body, alu_##name, FORM_RR)                                                 \
    HANDLERS(name##_rm, body, alu_##name, FORM_RM)                                                 \
    HANDLERS(name##_mr, body, alu_##name, FORM_MR)                                                 \
    HANDLERS(name##_ri, body, alu_##name, FORM_RI)                                                 \
    HANDLERS(name##_mi, body, alu_##name, FORM_MI)                                                 \
    static const handler_row name##_handlers[FORM_COUNT] = {                                       \
        ROW(name##_rr), ROW(name##_rm), ROW(name##_mr), ROW(name##_ri), ROW(name##_mi)};

#define LOCKED_FORMS(name)                                                                         \
    HANDLERS(name##_locked_mr, binary_locked, alu_locked_##name, FORM_MR)                          \
    HANDLERS(name##_locked_mi, binary_locked, alu_locked_##name, FORM_MI)                          \
    static const handler_row name##_locked_handlers[FORM_COUNT] = {                                \
        [FORM_MR] = ROW(name##_locked_mr), [FORM_MI] = ROW(name##_locked_mi)};

#define UNARY_FORMS(name, body)                                                                    \
    HANDLERS(name##_r, body, alu_##name, false)                                                    \
    HANDLERS(name##_m, body, alu_##name, true)                                                     \
    HANDLERS(name##_locked, body##_locked, alu_locked_##name)                                      \
    static const handler_row name##_handlers[] = {ROW(name##_r), ROW(name##_m), ROW(name##_locked)};

FORMS(add, binary)
FORMS(or, binary)
FORMS(adc, binary)
FORMS(sbb, binary)
FORMS(and, binary)
FORMS(sub, binary)
FORMS(xor, binary)
FORMS(cmp, compare)
FORMS(test, compare)
LOCKED_FORMS(add)
LOCKED_FORMS(or)
LOCKED_FORMS(adc)
LOCKED_FORMS(sbb)
LOCKED_FORMS(and)
LOCKED_FORMS(sub)
LOCKED_FORMS(xor)
UNARY_FORMS(inc, unary)
UNARY_FORMS(dec, unary)
UNARY_FORMS(neg, unary)
UNARY_FORMS(not, unary)

static interp_handler *select_binary(const struct dec_insn *insn, const handler_row *rows,
                                     const handler_row *locked_rows)
{
    const handler_row *table = insn->prefixes & DEC_PREFIX_LOCK ? locked_rows : rows;
    return table[operand_form(insn)][size_index(insn->operand[0].size)];
}

static interp_handler *select_unary(const struct dec_insn *insn, const handler_row *rows)
{
    bool memory = insn->operand[0].kind == DEC_OPERAND_MEM;
    bool locked = insn->prefixes & DEC_PREFIX_LOCK;
    return rows[locked ? 2 : memory][size_index(insn->operand[0].size)];
}

interp_handler *interp_select_alu(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_ADD:
        return select_binary(insn, add_handlers, add_locked_handlers);
    case DEC_OP_OR:
        return select_binary(insn, or_handlers, or_locked_handlers);
    case DEC_OP_ADC:
        return select_binary(insn, adc_handlers, adc_locked_handlers);
    case DEC_OP_SBB:
        return select_binary(insn, sbb_handlers, sbb_locked_handlers);
    case DEC_OP_AND:
        return select_binary(insn, and_handlers, and_locked_handlers);
    case DEC_OP_SUB:
        return select_binary(insn, sub_handlers, sub_locked_handlers);
    case DEC_OP_XOR:
        return select_binary(insn, xor_handlers, xor_locked_handlers);
    case DEC_OP_CMP:
        return select_binary(insn, cmp_handlers, cmp_handlers);
    case DEC_OP_TEST:
        return select_binary(insn, test_handlers, test_handlers);
    case DEC_OP_INC:
        return select_unary(insn, inc_handlers);
    case DEC_OP_DEC:
        return select_unary(insn, dec_handlers);
    case DEC_OP_NEG:
        return select_unary(insn, neg_handlers);
    case DEC_OP_NOT:
        return select_unary(insn, not_handlers);
    default:
        return NULL;
    }
}
