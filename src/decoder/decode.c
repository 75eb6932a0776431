/* Decoding up to the opcode, and what is undefined (SDM volume 2, chapter 2). */
#include "decoder/decode.h"

/* What a byte is ahead of the opcode. */
enum prefix_kind {
    NOT_A_PREFIX,
    PREFIX_REX, /* in 64-bit mode */
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

static void note_prefix(struct decoder *d, unsigned kind)
{
    struct dec_insn *insn = d->insn;

    switch (kind) {
    case PREFIX_OPSIZE:
        insn->prefixes |= DEC_PREFIX_OPSIZE;
        break;
    case PREFIX_ADDRSIZE:
        insn->prefixes |= DEC_PREFIX_ADDRSIZE;
        break;
    case PREFIX_LOCK:
        insn->prefixes |= DEC_PREFIX_LOCK;
        break;
    case PREFIX_REPNE:
        insn->prefixes = (insn->prefixes & ~DEC_PREFIX_REP) | DEC_PREFIX_REPNE;
        d->rep = DEC_PP_F2;
        break;
    case PREFIX_REP:
        insn->prefixes = (insn->prefixes & ~DEC_PREFIX_REPNE) | DEC_PREFIX_REP;
        d->rep = DEC_PP_F3;
        break;
    default:
        insn->prefixes |= DEC_PREFIX_SEG;
        if (!d->mode64 || kind >= PREFIX_SEGMENT + SEG_FS)
            d->segment = kind - PREFIX_SEGMENT;
        break;
    }
}

/* Reads the prefixes and the byte after them. A REX that other prefixes follow is no REX. Whether
 * there is a REX is hard to predict, and therefore no branch. */
static inline bool read_prefixes(struct decoder *d, uint8_t *opcode)
{
    struct dec_insn *insn = d->insn;
    const uint8_t *next = d->next, *end = d->end;
    unsigned kind, rex;

    do {
        if (UNLIKELY(next == end))
            return false;
        while (UNLIKELY((kind = prefix_kinds[*next]) > PREFIX_REX)) {
            note_prefix(d, kind);
            if (UNLIKELY(++next == end))
                return false;
        }
        bool has_rex = kind & d->mode64;
        rex = *next & -(unsigned)has_rex;
        next += has_rex;
        if (UNLIKELY(next == end))
            return false;
        *opcode = *next;
    } while (UNLIKELY((rex != 0) & (prefix_kinds[*opcode] != NOT_A_PREFIX)));

    d->next = next + 1;
    d->wide = rex >> 3 & 1;
    insn->rex = rex & 15;
    insn->prefixes |= rex & DEC_PREFIX_REX;
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
    if (insn->vvvv)
        d->forbidden |= NO_VVVV;
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
    if (UNLIKELY(entry->kind == ENTRY_UNDEFINED || (rules & d->forbidden)))
        return DEC_UNDEFINED;
    if (UNLIKELY(rules & (NP | NFX))) {
        if (d->rep || ((rules & NP) && (insn->prefixes & DEC_PREFIX_OPSIZE)))
            return DEC_UNDEFINED;
    }
    insn->op = entry->op;
    insn->cond = insn->opcode & rules >> COND_SHIFT & 15;
    status = dec_read_operands(d, entry);
    if (UNLIKELY(status != DEC_OK))
        return status;

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

    memset(insn, 0, sizeof(*insn));
    insn->mode = mode;
    insn->mem.base = insn->mem.index = DEC_NO_REG;
    insn->mem.scale = 1;
    enum dec_status status = decode(&d, insn);
    if (status == DEC_OK)
        insn->length = d.next - bytes;
    return status == DEC_TRUNCATED && size >= DEC_MAX_LENGTH ? DEC_TOO_LONG : status;
}
