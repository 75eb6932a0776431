/* BT, BTS, BTR, BTC, bit scans and counts, CRC32, RDRAND, RDSEED. */
#include "cpu/interp_integer.h"

/* The number comes as immediate or in a register; in memory, a register counts from the operand's
 * address in both directions, and the datum accessed is the one that holds the bit. */
static ALWAYS_INLINE uint64_t bit_address(const struct cpu *cpu, const struct dec_insn *insn,
                                          enum operand_form form, unsigned size)
{
    uint64_t ea = cpu_effective_address(cpu, insn);
    if (form == FORM_MI)
        return ea;
    int64_t number = sign_extend(cpu->gpr[insn->operand[1].reg], size);
    int64_t element = number >> (size == 8 ? 6 : size == 4 ? 5 : 4);
    return (ea + (uint64_t)element * size) & bytes_mask(insn->address_size);
}

static ALWAYS_INLINE uint64_t bit_number(const struct cpu *cpu, const struct dec_insn *insn,
                                         enum operand_form form, unsigned size)
{
    bool immediate = form == FORM_RI || form == FORM_MI;
    return (immediate ? insn->imm : cpu->gpr[insn->operand[1].reg]) & (8 * size - 1);
}

static ALWAYS_INLINE void bit_test(struct cpu *cpu, const struct dec_insn *insn,
                                   enum operand_form form, unsigned size)
{
    uint64_t value;
    if (form == FORM_MR || form == FORM_MI)
        value = mem_load(cpu, insn->mem.segment, bit_address(cpu, insn, form, size), size);
    else
        value = gpr_whole(cpu, &insn->operand[0], size);
    alu_bt(value, bit_number(cpu, insn, form, size), size, &cpu->rflags);
}

static ALWAYS_INLINE void bit_change(struct cpu *cpu, const struct dec_insn *insn,
                                     alu_binary_fn *alu, enum operand_form form, unsigned size)
{
    uint64_t number = bit_number(cpu, insn, form, size);
    if (form == FORM_MR || form == FORM_MI) {
        struct mem_rmw rmw;
        void *p =
            mem_rmw_begin(cpu, &rmw, insn->mem.segment, bit_address(cpu, insn, form, size), size);
        store_le(p, alu(load_le(p, size), number, size, &cpu->rflags), size);
        mem_rmw_end(cpu, &rmw);
    } else {
        const struct dec_operand *dst = &insn->operand[0];
        gpr_write_whole(cpu, dst, alu(gpr_whole(cpu, dst, size), number, size, &cpu->rflags), size);
    }
}

static ALWAYS_INLINE void bit_change_locked(struct cpu *cpu, const struct dec_insn *insn,
                                            alu_locked_fn *alu, enum operand_form form,
                                            unsigned size)
{
    struct mem_rmw rmw;
    void *p = mem_rmw_begin(cpu, &rmw, insn->mem.segment, bit_address(cpu, insn, form, size), size);
    alu(p, bit_number(cpu, insn, form, size), size, &cpu->rflags);
    mem_rmw_end(cpu, &rmw);
}

HANDLERS_WIDE(bt_rr, bit_test, FORM_RR)
HANDLERS_WIDE(bt_ri, bit_test, FORM_RI)
HANDLERS_WIDE(bt_mr, bit_test, FORM_MR)
HANDLERS_WIDE(bt_mi, bit_test, FORM_MI)
static const handler_row bt_handlers[FORM_COUNT] = {[FORM_RR] = ROW_WIDE(bt_rr),
                                                    [FORM_RI] = ROW_WIDE(bt_ri),
                                                    [FORM_MR] = ROW_WIDE(bt_mr),
                                                    [FORM_MI] = ROW_WIDE(bt_mi)};

#define BIT_CHANGES(name)                                                                          \
    HANDLERS_WIDE(name##_rr, bit_change, alu_##name, FORM_RR)                                      \
    HANDLERS_WIDE(name##_ri, bit_change, alu_##name, FORM_RI)                                      \
    HANDLERS_WIDE(name##_mr, bit_change, alu_##name, FORM_MR)                                      \
    HANDLERS_WIDE(name##_mi, bit_change, alu_##name, FORM_MI)                                      \
    HANDLERS_WIDE(name##_locked_mr, bit_change_locked, alu_locked_##name, FORM_MR)                 \
    HANDLERS_WIDE(name##_locked_mi, bit_change_locked, alu_locked_##name, FORM_MI)                 \
    static const handler_row name##_handlers[2][FORM_COUNT] = {                                    \
        {[FORM_RR] = ROW_WIDE(name##_rr),                                                          \
         [FORM_RI] = ROW_WIDE(name##_ri),                                                          \
         [FORM_MR] = ROW_WIDE(name##_mr),                                                          \
         [FORM_MI] = ROW_WIDE(name##_mi)},                                                         \
        {[FORM_MR] = ROW_WIDE(name##_locked_mr), [FORM_MI] = ROW_WIDE(name##_locked_mi)}};

BIT_CHANGES(bts)
BIT_CHANGES(btr)
BIT_CHANGES(btc)

/* Operations with a destination register and a source. BSF and BSR leave the destination alone when
 * the source is zero, hence it is an input. */
static ALWAYS_INLINE void scan(struct cpu *cpu, const struct dec_insn *insn, alu_binary_fn *alu,
                               bool memory, unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0];
    uint64_t source = operand_source(cpu, insn, &insn->operand[1], memory, size);
    uint64_t result = alu(gpr_whole(cpu, dst, size), source, size, &cpu->rflags);
    gpr_write_whole(cpu, dst, result, size);
}

#define SCANS(name)                                                                                \
    HANDLERS_WIDE(name##_r, scan, alu_##name, false)                                               \
    HANDLERS_WIDE(name##_m, scan, alu_##name, true)                                                \
    static const handler_row name##_handlers[2] = {ROW_WIDE(name##_r), ROW_WIDE(name##_m)};

SCANS(bsf)
SCANS(bsr)
SCANS(popcnt)
SCANS(tzcnt)
SCANS(lzcnt)

/* The destination has 32 bits, zero-extended, also where REX.W makes it 64. */
static ALWAYS_INLINE void crc32(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                                unsigned size)
{
    uint64_t source = operand_source(cpu, insn, &insn->operand[1], memory, size);
    uint64_t crc = cpu->gpr[insn->operand[0].reg];
    switch (size) {
    case 1:
        asm("crc32b %b1, %k0" : "+r"(crc) : "r"(source));
        break;
    case 2:
        asm("crc32w %w1, %k0" : "+r"(crc) : "r"(source));
        break;
    case 4:
        asm("crc32l %k1, %k0" : "+r"(crc) : "r"(source));
        break;
    default:
        asm("crc32q %1, %0" : "+r"(crc) : "r"(source));
        break;
    }
    cpu->gpr[insn->operand[0].reg] = crc;
}

HANDLERS(crc32_r, crc32, false)
HANDLERS(crc32_m, crc32, true)
static const handler_row crc32_handlers[2] = {ROW(crc32_r), ROW(crc32_m)};

/* RDRAND and RDSEED: CF says whether there was a number, the other status flags are cleared. */
#define RANDOM_CASE(insn, width)                                                                   \
    asm volatile(insn " %" width "0\n\tsetc %1" : "+r"(value), "=q"(valid) : : "cc")

#define RANDOM(name)                                                                               \
    static ALWAYS_INLINE void name(struct cpu *cpu, const struct dec_insn *insn, unsigned size)    \
    {                                                                                              \
        uint64_t value = 0;                                                                        \
        bool valid;                                                                                \
        if (size == 2)                                                                             \
            RANDOM_CASE(#name, "w");                                                               \
        else if (size == 4)                                                                        \
            RANDOM_CASE(#name, "k");                                                               \
        else                                                                                       \
            RANDOM_CASE(#name, "q");                                                               \
        gpr_write(cpu, &insn->operand[0], value, size);                                            \
        cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | (valid ? FLAG_CF : 0);             \
    }                                                                                              \
    HANDLERS_WIDE(name, name)                                                                      \
    static const handler_row name##_handlers = ROW_WIDE(name);

RANDOM(rdrand)
RANDOM(rdseed)

static interp_handler *select_change(const struct dec_insn *insn,
                                     const handler_row (*table)[FORM_COUNT])
{
    bool locked = insn->prefixes & DEC_PREFIX_LOCK;
    return table[locked][operand_form(insn)][size_index(insn->operand[0].size)];
}

interp_handler *interp_select_bit(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    bool memory = insn->operand[1].kind == DEC_OPERAND_MEM;
    unsigned size = size_index(insn->operand[0].size);
    switch (insn->op) {
    case DEC_OP_BT:
        return bt_handlers[operand_form(insn)][size];
    case DEC_OP_BTS:
        return select_change(insn, bts_handlers);
    case DEC_OP_BTR:
        return select_change(insn, btr_handlers);
    case DEC_OP_BTC:
        return select_change(insn, btc_handlers);
    case DEC_OP_BSF:
        return bsf_handlers[memory][size];
    case DEC_OP_BSR:
        return bsr_handlers[memory][size];
    case DEC_OP_TZCNT:
        return tzcnt_handlers[memory][size];
    case DEC_OP_LZCNT:
        return lzcnt_handlers[memory][size];
    case DEC_OP_POPCNT:
        return popcnt_handlers[memory][size];
    case DEC_OP_CRC32:
        return crc32_handlers[memory][size_index(insn->operand[1].size)];
    case DEC_OP_RDRAND:
        return rdrand_handlers[size];
    case DEC_OP_RDSEED:
        return rdseed_handlers[size];
    default:
        return NULL;
    }
}
