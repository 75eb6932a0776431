/* Decoding after the opcode: modrm, sib, displacement, operands (SDM volume 2, chapter 2). */
#include "decoder/decode.h"

static const uint16_t sizes[][4] = {
#define SIZE(name, ...) [SIZE_##name] = {__VA_ARGS__},
    DEC_SIZES(SIZE)
#undef SIZE
};

struct spec {
    uint8_t method;   /* enum dec_method */
    uint8_t kind;     /* enum dec_operand_kind of the register */
    uint8_t size;     /* enum dec_size, in a register or as an immediate */
    uint8_t mem_size; /* enum dec_size; for METHOD_FIXED the register's number */
};

static const struct spec specs[SPEC_COUNT] = {
#define SPEC(name, method, kind, size, mem_size)                                                   \
    [name] = {METHOD_##method, DEC_OPERAND_##kind, SIZE_##size, SIZE_##mem_size},
#define FIXED(name, kind, size, number)                                                            \
    [name] = {METHOD_FIXED, DEC_OPERAND_##kind, SIZE_##size, number},
    [SPEC_NONE] = {METHOD_FIXED, DEC_OPERAND_NONE, SIZE_none, 0}, DEC_SPECS(SPEC) DEC_FIXED(FIXED)
#undef FIXED
#undef SPEC
};

/* Sets operand and address size; returns the column of the table of sizes. */
static inline unsigned set_sizes(const struct decoder *d, uint32_t rules)
{
    struct dec_insn *insn = d->insn;
    bool opsize = insn->prefixes & DEC_PREFIX_OPSIZE;
    bool addrsize = insn->prefixes & DEC_PREFIX_ADDRSIZE;
    unsigned column; /* log2 of the operand size, less one */

    if (d->mode64) {
        column = !opsize;
        if (d->wide)
            column = rules & NO_64 ? 1 : 2;
        if ((rules & F64) || ((rules & D64) && column))
            column = 2;
        insn->address_size = addrsize ? 4 : 8;
    } else {
        column = (insn->mode == DEC_MODE_32) != opsize;
        insn->address_size = (insn->mode == DEC_MODE_32) != addrsize ? 4 : 2;
    }
    insn->operand_size = rules & BYTE ? 1 : 2 << column;

    if (insn->prefixes & DEC_PREFIX_VEX)
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
    uint64_t b = (insn->rex & DEC_REX_B) << 3, r = (insn->rex & DEC_REX_R) << 1;
    uint64_t rm = modrm_rm(insn->modrm) | b, reg = modrm_reg(insn->modrm) | r;
    uint64_t opcode = (insn->opcode & 7) | b, vvvv = insn->vvvv;

    return rm << 8 * METHOD_RM | rm << 8 * METHOD_RM_REG | reg << 8 * METHOD_REG |
           vvvv << 8 * METHOD_VVVV | opcode << 8 * METHOD_OPCODE;
}

/* Registers of which not all numbers mean what they say. */
static enum dec_status check_register(struct dec_operand *operand)
{
    switch (operand->kind) {
    case DEC_OPERAND_GPR: /* a byte without REX */
        if (operand->reg >= 4) {
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
    operand->kind = DEC_OPERAND_IMM;
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

    operand->kind = DEC_OPERAND_REL;
    insn->imm_size = operand->size;
    operand->size = insn->operand_size;
    if (!fetch_signed(d, insn->imm_size, &displacement))
        return false;
    insn->imm = (uint64_t)displacement;
    return true;
}

static bool read_far_pointer(struct decoder *d, struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;
    uint64_t selector;

    operand->kind = DEC_OPERAND_FAR;
    insn->imm_size = insn->operand_size;
    if (!fetch(d, insn->imm_size, &insn->imm) || !fetch(d, 2, &selector))
        return false;
    insn->imm2 = selector;
    return true;
}

/* Reads an operand that is neither in modrm, VEX.vvvv or the opcode nor implied. */
static bool read_other_operand(struct decoder *d, const struct spec *spec, unsigned column,
                               struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;
    uint64_t offset;

    operand->kind = spec->kind;
    operand->size = sizes[spec->size][column];
    switch (spec->method) {
    case METHOD_REL:
        return read_relative(d, operand);
    case METHOD_FAR:
        return read_far_pointer(d, operand);
    case METHOD_OFFSET:
        operand->kind = DEC_OPERAND_MEM;
        operand->size = sizes[spec->mem_size][column];
        if (!fetch(d, insn->address_size, &offset))
            return false;
        insn->mem.disp = (int64_t)offset;
        return true;
    case METHOD_ONE:
        operand->kind = DEC_OPERAND_IMM;
        insn->imm = 1;
        return true;
    case METHOD_IS4:
        insn->imm_size = 1;
        if (!fetch(d, 1, &insn->imm))
            return false;
        operand->reg = insn->imm >> 4 & (d->mode64 ? 15 : 7);
        return true;
    default:
        return read_immediate(d, operand, spec->method);
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

    /* Ahead of the byte registers without REX, and of the kinds with fewer numbers: all that are
     * neither general registers nor vectors. */
    const unsigned plain =
        1 << DEC_OPERAND_NONE | 1 << DEC_OPERAND_GPR | 1 << DEC_OPERAND_VEC | 1 << DEC_OPERAND_MEM;
    bool has_rex = insn->prefixes & DEC_PREFIX_REX;
    uint64_t numbers = register_numbers(insn);
    unsigned count = 0;

    for (; count < DEC_MAX_OPERANDS && entry->operand[count]; count++) {
        const struct spec *spec = &specs[entry->operand[count]];
        struct dec_operand *operand = &insn->operand[count];
        operand->access = entry->access >> 2 * count & 3;
        if (spec->method > METHOD_FIXED) {
            if (!read_other_operand(d, spec, column, operand))
                return DEC_TRUNCATED;
            continue;
        }
        bool is_mem = has_mem && spec->method <= METHOD_RM_MEM;
        operand->kind = is_mem ? DEC_OPERAND_MEM : spec->kind;
        operand->size = sizes[is_mem ? spec->mem_size : spec->size][column];
        if (is_mem) {
            if (UNLIKELY(spec->method == METHOD_RM_REG))
                return DEC_UNDEFINED;
            continue;
        }
        if (UNLIKELY(spec->method == METHOD_RM_MEM))
            return DEC_UNDEFINED;
        operand->reg =
            spec->method == METHOD_FIXED ? spec->mem_size : numbers >> 8 * spec->method & 15;
        if (UNLIKELY(!(plain >> operand->kind & 1) || (operand->size == 1 && !has_rex))) {
            enum dec_status status = check_register(operand);
            if (status != DEC_OK)
                return status;
        }
    }
    insn->operand_count = count;
    return UNLIKELY(rules & VSIB) && !gather_is_valid(insn) ? DEC_UNDEFINED : DEC_OK;
}
