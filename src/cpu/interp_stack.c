/* PUSH, POP, PUSHA, POPA, ENTER, LEAVE. */
#include "cpu/interp_integer.h"

#include "cpu/segment.h"

enum stack_form { STACK_REG, STACK_MEM, STACK_IMM };

static ALWAYS_INLINE void push(struct cpu *cpu, const struct dec_insn *insn, enum stack_form form,
                               bool mode64, unsigned size)
{
    uint64_t value = form == STACK_IMM
                         ? insn->imm
                         : operand_source(cpu, insn, &insn->operand[0], form == STACK_MEM, size);
    stack_push(cpu, value, mode64, size);
}

static ALWAYS_INLINE void pop_reg(struct cpu *cpu, const struct dec_insn *insn, bool mode64,
                                  unsigned size)
{
    uint64_t value = stack_peek(cpu, mode64, size);
    stack_drop(cpu, size, mode64);
    gpr_write(cpu, &insn->operand[0], value, size);
}

/* The address of a destination based on RSP is computed with RSP already raised. */
static void pop_mem(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = insn->operand_size;
    uint64_t value = cpu_peek(cpu, 0, size);
    uint64_t rsp = cpu->gpr[REG_RSP];
    cpu_drop(cpu, size);
    uint64_t raised = cpu->gpr[REG_RSP];
    uint64_t ea = cpu_effective_address(cpu, insn);
    cpu->gpr[REG_RSP] = rsp;
    mem_store(cpu, insn->mem.segment, ea, value, size);
    cpu->gpr[REG_RSP] = raised;
}

/* RSP moves by the operand size. Processors write 2 bytes of 4, but all 8. */
static void push_seg(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t mask = cpu_stack_mask(cpu), rsp = (cpu->gpr[REG_RSP] - size) & mask;
    uint16_t selector = cpu->seg[in->insn.operand[0].reg].selector;
    mem_store(cpu, SEG_SS, rsp, selector, size == 8 ? 8 : 2);
    cpu_set_rsp(cpu, rsp, mask);
}

/* 2 bytes are read, whatever RSP moves by; it is as wide as the stack was before a POP SS. */
static void pop_seg(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t mask = cpu_stack_mask(cpu);
    uint16_t selector = (uint16_t)cpu_peek(cpu, 0, 2);
    cpu_load_segment(cpu, in->insn.operand[0].reg, selector);
    cpu_set_rsp(cpu, cpu->gpr[REG_RSP] + size, mask);
    cpu->leave = 1;
}

/* Sizes by operand size; 64-bit mode has 16 and 64 bits, the others 16 and 32. */
#define STACK_HANDLERS(name, body, ...)                                                            \
    HANDLER(name##_16, body, ##__VA_ARGS__, false, 2)                                              \
    HANDLER(name##_32, body, ##__VA_ARGS__, false, 4)                                              \
    HANDLER(name##_64, body, ##__VA_ARGS__, true, 8)

STACK_HANDLERS(push_reg, push, STACK_REG)
STACK_HANDLERS(push_mem, push, STACK_MEM)
STACK_HANDLERS(push_imm, push, STACK_IMM)
STACK_HANDLERS(pop_reg, pop_reg)
static const handler_row push_reg_handlers = ROW_WIDE(push_reg);
static const handler_row push_mem_handlers = ROW_WIDE(push_mem);
static const handler_row push_imm_handlers = ROW_WIDE(push_imm);
static const handler_row pop_reg_handlers = ROW_WIDE(pop_reg);

/* PUSHA and POPA keep RSP until all accesses are done: a fault leaves nothing but bytes beyond the
 * top of the stack. */
static void pusha(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t mask = cpu_stack_mask(cpu), rsp = cpu->gpr[REG_RSP];
    for (unsigned reg = REG_RAX; reg <= REG_RDI; reg++) {
        rsp = (rsp - size) & mask;
        mem_store(cpu, SEG_SS, rsp, cpu->gpr[reg], size);
    }
    cpu_set_rsp(cpu, rsp, mask);
}

static void popa(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t value[8];
    for (unsigned i = 0; i < 8; i++)
        value[i] = cpu_peek(cpu, i * size, size);
    cpu_drop(cpu, 8 * size);
    for (unsigned reg = REG_RAX; reg <= REG_RDI; reg++) {
        if (reg != REG_RSP)
            gpr_write_fixed(cpu, reg, value[7 - reg], size);
    }
}

/* The outer frame pointers of a nested procedure are copied, then the new one follows. */
static void enter(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size, level = in->insn.imm2 & 31;
    uint64_t mask = cpu_stack_mask(cpu);
    uint64_t rsp = (cpu->gpr[REG_RSP] - size) & mask, rbp = cpu->gpr[REG_RBP];
    mem_store(cpu, SEG_SS, rsp, rbp, size);
    uint64_t frame = (cpu->gpr[REG_RSP] & ~mask) | rsp; /* ESP, even where SP is the pointer */
    for (unsigned i = 1; i < level; i++) {
        rbp -= size;
        uint64_t outer = mem_load(cpu, SEG_SS, rbp & mask, size);
        rsp = (rsp - size) & mask;
        mem_store(cpu, SEG_SS, rsp, outer, size);
    }
    if (level) {
        rsp = (rsp - size) & mask;
        mem_store(cpu, SEG_SS, rsp, frame, size);
    }
    rsp = (rsp - in->insn.imm) & mask;
    mem_probe_write(cpu, SEG_SS, rsp, size);
    gpr_write_fixed(cpu, REG_RBP, frame, size);
    cpu_set_rsp(cpu, rsp, mask);
}

static void leave(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned size = in->insn.operand_size;
    uint64_t mask = cpu_stack_mask(cpu), rbp = cpu->gpr[REG_RBP] & mask;
    uint64_t value = mem_load(cpu, SEG_SS, rbp, size);
    cpu_set_rsp(cpu, rbp + size, mask);
    gpr_write_fixed(cpu, REG_RBP, value, size);
}

static interp_handler *select_push(const struct dec_insn *insn)
{
    unsigned size = size_index(insn->operand_size);
    switch (insn->operand[0].kind) {
    case DEC_OPERAND_SEG:
        return push_seg;
    case DEC_OPERAND_MEM:
        return push_mem_handlers[size];
    case DEC_OPERAND_IMM:
        return push_imm_handlers[size];
    default:
        return push_reg_handlers[size];
    }
}

static interp_handler *select_pop(const struct dec_insn *insn)
{
    switch (insn->operand[0].kind) {
    case DEC_OPERAND_SEG:
        return pop_seg;
    case DEC_OPERAND_MEM:
        return pop_mem;
    default:
        return pop_reg_handlers[size_index(insn->operand_size)];
    }
}

interp_handler *interp_select_stack(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_PUSH:
        return select_push(insn);
    case DEC_OP_POP:
        return select_pop(insn);
    case DEC_OP_PUSHA:
        return pusha;
    case DEC_OP_POPA:
        return popa;
    case DEC_OP_ENTER:
        return enter;
    case DEC_OP_LEAVE:
        return leave;
    default:
        return NULL;
    }
}
