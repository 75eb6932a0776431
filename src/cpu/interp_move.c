/* Data movement between registers and memory, extensions, LEA, conditional moves and sets, hints.
 */
#include "cpu/interp_integer.h"

static ALWAYS_INLINE void mov(struct cpu *cpu, const struct dec_insn *insn, enum operand_form form,
                              unsigned size)
{
    uint64_t value = form_source(cpu, insn, form, size);
    if (form == FORM_MR || form == FORM_MI)
        operand_store(cpu, insn, value, size);
    else
        gpr_write(cpu, &insn->operand[0], value, size);
}

HANDLERS(mov_rr, mov, FORM_RR)
HANDLERS(mov_rm, mov, FORM_RM)
HANDLERS(mov_mr, mov, FORM_MR)
HANDLERS(mov_ri, mov, FORM_RI)
HANDLERS(mov_mi, mov, FORM_MI)
static const handler_row mov_handlers[FORM_COUNT] = {ROW(mov_rr), ROW(mov_rm), ROW(mov_mr),
                                                     ROW(mov_ri), ROW(mov_mi)};

/* MOVZX, MOVSX, MOVSXD: `from` bytes to `size`. */
static ALWAYS_INLINE void extend(struct cpu *cpu, const struct dec_insn *insn, bool sign,
                                 bool memory, unsigned from, unsigned size)
{
    uint64_t value = operand_source(cpu, insn, &insn->operand[1], memory, from);
    value = sign ? (uint64_t)sign_extend(value, from) : value & bytes_mask(from);
    gpr_write(cpu, &insn->operand[0], value, size);
}

#define EXTENSIONS(name, sign)                                                                     \
    HANDLERS_WIDE(name##8_r, extend, sign, false, 1)                                               \
    HANDLERS_WIDE(name##8_m, extend, sign, true, 1)                                                \
    HANDLERS_WIDE(name##16_r, extend, sign, false, 2)                                              \
    HANDLERS_WIDE(name##16_m, extend, sign, true, 2)                                               \
    HANDLERS_WIDE(name##32_r, extend, sign, false, 4)                                              \
    HANDLERS_WIDE(name##32_m, extend, sign, true, 4)                                               \
    static const handler_row name##_handlers[3][2] = {                                             \
        {ROW_WIDE(name##8_r), ROW_WIDE(name##8_m)},                                                \
        {ROW_WIDE(name##16_r), ROW_WIDE(name##16_m)},                                              \
        {ROW_WIDE(name##32_r), ROW_WIDE(name##32_m)}};

EXTENSIONS(movzx, false)
EXTENSIONS(movsx, true)

static interp_handler *select_extend(const struct dec_insn *insn, const handler_row (*table)[2])
{
    const struct dec_operand *source = &insn->operand[1];
    return table[size_index(source->size)][source->kind == DEC_OPERAND_MEM]
                [size_index(insn->operand[0].size)];
}

static ALWAYS_INLINE void lea(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    gpr_write(cpu, &insn->operand[0], cpu_effective_address(cpu, insn), size);
}

HANDLERS_WIDE(lea, lea)
static const handler_row lea_handlers = ROW_WIDE(lea);

/* A 16-bit BSWAP is undefined; processors clear the register's low half. */
static ALWAYS_INLINE void bswap(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    const struct dec_operand *reg = &insn->operand[0];
    uint64_t swapped = __builtin_bswap64(gpr_whole(cpu, reg, size)) >> (64 - 8 * size);
    gpr_write(cpu, reg, size == 2 ? 0 : swapped, size);
}

HANDLERS_WIDE(bswap, bswap)
static const handler_row bswap_handlers = ROW_WIDE(bswap);

static ALWAYS_INLINE void movbe(struct cpu *cpu, const struct dec_insn *insn, bool store,
                                unsigned size)
{
    unsigned shift = 64 - 8 * size;
    if (store) {
        uint64_t value = gpr_whole(cpu, &insn->operand[1], size);
        operand_store(cpu, insn, __builtin_bswap64(value) >> shift, size);
    } else {
        uint64_t value = operand_load(cpu, insn, size);
        gpr_write(cpu, &insn->operand[0], __builtin_bswap64(value) >> shift, size);
    }
}

HANDLERS_WIDE(movbe_load, movbe, false)
HANDLERS_WIDE(movbe_store, movbe, true)
static const handler_row movbe_handlers[] = {ROW_WIDE(movbe_load), ROW_WIDE(movbe_store)};

/* The source is read, and may fault, whatever the condition; 32 bits always clear the upper half.
 */
static ALWAYS_INLINE void cmov(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                               unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0];
    uint64_t value = operand_source(cpu, insn, &insn->operand[1], memory, size);
    if (!alu_condition(cpu->rflags, insn->cond))
        value = gpr_whole(cpu, dst, size);
    gpr_write(cpu, dst, value, size);
}

HANDLERS_WIDE(cmov_r, cmov, false)
HANDLERS_WIDE(cmov_m, cmov, true)
static const handler_row cmov_handlers[] = {ROW_WIDE(cmov_r), ROW_WIDE(cmov_m)};

static void setcc_r(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    gpr_write(cpu, &insn->operand[0], alu_condition(cpu->rflags, insn->cond), 1);
}

static void setcc_m(struct cpu *cpu, const struct interp_insn *in)
{
    operand_store(cpu, &in->insn, alu_condition(cpu->rflags, in->insn.cond), 1);
}

/* CBW, CWDE, CDQE. */
static ALWAYS_INLINE void cbw(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    (void)insn;
    uint64_t value = (uint64_t)sign_extend(cpu->gpr[REG_RAX], size / 2);
    gpr_write_fixed(cpu, REG_RAX, value, size);
}

/* CWD, CDQ, CQO. */
static ALWAYS_INLINE void cwd(struct cpu *cpu, const struct dec_insn *insn, unsigned size)
{
    (void)insn;
    bool negative = sign_extend(cpu->gpr[REG_RAX], size) < 0;
    gpr_write_fixed(cpu, REG_RDX, negative ? ~0ull : 0, size);
}

HANDLERS_WIDE(cbw, cbw)
HANDLERS_WIDE(cwd, cwd)
static const handler_row cbw_handlers = ROW_WIDE(cbw);
static const handler_row cwd_handlers = ROW_WIDE(cwd);

static void xlat(struct cpu *cpu, const struct interp_insn *in)
{
    uint64_t offset = cpu->gpr[REG_RBX] + (uint8_t)cpu->gpr[REG_RAX];
    offset &= bytes_mask(in->insn.address_size);
    gpr_write_fixed(cpu, REG_RAX, mem_load(cpu, in->insn.mem.segment, offset, 1), 1);
}

static void nop(struct cpu *cpu, const struct interp_insn *in)
{
    (void)cpu;
    (void)in;
}

/* The fences order this thread's accesses to RAM that it may share with other vCPUs' threads. */
static void fence(struct cpu *cpu, const struct interp_insn *in)
{
    (void)cpu;
    (void)in;
    atomic_thread_fence(memory_order_seq_cst);
}

/* The line is not cached by us, but it must be readable. */
static void clflush(struct cpu *cpu, const struct interp_insn *in)
{
    operand_load(cpu, &in->insn, 1);
}

interp_handler *interp_select_move(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    bool memory = insn->operand[0].kind == DEC_OPERAND_MEM;
    bool memory_source = insn->operand[1].kind == DEC_OPERAND_MEM;
    unsigned size = size_index(insn->operand_size);
    switch (insn->op) {
    case DEC_OP_MOV:
    case DEC_OP_MOVNTI:
        return mov_handlers[operand_form(insn)][size_index(insn->operand[0].size)];
    case DEC_OP_MOVZX:
        return select_extend(insn, movzx_handlers);
    case DEC_OP_MOVSX:
    case DEC_OP_MOVSXD:
        return select_extend(insn, movsx_handlers);
    case DEC_OP_LEA:
        return lea_handlers[size];
    case DEC_OP_BSWAP:
        return bswap_handlers[size];
    case DEC_OP_MOVBE:
        return movbe_handlers[memory][size];
    case DEC_OP_CMOVCC:
        return cmov_handlers[memory_source][size];
    case DEC_OP_SETCC:
        return memory ? setcc_m : setcc_r;
    case DEC_OP_CBW:
        return cbw_handlers[size];
    case DEC_OP_CWD:
        return cwd_handlers[size];
    case DEC_OP_XLAT:
        return xlat;
    case DEC_OP_NOP:
    case DEC_OP_PAUSE:
    case DEC_OP_ENDBR32:
    case DEC_OP_ENDBR64:
    case DEC_OP_PREFETCHT0:
    case DEC_OP_PREFETCHT1:
    case DEC_OP_PREFETCHT2:
    case DEC_OP_PREFETCHNTA:
    case DEC_OP_PREFETCHW:
        return nop;
    case DEC_OP_SFENCE:
    case DEC_OP_LFENCE:
    case DEC_OP_MFENCE:
        return fence;
    case DEC_OP_CLFLUSH:
    case DEC_OP_CLFLUSHOPT:
    case DEC_OP_CLWB:
        return clflush;
    default:
        return NULL;
    }
}
