/* Decoding: prefixes, opcode, modrm, sib, displacement, operands (SDM volume 2, chapter 2). */
#include "decoder/decoder.h"

#include "base/bits.h"
#include "decoder/table.h"

#define NO_SEGMENT 0xff

struct decoder {
    const uint8_t *next, *end;
    struct dec_insn *insn;
    uint32_t forbidden; /* enum dec_rule: an entry with one of these is undefined here */
    bool mode64;
    bool wide;       /* REX.W or VEX.W, in 64-bit mode */
    uint8_t rep;     /* enum dec_pp: F3 or F2, whichever came last */
    uint8_t segment; /* the override or NO_SEGMENT */
    uint8_t column;  /* of the table of sizes */
};

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
    DEC_SPECS(SPEC) DEC_FIXED(FIXED)
#undef FIXED
#undef SPEC
};

/* What a byte is ahead of the opcode. */
enum prefix_kind {
    NOT_A_PREFIX,
    PREFIX_REX,
    PREFIX_OPSIZE,
    PREFIX_ADDRSIZE,
    PREFIX_LOCK,
    PREFIX_REPNE,
    PREFIX_REP,
    PREFIX_SEGMENT, /* + enum dec_seg */
};

static const uint8_t prefix_kinds[256] = {
    [0x26] = PREFIX_SEGMENT + SEG_ES,
    [0x2e] = PREFIX_SEGMENT + SEG_CS,
    [0x36] = PREFIX_SEGMENT + SEG_SS,
    [0x3e] = PREFIX_SEGMENT + SEG_DS,
    [0x40 ... 0x4f] = PREFIX_REX,
    [0x64] = PREFIX_SEGMENT + SEG_FS,
    [0x65] = PREFIX_SEGMENT + SEG_GS,
    [0x66] = PREFIX_OPSIZE,
    [0x67] = PREFIX_ADDRSIZE,
    [0xf0] = PREFIX_LOCK,
    [0xf2] = PREFIX_REPNE,
    [0xf3] = PREFIX_REP,
};

static const struct dec_entry *const tables[] = {dec_table_one, dec_table_0f, dec_table_0f38,
                                                 dec_table_0f3a};
static const struct dec_entry *const vex_tables[] = {NULL, dec_table_vex_0f, dec_table_vex_0f38,
                                                     dec_table_vex_0f3a};

static inline unsigned modrm_mod(uint8_t modrm)
{
    return modrm >> 6;
}

static inline unsigned modrm_reg(uint8_t modrm)
{
    return modrm >> 3 & 7;
}

static inline unsigned modrm_rm(uint8_t modrm)
{
    return modrm & 7;
}

static inline bool fetch_byte(struct decoder *d, uint8_t *byte)
{
    if (UNLIKELY(d->next == d->end))
        return false;
    *byte = *d->next++;
    return true;
}

/* Fetches 1, 2, 4 or 8 bytes, zero-extended. */
static inline bool fetch(struct decoder *d, unsigned bytes, uint64_t *value)
{
    if (UNLIKELY((size_t)(d->end - d->next) < bytes))
        return false;
    switch (bytes) {
    case 1:
        *value = *d->next;
        break;
    case 2:
        *value = load_le(d->next, 2);
        break;
    case 4:
        *value = load_le(d->next, 4);
        break;
    default:
        *value = load_le(d->next, 8);
        break;
    }
    d->next += bytes;
    return true;
}

static inline bool fetch_signed(struct decoder *d, unsigned bytes, int64_t *value)
{
    uint64_t raw;
    if (!fetch(d, bytes, &raw))
        return false;
    *value = sign_extend(raw, bytes);
    return true;
}

/* Reads the prefixes and the byte after them. A REX that other prefixes follow is no REX. */
static inline bool read_prefixes(struct decoder *d, uint8_t *opcode)
{
    struct dec_insn *insn = d->insn;
    uint8_t byte, prefixes = 0, rex = 0;

    for (;;) {
        if (!fetch_byte(d, &byte))
            return false;
        unsigned kind = prefix_kinds[byte];
        if (LIKELY(kind == NOT_A_PREFIX))
            break;
        if (kind == PREFIX_REX) {
            if (!d->mode64)
                break;
            rex = byte;
            continue;
        }
        rex = 0;
        switch (kind) {
        case PREFIX_OPSIZE:
            prefixes |= DEC_PREFIX_OPSIZE;
            break;
        case PREFIX_ADDRSIZE:
            prefixes |= DEC_PREFIX_ADDRSIZE;
            break;
        case PREFIX_LOCK:
            prefixes |= DEC_PREFIX_LOCK;
            break;
        case PREFIX_REPNE:
            prefixes = (prefixes & ~DEC_PREFIX_REP) | DEC_PREFIX_REPNE;
            d->rep = DEC_PP_F2;
            break;
        case PREFIX_REP:
            prefixes = (prefixes & ~DEC_PREFIX_REPNE) | DEC_PREFIX_REP;
            d->rep = DEC_PP_F3;
            break;
        default:
            prefixes |= DEC_PREFIX_SEG;
            if (!d->mode64 || kind >= PREFIX_SEGMENT + SEG_FS)
                d->segment = kind - PREFIX_SEGMENT;
            break;
        }
    }
    if (rex) {
        prefixes |= DEC_PREFIX_REX;
        insn->rex = rex & 15;
        d->wide = rex & DEC_REX_W;
    }
    insn->prefixes = prefixes;
    *opcode = byte;
    return true;
}

/* C4 and C5 are LES and LDS, and 62 is BOUND, where the next byte is a modrm with memory; in 64-bit
 * mode and with what would be a register they are VEX and EVEX. */
static enum dec_status is_vector_prefix(const struct decoder *d, bool *yes)
{
    if (d->next == d->end)
        return DEC_TRUNCATED;
    *yes = d->mode64 || modrm_mod(*d->next) == 3;
    return DEC_OK;
}

/* Reads what follows C4 or C5 up to the opcode, and finds the opcode's map. */
static enum dec_status read_vex(struct decoder *d, uint8_t prefix, const struct dec_entry **table,
                                uint8_t *opcode)
{
    struct dec_insn *insn = d->insn;
    uint8_t rxb_map = 0x60 | DEC_MAP_0F, last; /* the byte that C5 leaves out, but for R */

    if (insn->prefixes &
        (DEC_PREFIX_REX | DEC_PREFIX_OPSIZE | DEC_PREFIX_REP | DEC_PREFIX_REPNE | DEC_PREFIX_LOCK))
        return DEC_UNDEFINED;
    if ((prefix == 0xc4 && !fetch_byte(d, &rxb_map)) || !fetch_byte(d, &last))
        return DEC_TRUNCATED;
    if (prefix == 0xc5) {
        rxb_map |= last & 0x80;
        last &= 0x7f;
    }

    insn->prefixes |= DEC_PREFIX_VEX;
    insn->rex = (~rxb_map >> 5 & 7) | (last >> 7 ? DEC_REX_W : 0);
    insn->vvvv = ~last >> 3 & 15;
    insn->vex_l = last >> 2 & 1;
    insn->pp = last & 3;
    insn->map = rxb_map & 31;
    if (!d->mode64) { /* no registers above 7 */
        insn->rex &= DEC_REX_W;
        insn->vvvv &= 7;
    }
    if (insn->map < DEC_MAP_0F || insn->map > DEC_MAP_0F3A)
        return DEC_UNDEFINED;
    *table = vex_tables[insn->map];

    d->wide = d->mode64 && (insn->rex & DEC_REX_W);
    d->forbidden |= insn->vex_l ? L0 : L1;
    d->forbidden |= insn->rex & DEC_REX_W ? W0 : W1;
    if (insn->vvvv)
        d->forbidden |= NO_VVVV;
    return fetch_byte(d, opcode) ? DEC_OK : DEC_TRUNCATED;
}

/* Reads the rest of the opcode and looks it up. */
static inline enum dec_status read_opcode(struct decoder *d, uint8_t byte,
                                          const struct dec_entry **entry)
{
    struct dec_insn *insn = d->insn;
    const struct dec_entry *table = dec_table_one;

    if (byte == 0x0f) {
        if (!fetch_byte(d, &byte))
            return DEC_TRUNCATED;
        insn->map = DEC_MAP_0F;
        if (byte == 0x38 || byte == 0x3a) {
            insn->map = byte == 0x38 ? DEC_MAP_0F38 : DEC_MAP_0F3A;
            if (!fetch_byte(d, &byte))
                return DEC_TRUNCATED;
        }
        table = tables[insn->map];
    } else if (byte == 0xc4 || byte == 0xc5 || byte == 0x62) {
        bool yes = false;
        enum dec_status status = is_vector_prefix(d, &yes);
        if (status == DEC_OK && yes)
            status = byte == 0x62 ? DEC_UNDEFINED : read_vex(d, byte, &table, &byte);
        if (status != DEC_OK)
            return status;
    }
    insn->opcode = byte;
    *entry = &table[byte];
    return DEC_OK;
}

static inline bool read_modrm(struct decoder *d)
{
    if (d->insn->has_modrm)
        return true;
    d->insn->has_modrm = true;
    return fetch_byte(d, &d->insn->modrm);
}

/* A mandatory prefix is part of the opcode rather than of prefixes. */
static void set_mandatory_prefix(struct dec_insn *insn, unsigned pp)
{
    insn->pp = pp;
    if (pp == DEC_PP_F3)
        insn->prefixes &= ~DEC_PREFIX_REP;
    if (pp == DEC_PP_F2)
        insn->prefixes &= ~DEC_PREFIX_REPNE;
}

static unsigned mandatory_prefix(const struct decoder *d)
{
    if (d->insn->prefixes & DEC_PREFIX_VEX)
        return d->insn->pp;
    if (d->rep)
        return d->rep;
    return d->insn->prefixes & DEC_PREFIX_OPSIZE ? DEC_PP_66 : DEC_PP_NONE;
}

/* F3 and F2 that choose nothing other than their absence would are no part of the opcode. */
static const struct dec_entry *split_by_rep(struct decoder *d, const struct dec_entry *table)
{
    if (!d->rep)
        return &table[0];
    const struct dec_entry *chosen = &table[d->rep - DEC_PP_66];
    if (chosen->kind != ENTRY_INSN || chosen->op != table[0].op)
        set_mandatory_prefix(d->insn, d->rep);
    return chosen;
}

/* Follows splits down to an instruction. */
static enum dec_status follow_splits(struct decoder *d, const struct dec_entry **entry_ptr)
{
    struct dec_insn *insn = d->insn;
    const struct dec_entry *entry = *entry_ptr;

    while (entry->kind > ENTRY_INSN) {
        const struct dec_entry *table = entry->table;
        if (entry->kind >= SPLIT_MOD && !read_modrm(d))
            return DEC_TRUNCATED;
        switch (entry->kind) {
        case SPLIT_PREFIX: {
            unsigned pp = mandatory_prefix(d);
            set_mandatory_prefix(insn, pp);
            entry = &table[pp];
            break;
        }
        case SPLIT_REP:
            entry = split_by_rep(d, table);
            break;
        case SPLIT_MODE64:
            entry = &table[d->mode64];
            break;
        case SPLIT_REX_B:
            entry = &table[insn->rex & DEC_REX_B];
            break;
        case SPLIT_W:
            entry = &table[d->wide];
            break;
        case SPLIT_RAW_W:
            entry = &table[insn->rex >> 3];
            break;
        case SPLIT_L:
            entry = &table[insn->vex_l];
            break;
        case SPLIT_MOD:
            entry = &table[modrm_mod(insn->modrm) == 3];
            break;
        case SPLIT_REG:
            entry = &table[modrm_reg(insn->modrm)];
            break;
        default:
            entry = &table[modrm_rm(insn->modrm)];
            break;
        }
    }
    *entry_ptr = entry;
    return DEC_OK;
}

/* Sets operand and address size and the column of the table of sizes. */
static inline void set_sizes(struct decoder *d, uint32_t rules)
{
    struct dec_insn *insn = d->insn;
    bool opsize = insn->prefixes & DEC_PREFIX_OPSIZE;
    bool addrsize = insn->prefixes & DEC_PREFIX_ADDRSIZE;
    unsigned column; /* log2 of the operand size, less one */

    if (d->mode64) {
        column = opsize ? 0 : 1;
        if (d->wide && !(rules & WIG))
            column = 2;
        if (rules & (D64 | F64))
            column = column == 0 && !(rules & F64) ? 0 : 2;
        insn->address_size = addrsize ? 4 : 8;
    } else {
        column = (insn->mode == DEC_MODE_32) != opsize;
        insn->address_size = (insn->mode == DEC_MODE_32) != addrsize ? 4 : 2;
    }
    insn->operand_size = 2 << column;

    if (insn->prefixes & DEC_PREFIX_VEX)
        column = insn->vex_l && !(rules & LIG) ? 3 : 1 + d->wide;
    d->column = column;
    if (rules & (VECTOR | BYTE))
        insn->operand_size = rules & BYTE ? 1 : column == 3 ? 32 : 16;
}

/* The segment that addresses with this base have by default, or the override. */
static inline uint8_t choose_segment(const struct decoder *d, uint8_t base)
{
    if (d->segment != NO_SEGMENT)
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
    return mod == 0 || fetch_signed(d, mod, &mem->disp);
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
    if (mod == 0)
        return true;
    return fetch_signed(d, mod == 1 ? 1 : 4, &mem->disp);
}

/* A register operand's number, whose extension from REX or VEX is `extension`. */
static inline enum dec_status set_register(const struct decoder *d, struct dec_operand *operand,
                                           unsigned number, unsigned extension)
{
    operand->reg = number;
    switch (operand->kind) {
    case DEC_OPERAND_GPR:
        if (operand->size == 1 && number >= 4 && !(d->insn->prefixes & DEC_PREFIX_REX)) {
            operand->kind = DEC_OPERAND_GPR_HIGH;
            operand->reg = number - 4;
        }
        operand->reg |= extension;
        return DEC_OK;
    case DEC_OPERAND_VEC:
        operand->reg |= extension;
        return DEC_OK;
    case DEC_OPERAND_SEG: /* CS is never a destination */
        if (number > SEG_GS || (number == SEG_CS && operand->access == DEC_WRITE))
            return DEC_UNDEFINED;
        return DEC_OK;
    case DEC_OPERAND_CR: /* CR0, CR2, CR3, CR4, CR8 */
        operand->reg |= extension;
        return 0x11d >> operand->reg & 1 ? DEC_OK : DEC_UNDEFINED;
    case DEC_OPERAND_DR:
        return extension ? DEC_UNDEFINED : DEC_OK;
    default: /* MM and ST have no extension */
        return DEC_OK;
    }
}

/* Reads an immediate operand of size bytes, the operand's size being set. */
static inline enum dec_status read_immediate(struct decoder *d, struct dec_operand *operand,
                                             unsigned method, unsigned size)
{
    struct dec_insn *insn = d->insn;
    uint64_t value;

    operand->kind = DEC_OPERAND_IMM;
    if (!fetch(d, size, &value))
        return DEC_TRUNCATED;
    if (method == METHOD_IMM2) {
        insn->imm2 = value;
        return DEC_OK;
    }
    insn->imm_size = size;
    if (method == METHOD_SIMM && size < insn->operand_size) {
        operand->size = insn->operand_size;
        value = sign_extend(value, size);
    }
    insn->imm = value;
    return DEC_OK;
}

static enum dec_status read_far_pointer(struct decoder *d, struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;
    uint64_t selector;

    operand->kind = DEC_OPERAND_FAR;
    insn->imm_size = insn->operand_size;
    if (!fetch(d, insn->imm_size, &insn->imm) || !fetch(d, 2, &selector))
        return DEC_TRUNCATED;
    insn->imm2 = selector;
    return DEC_OK;
}

static enum dec_status read_offset(struct decoder *d, struct dec_operand *operand)
{
    struct dec_mem *mem = &d->insn->mem;
    uint64_t offset;

    operand->kind = DEC_OPERAND_MEM;
    if (!fetch(d, d->insn->address_size, &offset))
        return DEC_TRUNCATED;
    mem->disp = (int64_t)offset;
    return DEC_OK;
}

static enum dec_status read_relative(struct decoder *d, struct dec_operand *operand, unsigned size)
{
    struct dec_insn *insn = d->insn;
    int64_t displacement;

    operand->kind = DEC_OPERAND_REL;
    operand->size = insn->operand_size;
    insn->imm_size = size;
    if (!fetch_signed(d, size, &displacement))
        return DEC_TRUNCATED;
    insn->imm = (uint64_t)displacement;
    return DEC_OK;
}

/* The register in the high bits of an immediate byte. */
static enum dec_status read_is4(struct decoder *d, struct dec_operand *operand)
{
    if (!fetch(d, 1, &d->insn->imm))
        return DEC_TRUNCATED;
    d->insn->imm_size = 1;
    operand->reg = d->insn->imm >> 4 & (d->mode64 ? 15 : 7);
    return DEC_OK;
}

static inline enum dec_status read_operand(struct decoder *d, const struct spec *spec,
                                           struct dec_operand *operand)
{
    struct dec_insn *insn = d->insn;

    operand->kind = spec->kind;
    operand->size = sizes[spec->size][d->column];
    switch (spec->method) {
    case METHOD_RM:
    case METHOD_RM_REG:
    case METHOD_RM_MEM:
        if (modrm_mod(insn->modrm) == 3) {
            if (UNLIKELY(spec->method == METHOD_RM_MEM))
                return DEC_UNDEFINED;
            return set_register(d, operand, modrm_rm(insn->modrm), (insn->rex & DEC_REX_B) << 3);
        }
        if (UNLIKELY(spec->method == METHOD_RM_REG))
            return DEC_UNDEFINED;
        operand->kind = DEC_OPERAND_MEM;
        operand->size = sizes[spec->mem_size][d->column];
        return DEC_OK;
    case METHOD_REG:
        return set_register(d, operand, modrm_reg(insn->modrm), (insn->rex & DEC_REX_R) << 1);
    case METHOD_OPCODE:
        return set_register(d, operand, insn->opcode & 7, (insn->rex & DEC_REX_B) << 3);
    case METHOD_VVVV:
        operand->reg = insn->vvvv;
        return DEC_OK;
    case METHOD_FIXED:
        operand->reg = spec->mem_size;
        return DEC_OK;
    case METHOD_IS4:
        return read_is4(d, operand);
    case METHOD_REL:
        return read_relative(d, operand, operand->size);
    case METHOD_FAR:
        return read_far_pointer(d, operand);
    case METHOD_OFFSET:
        operand->size = sizes[spec->mem_size][d->column];
        return read_offset(d, operand);
    case METHOD_ONE:
        operand->kind = DEC_OPERAND_IMM;
        insn->imm = 1;
        return DEC_OK;
    default:
        return read_immediate(d, operand, spec->method, operand->size);
    }
}

static inline enum dec_status read_operands(struct decoder *d, const struct dec_entry *entry)
{
    struct dec_insn *insn = d->insn;
    unsigned count = 0;

    for (; count < DEC_MAX_OPERANDS && entry->operand[count]; count++) {
        struct dec_operand *operand = &insn->operand[count];
        operand->access = entry->access >> 2 * count & 3;
        enum dec_status status = read_operand(d, &specs[entry->operand[count]], operand);
        if (UNLIKELY(status != DEC_OK))
            return status;
    }
    insn->operand_count = count;
    return DEC_OK;
}

/* A gather's destination, mask and index must be three registers, and its memory have a SIB. */
static bool gather_is_valid(const struct dec_insn *insn)
{
    unsigned index = insn->mem.index, dest = insn->operand[0].reg, mask = insn->operand[2].reg;
    return insn->mem.vsib && index != dest && index != mask && dest != mask;
}

static enum dec_status decode(struct decoder *d, struct dec_insn *insn)
{
    const struct dec_entry *entry;
    uint8_t byte;

    if (!read_prefixes(d, &byte))
        return DEC_TRUNCATED;
    enum dec_status status = read_opcode(d, byte, &entry);
    if (status == DEC_OK && entry->kind > ENTRY_INSN)
        status = follow_splits(d, &entry);
    if (UNLIKELY(status != DEC_OK))
        return status;

    uint32_t rules = entry->rules;
    insn->mem.segment = choose_segment(d, DEC_NO_REG); /* of strings, XLAT, MASKMOV, MONITOR */
    if (UNLIKELY(entry->kind == ENTRY_UNDEFINED || (rules & d->forbidden)))
        return DEC_UNDEFINED;
    if (UNLIKELY(rules & (NP | NFX))) {
        if (d->rep || ((rules & NP) && (insn->prefixes & DEC_PREFIX_OPSIZE)))
            return DEC_UNDEFINED;
    }
    insn->op = entry->op;
    if (rules & COND)
        insn->cond = insn->opcode & 15;
    set_sizes(d, rules);

    if (rules & HAS_MODRM) {
        if (!read_modrm(d))
            return DEC_TRUNCATED;
        if (rules & MOD3)
            insn->modrm |= 0xc0;
        if (modrm_mod(insn->modrm) != 3 &&
            !(insn->address_size == 2 ? read_mem16(d) : read_mem(d, rules)))
            return DEC_TRUNCATED;
    }
    status = read_operands(d, entry);
    if (UNLIKELY(status != DEC_OK))
        return status;

    if (UNLIKELY((rules & VSIB) && !gather_is_valid(insn)))
        return DEC_UNDEFINED;
    if (UNLIKELY(insn->prefixes & DEC_PREFIX_LOCK)) {
        if (!(dec_info(insn->op)->attributes & DEC_ATTR_LOCKABLE) ||
            insn->operand[0].kind != DEC_OPERAND_MEM)
            return DEC_UNDEFINED;
    }
    return DEC_OK;
}

enum dec_status dec_decode(const uint8_t *bytes, size_t size, enum dec_mode mode,
                           struct dec_insn *insn)
{
    struct decoder d = {
        .next = bytes,
        .end = bytes + (size < DEC_MAX_LENGTH ? size : DEC_MAX_LENGTH),
        .insn = insn,
        .forbidden = mode == DEC_MODE_64 ? I64 : O64,
        .mode64 = mode == DEC_MODE_64,
        .segment = NO_SEGMENT,
    };

    *insn = (struct dec_insn){
        .mode = mode,
        .mem = {.base = DEC_NO_REG, .index = DEC_NO_REG, .scale = 1},
    };
    enum dec_status status = decode(&d, insn);
    if (status == DEC_OK)
        insn->length = d.next - bytes;
    return status == DEC_TRUNCATED && size >= DEC_MAX_LENGTH ? DEC_TOO_LONG : status;
}
