/* What the integer handlers share: operands, operand forms and how handlers are instantiated.
 *
 * Every handler is an always-inline body with constant form and size, so that it contains no test
 * of the kind of its operands; the HANDLERS macros instantiate it and build the table that the
 * selector of its file indexes. */
#ifndef DOPPEL_CPU_INTERP_INTEGER_H
#define DOPPEL_CPU_INTERP_INTEGER_H

#include "cpu/access.h"
#include "cpu/alu.h"
#include "cpu/interp.h"

/* The selectors of the integer files, as interp_select_integer(). */
interp_handler *interp_select_alu(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_bcd(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_bit(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_bmi(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_branch(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_exchange(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_flag(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_move(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_muldiv(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_shift(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_stack(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_string(const struct dec_insn *insn, uint32_t mode);

/* The first two operands: register, memory or immediate, destination first. */
enum operand_form { FORM_RR, FORM_RM, FORM_MR, FORM_RI, FORM_MI, FORM_COUNT };

static inline bool operand_is_gpr(const struct dec_operand *operand)
{
    return operand->kind == DEC_OPERAND_GPR || operand->kind == DEC_OPERAND_GPR_HIGH;
}

static inline enum operand_form operand_form(const struct dec_insn *insn)
{
    unsigned source = insn->operand[1].kind;
    if (insn->operand[0].kind == DEC_OPERAND_MEM)
        return source == DEC_OPERAND_IMM ? FORM_MI : FORM_MR;
    return source == DEC_OPERAND_IMM ? FORM_RI : source == DEC_OPERAND_MEM ? FORM_RM : FORM_RR;
}

/* Sizes 1, 2, 4, 8 as an index; others, of operands without a size, as any. */
static inline unsigned size_index(unsigned size)
{
    return (unsigned)__builtin_ctz(size | 16) & 3;
}

/* The register for a computation that ignores the bits above its size, which stay there. */
static ALWAYS_INLINE uint64_t gpr_whole(const struct cpu *cpu, const struct dec_operand *operand,
                                        unsigned size)
{
    if (size > 1)
        return cpu->gpr[operand->reg];
    bool high = operand->kind == DEC_OPERAND_GPR_HIGH;
    return ((const uint8_t *)&cpu->gpr[operand->reg])[high];
}

/* The register's value, zero-extended. */
static ALWAYS_INLINE uint64_t gpr_read(const struct cpu *cpu, const struct dec_operand *operand,
                                       unsigned size)
{
    return gpr_whole(cpu, operand, size) & bytes_mask(size);
}

/* Writes a register: 32 bits clear the upper half, 8 and 16 bits keep the rest. */
static ALWAYS_INLINE void gpr_write(struct cpu *cpu, const struct dec_operand *operand,
                                    uint64_t value, unsigned size)
{
    uint64_t *gpr = &cpu->gpr[operand->reg];
    if (size == 8) {
        *gpr = value;
    } else if (size == 4) {
        *gpr = (uint32_t)value;
    } else if (size == 2) {
        *gpr = (*gpr & ~0xffffull) | (uint16_t)value;
    } else {
        unsigned shift = operand->kind == DEC_OPERAND_GPR_HIGH ? 8 : 0;
        *gpr = (*gpr & ~(0xffull << shift)) | (uint64_t)(uint8_t)value << shift;
    }
}

/* Writes what an alu_ function made of gpr_whole(): already merged, except for single bytes. */
static ALWAYS_INLINE void gpr_write_whole(struct cpu *cpu, const struct dec_operand *operand,
                                          uint64_t value, unsigned size)
{
    if (size > 1)
        cpu->gpr[operand->reg] = value;
    else
        gpr_write(cpu, operand, value, 1);
}

/* Registers that an instruction names implicitly: the accumulator, the counter, rDX and so on. */
static ALWAYS_INLINE void gpr_write_fixed(struct cpu *cpu, unsigned reg, uint64_t value,
                                          unsigned size)
{
    const struct dec_operand operand = {.kind = DEC_OPERAND_GPR, .reg = (uint8_t)reg};
    gpr_write(cpu, &operand, value, size);
}

static ALWAYS_INLINE uint64_t operand_load(struct cpu *cpu, const struct dec_insn *insn,
                                           unsigned size)
{
    return mem_load(cpu, insn->mem.segment, cpu_effective_address(cpu, insn), size);
}

static ALWAYS_INLINE void operand_store(struct cpu *cpu, const struct dec_insn *insn,
                                        uint64_t value, unsigned size)
{
    mem_store(cpu, insn->mem.segment, cpu_effective_address(cpu, insn), value, size);
}

static ALWAYS_INLINE void *operand_rmw_begin(struct cpu *cpu, const struct dec_insn *insn,
                                             struct mem_rmw *rmw, unsigned size)
{
    return mem_rmw_begin(cpu, rmw, insn->mem.segment, cpu_effective_address(cpu, insn), size);
}

/* A source operand that is a register or memory. */
static ALWAYS_INLINE uint64_t operand_source(struct cpu *cpu, const struct dec_insn *insn,
                                             const struct dec_operand *operand, bool memory,
                                             unsigned size)
{
    return memory ? operand_load(cpu, insn, size) : gpr_whole(cpu, operand, size);
}

/* The second operand. */
static ALWAYS_INLINE uint64_t form_source(struct cpu *cpu, const struct dec_insn *insn,
                                          enum operand_form form, unsigned size)
{
    if (form == FORM_RI || form == FORM_MI)
        return insn->imm;
    return operand_source(cpu, insn, &insn->operand[1], form == FORM_RM, size);
}

/* cpu_push(), with the mask folded in 64-bit mode. */
static ALWAYS_INLINE void stack_push(struct cpu *cpu, uint64_t value, bool mode64, unsigned size)
{
    if (mode64) {
        uint64_t rsp = cpu->gpr[REG_RSP] - size;
        mem_store(cpu, SEG_SS, rsp, value, size);
        cpu->gpr[REG_RSP] = rsp;
    } else {
        cpu_push(cpu, value, size);
    }
}

static ALWAYS_INLINE uint64_t stack_peek(struct cpu *cpu, bool mode64, unsigned size)
{
    if (mode64)
        return mem_load(cpu, SEG_SS, cpu->gpr[REG_RSP], size);
    return cpu_peek(cpu, 0, size);
}

static ALWAYS_INLINE void stack_drop(struct cpu *cpu, uint64_t bytes, bool mode64)
{
    if (mode64)
        cpu->gpr[REG_RSP] += bytes;
    else
        cpu_drop(cpu, bytes);
}

/* HANDLER(name, body, arguments): a handler that calls body with constant arguments. */
#define HANDLER(name, body, ...)                                                                   \
    static void name(struct cpu *cpu, const struct interp_insn *in)                                \
    {                                                                                              \
        body(cpu, &in->insn, ##__VA_ARGS__);                                                       \
    }

/* name_8, _16, _32, _64: body's last argument is the operand size. */
#define HANDLERS_WIDE(name, body, ...)                                                             \
    HANDLER(name##_16, body, ##__VA_ARGS__, 2)                                                     \
    HANDLER(name##_32, body, ##__VA_ARGS__, 4)                                                     \
    HANDLER(name##_64, body, ##__VA_ARGS__, 8)
#define HANDLERS(name, body, ...)                                                                  \
    HANDLER(name##_8, body, ##__VA_ARGS__, 1)                                                      \
    HANDLERS_WIDE(name, body, ##__VA_ARGS__)

/* Rows of handler tables, by size_index(). */
#define ROW_WIDE(name)                                                                             \
    {                                                                                              \
        NULL, name##_16, name##_32, name##_64                                                      \
    }
#define ROW(name)                                                                                  \
    {                                                                                              \
        name##_8, name##_16, name##_32, name##_64                                                  \
    }

typedef interp_handler *const handler_row[4];

#endif
