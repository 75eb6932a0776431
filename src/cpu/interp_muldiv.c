/* MUL, IMUL, DIV, IDIV. */
#include "cpu/interp_integer.h"

/* MUL, IMUL, DIV and IDIV on rDX:rAX (AX for bytes), whole registers in and out. */
#define WIDE_CASE(flags_in, insn, width)                                                           \
    asm(flags_in "mov %[rax], %%rax\n\t" insn " %" width "[b]\n\tmov %%rax, %[rax]" ALU_FLAGS_OUT  \
        : [rax] "+&r"(rax), "+&d"(rdx), "+&a"(ax)                                                  \
        : [b] "r"(b)                                                                               \
        : "cc")

#define WIDE_OPERATION(name, mnemonic)                                                             \
    static ALWAYS_INLINE void name(struct cpu *cpu, uint64_t b, unsigned size)                     \
    {                                                                                              \
        uint32_t ax = alu_flags_to_ax(cpu->rflags);                                                \
        uint64_t rax = cpu->gpr[REG_RAX], rdx = cpu->gpr[REG_RDX];                                 \
        ALU_ALL_SIZES(WIDE_CASE, ALU_FLAGS_IN, mnemonic);                                          \
        cpu->gpr[REG_RAX] = rax;                                                                   \
        cpu->gpr[REG_RDX] = rdx;                                                                   \
        alu_flags_from_ax(&cpu->rflags, ax);                                                       \
    }

WIDE_OPERATION(host_mul, "mul")
WIDE_OPERATION(host_imul, "imul")
WIDE_OPERATION(host_div, "div")
WIDE_OPERATION(host_idiv, "idiv")

static ALWAYS_INLINE unsigned __int128 dividend(const struct cpu *cpu, unsigned size)
{
    uint64_t low = cpu->gpr[REG_RAX], high = cpu->gpr[REG_RDX];
    if (size == 1)
        return (uint16_t)low;
    uint64_t mask = bytes_mask(size);
    return (unsigned __int128)(high & mask) << (8 * size) | (low & mask);
}

/* Whether the quotient fits: the dividend is less than divisor * 2^bits. */
static ALWAYS_INLINE bool div_fits(const struct cpu *cpu, uint64_t divisor, unsigned size)
{
    return (uint64_t)(dividend(cpu, size) >> (8 * size)) < divisor;
}

/* The quotient is at least -2^(bits - 1) and less than 2^(bits - 1). */
static ALWAYS_INLINE bool idiv_fits(const struct cpu *cpu, int64_t divisor, unsigned size)
{
    unsigned unused = 128 - 16 * size;
    __int128 extended = (__int128)(dividend(cpu, size) << unused) >> unused;
    bool negative = extended < 0;
    unsigned __int128 value = (unsigned __int128)extended;
    if (negative)
        value = -value;
    uint64_t magnitude = divisor < 0 ? -(uint64_t)divisor : (uint64_t)divisor;
    bool negative_quotient = negative != (divisor < 0);
    uint64_t limit = (1ull << (8 * size - 1)) + negative_quotient;
    return value < (unsigned __int128)magnitude * limit;
}

static ALWAYS_INLINE void mul(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                              unsigned size)
{
    host_mul(cpu, operand_source(cpu, insn, &insn->operand[0], memory, size), size);
}

static ALWAYS_INLINE void imul_wide(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                                    unsigned size)
{
    host_imul(cpu, operand_source(cpu, insn, &insn->operand[0], memory, size), size);
}

static ALWAYS_INLINE void div_unsigned(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                                       unsigned size)
{
    uint64_t divisor = operand_source(cpu, insn, &insn->operand[0], memory, size);
    if (UNLIKELY(!div_fits(cpu, divisor & bytes_mask(size), size)))
        cpu_raise(cpu, VECTOR_DE);
    host_div(cpu, divisor, size);
}

static ALWAYS_INLINE void div_signed(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                                     unsigned size)
{
    uint64_t divisor = operand_source(cpu, insn, &insn->operand[0], memory, size);
    if (UNLIKELY(!idiv_fits(cpu, sign_extend(divisor, size), size)))
        cpu_raise(cpu, VECTOR_DE);
    host_idiv(cpu, divisor, size);
}

/* IMUL with two operands, and with an immediate as the third. */
static ALWAYS_INLINE void imul(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                               bool immediate, unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0];
    uint64_t source = operand_source(cpu, insn, &insn->operand[1], memory, size);
    uint64_t factor = immediate ? insn->imm : gpr_whole(cpu, dst, size);
    gpr_write(cpu, dst, alu_imul(factor, source, size, &cpu->rflags), size);
}

#define WIDE_FORMS(name)                                                                           \
    HANDLERS(name##_r, name, false)                                                                \
    HANDLERS(name##_m, name, true)                                                                 \
    static const handler_row name##_handlers[2] = {ROW(name##_r), ROW(name##_m)};

WIDE_FORMS(mul)
WIDE_FORMS(imul_wide)
WIDE_FORMS(div_unsigned)
WIDE_FORMS(div_signed)

HANDLERS_WIDE(imul_rr, imul, false, false)
HANDLERS_WIDE(imul_rm, imul, true, false)
HANDLERS_WIDE(imul_rri, imul, false, true)
HANDLERS_WIDE(imul_rmi, imul, true, true)
static const handler_row imul_handlers[2][2] = {{ROW_WIDE(imul_rr), ROW_WIDE(imul_rm)},
                                                {ROW_WIDE(imul_rri), ROW_WIDE(imul_rmi)}};

interp_handler *interp_select_muldiv(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    bool memory = insn->operand[0].kind == DEC_OPERAND_MEM;
    bool memory_source = insn->operand[1].kind == DEC_OPERAND_MEM;
    unsigned size = size_index(insn->operand[0].size);
    switch (insn->op) {
    case DEC_OP_MUL:
        return mul_handlers[memory][size];
    case DEC_OP_IMUL:
        if (insn->operand_count == 1)
            return imul_wide_handlers[memory][size];
        return imul_handlers[insn->operand_count == 3][memory_source][size];
    case DEC_OP_DIV:
        return div_unsigned_handlers[memory][size];
    case DEC_OP_IDIV:
        return div_signed_handlers[memory][size];
    default:
        return NULL;
    }
}
