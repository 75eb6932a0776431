/* Near branches: JMP, CALL, RET, Jcc, JCXZ, LOOP. */
#include "cpu/interp_integer.h"

#include "cpu/segment.h"

/* Where a branch to `target` goes: truncated to `size` (not in 64-bit mode, where it is 8) and
 * checked, so that #GP(0) comes at the branch. */
static ALWAYS_INLINE uint64_t branch_target(struct cpu *cpu, uint64_t target, bool mode64,
                                            unsigned size)
{
    if (mode64) {
        if (UNLIKELY(!is_canonical(target)))
            cpu_raise_error(cpu, VECTOR_GP, 0);
        return target;
    }
    target &= bytes_mask(size);
    if (!(cpu->mode & MODE_FLAT_CS) && target > cpu->seg[SEG_CS].limit)
        cpu_raise_error(cpu, VECTOR_GP, 0);
    return target;
}

enum branch_form { BRANCH_REL, BRANCH_REG, BRANCH_MEM };

static ALWAYS_INLINE uint64_t branch_operand(struct cpu *cpu, const struct dec_insn *insn,
                                             enum branch_form form, unsigned size)
{
    if (form == BRANCH_REL)
        return cpu->next_rip + insn->imm;
    return operand_source(cpu, insn, &insn->operand[0], form == BRANCH_MEM, size);
}

static ALWAYS_INLINE void jmp(struct cpu *cpu, const struct dec_insn *insn, enum branch_form form,
                              bool mode64, unsigned size)
{
    uint64_t target = branch_operand(cpu, insn, form, size);
    cpu->next_rip = branch_target(cpu, target, mode64, size);
}

/* Processors store the return address before they check the target. */
static ALWAYS_INLINE void call(struct cpu *cpu, const struct dec_insn *insn, enum branch_form form,
                               bool mode64, unsigned size)
{
    uint64_t target = branch_operand(cpu, insn, form, size);
    uint64_t mask = mode64 ? ~0ull : cpu_stack_mask(cpu);
    uint64_t rsp = (cpu->gpr[REG_RSP] - size) & mask;
    mem_store(cpu, SEG_SS, rsp, cpu->next_rip, size);
    cpu->next_rip = branch_target(cpu, target, mode64, size);
    cpu_set_rsp(cpu, rsp, mask);
}

/* The immediate is how many bytes of arguments go too. */
static ALWAYS_INLINE void ret(struct cpu *cpu, const struct dec_insn *insn, bool mode64,
                              unsigned size)
{
    uint64_t target = stack_peek(cpu, mode64, size);
    cpu->next_rip = branch_target(cpu, target, mode64, size);
    stack_drop(cpu, size + (insn->operand_count ? insn->imm : 0), mode64);
}

static ALWAYS_INLINE void jcc(struct cpu *cpu, const struct dec_insn *insn, unsigned cond,
                              bool mode64, unsigned size)
{
    if (alu_condition(cpu->rflags, cond))
        cpu->next_rip = branch_target(cpu, cpu->next_rip + insn->imm, mode64, size);
}

static void jcc_legacy(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    jcc(cpu, insn, insn->cond, false, insn->operand_size);
}

/* Names end in the operand size, which in 64-bit mode is always 64 bits. */
#define BRANCHES(name, body, ...)                                                                  \
    HANDLER(name##_16, body, ##__VA_ARGS__, false, 2)                                              \
    HANDLER(name##_32, body, ##__VA_ARGS__, false, 4)                                              \
    HANDLER(name##_64, body, ##__VA_ARGS__, true, 8)

BRANCHES(jmp_rel, jmp, BRANCH_REL)
BRANCHES(jmp_reg, jmp, BRANCH_REG)
BRANCHES(jmp_mem, jmp, BRANCH_MEM)
BRANCHES(call_rel, call, BRANCH_REL)
BRANCHES(call_reg, call, BRANCH_REG)
BRANCHES(call_mem, call, BRANCH_MEM)
BRANCHES(ret, ret)
static const handler_row jmp_handlers[] = {ROW_WIDE(jmp_rel), ROW_WIDE(jmp_reg), ROW_WIDE(jmp_mem)};
static const handler_row call_handlers[] = {ROW_WIDE(call_rel), ROW_WIDE(call_reg),
                                            ROW_WIDE(call_mem)};
static const handler_row ret_handlers = ROW_WIDE(ret);

HANDLER(jo, jcc, 0, true, 8)
HANDLER(jno, jcc, 1, true, 8)
HANDLER(jb, jcc, 2, true, 8)
HANDLER(jae, jcc, 3, true, 8)
HANDLER(je, jcc, 4, true, 8)
HANDLER(jne, jcc, 5, true, 8)
HANDLER(jbe, jcc, 6, true, 8)
HANDLER(ja, jcc, 7, true, 8)
HANDLER(js, jcc, 8, true, 8)
HANDLER(jns, jcc, 9, true, 8)
HANDLER(jp, jcc, 10, true, 8)
HANDLER(jnp, jcc, 11, true, 8)
HANDLER(jl, jcc, 12, true, 8)
HANDLER(jge, jcc, 13, true, 8)
HANDLER(jle, jcc, 14, true, 8)
HANDLER(jg, jcc, 15, true, 8)
static interp_handler *const jcc_handlers[16] = {jo, jno, jb, jae, je, jne, jbe, ja,
                                                 js, jns, jp, jnp, jl, jge, jle, jg};

static uint64_t relative_target(struct cpu *cpu, const struct dec_insn *insn)
{
    bool mode64 = insn->mode == DEC_MODE_64;
    return branch_target(cpu, cpu->next_rip + insn->imm, mode64, insn->operand_size);
}

/* JCXZ, JECXZ, JRCXZ. */
static void jcxz(struct cpu *cpu, const struct interp_insn *in)
{
    if (!(cpu->gpr[REG_RCX] & bytes_mask(in->insn.address_size)))
        cpu->next_rip = relative_target(cpu, &in->insn);
}

/* LOOP, LOOPE, LOOPNE; the counter is as wide as an address. */
static void loop(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = insn->address_size;
    uint64_t count = (cpu->gpr[REG_RCX] - 1) & bytes_mask(size);
    bool zero = cpu->rflags & FLAG_ZF;
    if (count && (insn->op == DEC_OP_LOOP || zero == (insn->op == DEC_OP_LOOPE)))
        cpu->next_rip = relative_target(cpu, insn);
    gpr_write_fixed(cpu, REG_RCX, count, size);
}

static enum branch_form branch_form(const struct dec_insn *insn)
{
    switch (insn->operand[0].kind) {
    case DEC_OPERAND_REL:
        return BRANCH_REL;
    case DEC_OPERAND_MEM:
        return BRANCH_MEM;
    default:
        return BRANCH_REG;
    }
}

interp_handler *interp_select_branch(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    unsigned size = size_index(insn->mode == DEC_MODE_64 ? 8 : insn->operand_size);
    switch (insn->op) {
    case DEC_OP_JMP:
        return jmp_handlers[branch_form(insn)][size];
    case DEC_OP_CALL:
        return call_handlers[branch_form(insn)][size];
    case DEC_OP_RET:
        return ret_handlers[size];
    case DEC_OP_JCC:
        return insn->mode == DEC_MODE_64 ? jcc_handlers[insn->cond] : jcc_legacy;
    case DEC_OP_JCXZ:
        return jcxz;
    case DEC_OP_LOOP:
    case DEC_OP_LOOPE:
    case DEC_OP_LOOPNE:
        return loop;
    default:
        return NULL;
    }
}
