/* The inside of decoding: decode.c finds the instruction in the tables, operand.c its operands. */
#ifndef DOPPEL_DECODER_DECODE_H
#define DOPPEL_DECODER_DECODE_H

#include "base/bits.h"
#include "decoder/decoder.h"
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
};

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

/* Fetches 0 to 8 bytes, zero-extended. */
static inline bool fetch(struct decoder *d, unsigned bytes, uint64_t *value)
{
    size_t left = d->end - d->next;
    if (LIKELY(left >= 8)) {
        *value = load_le(d->next, 8) & (bytes ? bytes_mask(bytes) : 0);
    } else {
        if (left < bytes)
            return false;
        *value = load_le(d->next, bytes);
    }
    d->next += bytes;
    return true;
}

static inline bool fetch_signed(struct decoder *d, unsigned bytes, int64_t *value)
{
    uint64_t raw;
    if (!fetch(d, bytes, &raw))
        return false;
    *value = sign_extend(raw, bytes ? bytes : 1);
    return true;
}

/* Fetches modrm if that has not happened. */
static inline bool read_modrm(struct decoder *d)
{
    if (d->insn->has_modrm)
        return true;
    d->insn->has_modrm = true;
    return fetch_byte(d, &d->insn->modrm);
}

/* Reads what follows the opcode and sets insn's sizes, memory, operands and immediates. */
enum dec_status dec_read_operands(struct decoder *d, const struct dec_entry *entry);

#endif
