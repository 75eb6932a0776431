/* Decoding after the opcode: modrm, sib, displacement, operands (SDM volume 2, chapter 2). */
#include "decoder/decode.h"

#define COLUMNS 4 /* of operand sizes: table.h */

/* What a specifier of the tables stands for. */
struct spec {
    uint8_t method;  /* enum dec_method */
    uint8_t number;  /* of the register, with METHOD_FIXED */
    uint8_t checked; /* bit 0: check_operand() has to see the register; bit 1: the memory */
    /* The operand but for register and access, by the column of its size: first those of a register
     * or an immediate, then those of memory. Kind NONE is #UD. */
    struct dec_operand operand[2 * COLUMNS];
};

#define BY_COLUMN(kind_, ...) BY_COLUMN_(DEC_OPERAND_##kind_, __VA_ARGS__)
#define BY_COLUMN_(kind_, a, b, c, d)                                                              \
    {.kind = kind_, .size = a}, {.kind = kind_, .size = b}, {.kind = kind_, .size = c},            \
    {                                                                                              \
        .kind = kind_, .size = d                                                                   \
    }
#define CHECKED(kind, ...) CHECKED_(DEC_OPERAND_##kind, __VA_ARGS__)
#define CHECKED_(kind, size, ...)                                                                  \
    (!((kind) == DEC_OPERAND_VEC || (kind) == DEC_OPERAND_MEM ||                                   \
       ((kind) == DEC_OPERAND_GPR && (size) != 1)))

static const struct spec specs[SPEC_COUNT] = {
#define RM(name, kind, size, mem_kind, mem_size)                                                   \
    [name] = {METHOD_RM,                                                                           \
              0,                                                                                   \
              CHECKED(kind, SIZE_##size) | CHECKED(mem_kind, SIZE_##mem_size) << 1,                \
              {BY_COLUMN(kind, SIZE_##size), BY_COLUMN(mem_kind, SIZE_##mem_size)}},
#define SAME(name, method, number, kind, size)                                                     \
    [name] = {method,                                                                              \
              number,                                                                              \
              CHECKED(kind, SIZE_##size) * 3,                                                      \
              {BY_COLUMN(kind, SIZE_##size), BY_COLUMN(kind, SIZE_##size)}},
#define SPEC(name, method, kind, size) SAME(name, METHOD_##method, 0, kind, size)
#define FIXED(name, kind, size, number) SAME(name, METHOD_FIXED, number, kind, size)
    DEC_SPECS(RM, SPEC) DEC_FIXED(FIXED)
#undef FIXED
#undef SPEC
#undef SAME
#undef RM
};

/* The column (log2 of the operand size, less one) in 64-bit mode, by prefix 66, by REX.W and by
 * what the entry says of both. */
#define COLUMN64(opsize, wide, rules)                                                              \
    ((rules)&F64 ? 2 : wide ? ((rules)&NO_64 ? 1 : 2) : ((rules)&D64 && !(opsize)) ? 2 : !(opsize))
#define COLUMNS64(opsize, wide)                                                                    \
    {                                                                                              \
        COLUMN64(opsize, wide, 0), COLUMN64(opsize, wide, 1), COLUMN64(opsize, wide, 2),           \
            COLUMN64(opsize, wide, 3), COLUMN64(opsize, wide, 4), COLUMN64(opsize, wide, 5),       \
            COLUMN64(opsize, wide, 6), COLUMN64(opsize, wide, 7)                                   \
    }
static const uint8_t columns64[2][2][8] = {
    {COLUMNS64(0, 0), COLUMNS64(0, 1)},
    {COLUMNS64(1, 0), COLUMNS64(1, 1)},
};

/* Sets operand and address size; returns the column of the operand's sizes. */
static inline unsigned set_sizes(const struct decoder *d, uint32_t rules)
{
    struct dec_insn *insn = d->insn;
    uint8_t prefixes = insn->prefixes;
    bool opsize = prefixes & DEC_PREFIX_OPSIZE;
    bool addrsize = prefixes & DEC_PREFIX_ADDRSIZE;
    unsigned column;

    if (d->mode64) {
        column = columns64[opsize][d->wide][rules & (D64 | F64 | NO_64)];
        insn->address_size = 8 >> addrsize;
    } else {
        column = (insn->mode == DEC_MODE_32) != opsize;
        insn->address_size = 2 << ((insn->mode == DEC_MODE_32) != addrsize);
    }
    insn->operand_size = rules & BYTE ? 1 : 2 << column;

    if (UNLIKELY(prefixes & DEC_PREFIX_VEX))
        column = insn->vex_l && !(rules & LIG) ? 3 : 1 + d->wide;
    if (rules & VECTOR)
        insn->operand_size = column == 3 ? 32 : 16;
    return column;
}

/* The segment that addresses with this base have by default, or the override. */
static inline uint8_t choose_segment(const struct decoder *d, uint8_t base)
{
    if (UNLIKELY(d->segment != NO_SEGMENT))
        return d->segment;
    return base == REG_RSP || base == REG_RBP ? SEG_SS : SEG_DS;
}

/* 16-bit addressing (SDM volume 2, table 2-1). */
static bool read_mem16(struct decoder *d)
{
    static const uint8_t bases[8] = {REG_RBX, REG_RBX, REG_RBP, REG_RBP,
                                     REG_RSI, REG_RDI, REG_RBP, REG_RBX};
    static const uint8_t indexes[8] = {REG_RSI,    REG_RDI,    REG_RSI,    REG_RDI,
                                       DEC_NO_REG, DEC_NO_REG, DEC_NO_REG, DEC_NO_REG};
    struct dec_mem *mem = &d->insn->mem;
    unsigned mod = modrm_mod(d->insn->modrm), rm = modrm_rm(d->insn->modrm);

    mem->base = bases[rm];
    mem->index = indexes[rm];
    if (mod == 0 && rm == 6) {
        mem->base = DEC_NO_REG;
        mod = 2;
    }
    mem->segment = choose_segment(d, mem->base);
    return fetch_signed(d, mod, &mem->disp);
}

/* 32-bit and 64-bit addressing (SDM volume 2, tables 2-2 and 2-3). */
static inline bool read_mem(struct decoder *d, uint32_t rules)
{
    struct dec_insn *insn = d->insn;
    struct dec_mem *mem = &insn->mem;
    unsigned mod = modrm_mod(insn->modrm), base = modrm_rm(insn->modrm);
    bool sib = base == 4;

    if (sib) {
        uint8_t byte;
        if (!fetch_byte(d, &byte))
            return false;
        unsigned index = (byte >> 3 & 7) | (insn->rex & DEC_REX_X) << 2;
        mem->vsib = rules & VSIB;
        mem->index = index != 4 || mem->vsib ? index : DEC_NO_REG;
        mem->scale = 1 << (byte >> 6);
        base = byte & 7;
    }
    if (mod == 0 && base == 5) {
        mem->base = d->mode64 && !sib ? DEC_BASE_RIP : DEC_NO_REG;
        mod = 2;
    } else {
        mem->base = base | (insn->rex & DEC_REX_B) << 3;
    }
    mem->segment = choose_segment(d, mem->base);
    return fetch_signed(d, mod * mod, &mem->disp); /* 0, 1 or 4 bytes */
}

/* The registers that the encoding names, a byte for each enum dec_method. */
static inline uint64_t register_numbers(const struct dec_insn *insn)
{
    unsigned b = (insn->rex & DEC_REX_B) << 3, r = (insn->rex & DEC_REX_R) << 1;
    unsigned rm = modrm_rm(insn->modrm) | b, reg = modrm_reg(insn->modrm) | r;
    unsigned opcode = (insn->opcode & 7) | b;

    return rm << 8 * METHOD_RM | reg << 8 * METHOD_REG | insn->vvvv << 8 * METHOD_VVVV |
           opcode << 8 * METHOD_OPCODE;
}

/* Operands that can be undefined, and registers whose numbers do not mean what they say. */
static enum dec_status check_operand(const struct dec_insn *insn, struct dec_operand *operand)
{
    switch (operand->kind) {
    case DEC_OPERAND_NONE: /* memory where only a register is allowed, or the reverse */
        return DEC_UNDEFINED;
    case DEC_OPERAND_GPR: /* a byte */
        if (operand->reg >= 4 && !(insn->prefixes & DEC_PREFIX_REX)) {
            operand->kind = DEC_OPERAND_GPR_HIGH;
            operand->reg -= 4;
        }
        return DEC_OK;
    case DEC_OPERAND_SEG: /* CS is never a destination */
        operand->reg &= 7;
        if (operand->reg > SEG_GS || (operand->reg == SEG_CS && operand->access == DEC_WRITE))
            return DEC_UNDEFINED;
        return DEC_OK;
    case DEC_OPERAND_CR: /* CR0, CR2, CR3, CR4, CR8 */
        return 0x11d >> operand->reg & 1 ? DEC_OK : DEC_UNDEFINED;
    case DEC_OPERAND_DR:
        return operand->reg < 8 ? DEC_OK : DEC_UNDEFINED;
    default: /* MM and ST have no extension */
        operand->reg &= 7;
        return DEC_OK;
    }
}

static bool read_immediate(struct decoder *d, struct dec_operand *operand, unsigned method)
{
    struct dec_insn *insn = d->insn;
    unsigned size = operand->size;
    uint64_t value;

    if (!fetch(d, size, &value))
        return false;
    if (method == METHOD_IMM2) {
        insn->imm2 = value;
        return true;
    }
    insn->imm_size = size;
    if (method == METHOD_SIMM && size < insn->operand_size) {
        operand->size = insn->operand_size;
        value = sign_extend(value, size);
    }
    insn->imm = value;
    return true;
}

static bool read_relative(struct decoder *d, struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;
    int64_t displacement;

    insn->imm_size = operand->size;
    operand->size = insn->operand_size;
    if (!fetch_signed(d, insn->imm_size, &displacement))
        return false;
    insn->imm = (uint64_t)displacement;
    return true;
}

static bool read_far_pointer(struct decoder *d)
{
    struct dec_insn *insn = d->insn;
    uint64_t selector;

    insn->imm_size = insn->operand_size;
    if (!fetch(d, insn->imm_size, &insn->imm) || !fetch(d, 2, &selector))
        return false;
    insn->imm2 = selector;
    return true;
}

/* Reads an operand that follows modrm and its displacement. */
static bool read_trailing(struct decoder *d, unsigned method, struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;
    uint64_t offset;

    switch (method) {
    case METHOD_REL:
        return read_relative(d, operand);
    case METHOD_FAR:
        return read_far_pointer(d);
    case METHOD_OFFSET:
        if (!fetch(d, insn->address_size, &offset))
            return false;
        insn->mem.disp = (int64_t)offset;
        return true;
    case METHOD_ONE:
        insn->imm = 1;
        return true;
    case METHOD_IS4:
        insn->imm_size = 1;
        if (!fetch(d, 1, &insn->imm))
            return false;
        operand->reg = insn->imm >> 4 & (d->mode64 ? 15 : 7);
        return true;
    default:
        return read_immediate(d, operand, method);
    }
}

/* A gather's destination, mask and index must be three registers, and its memory have a SIB. */
static bool gather_is_valid(const struct dec_insn *insn)
{
    unsigned index = insn->mem.index, dest = insn->operand[0].reg, mask = insn->operand[2].reg;
    return insn->mem.vsib && index != dest && index != mask && dest != mask;
}

enum dec_status dec_read_operands(struct decoder *d, const struct dec_entry *entry)
{
    struct dec_insn *insn = d->insn;
    uint32_t rules = entry->rules;
    unsigned column = set_sizes(d, rules);
    bool has_mem = false;

    insn->mem.segment = choose_segment(d, DEC_NO_REG); /* that of implied memory */
    if (rules & HAS_MODRM) {
        if (!read_modrm(d))
            return DEC_TRUNCATED;
        has_mem = modrm_mod(insn->modrm) != 3 && !(rules & MOD3);
        if (has_mem && !(insn->address_size == 2 ? read_mem16(d) : read_mem(d, rules)))
            return DEC_TRUNCATED;
    }

    uint64_t numbers = register_numbers(insn);
    if (has_mem)
        numbers &= ~(uint64_t)15 << 8 * METHOD_RM;
    unsigned form = has_mem * COLUMNS + column;
    unsigned count = 0;

    for (; count < DEC_MAX_OPERANDS && entry->operand[count]; count++) {
        const struct spec *spec = &specs[entry->operand[count]];
        struct dec_operand operand = spec->operand[form];

        operand.access = entry->access >> 2 * count & 3;
        if (spec->method > METHOD_FIXED) {
            insn->operand[count] = operand;
            if (!read_trailing(d, spec->method, &insn->operand[count]))
                return DEC_TRUNCATED;
            continue;
        }
        operand.reg = (numbers >> (8 * spec->method) & 15) | spec->number;
        insn->operand[count] = operand;
        if (UNLIKELY(spec->checked & 1 << has_mem)) {
            enum dec_status status = check_operand(insn, &insn->operand[count]);
            if (status != DEC_OK)
                return status;
        }
    }
    insn->operand_count = count;
    return UNLIKELY(rules & VSIB) && !gather_is_valid(insn) ? DEC_UNDEFINED : DEC_OK;
}
