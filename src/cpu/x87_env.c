#include "cpu/x87_env.h"

#include "cpu/fpu.h"

enum { TAG_VALID, TAG_ZERO, TAG_SPECIAL, TAG_EMPTY };

/* The tag of a register that is not empty (SDM vol. 1, 8.1.7). */
static unsigned classify(const uint8_t st[16])
{
    uint64_t significand = load_le(st, 8);
    unsigned exponent = load_le(st + 8, 2) & 0x7fff;
    if (exponent == 0 && significand == 0)
        return TAG_ZERO;
    return exponent == 0 || exponent == 0x7fff || !(significand >> 63) ? TAG_SPECIAL : TAG_VALID;
}

static uint16_t full_tag_word(const struct fx_image *fx)
{
    unsigned word = 0;
    for (unsigned i = 0; i < 8; i++) {
        bool empty = !(fx->ftw >> i & 1);
        unsigned tag = empty ? TAG_EMPTY : classify(fx->st[(i - fpu_top(fx)) & 7]);
        word |= tag << (2 * i);
    }
    return (uint16_t)word;
}

static uint8_t abridged_tag_word(uint16_t word)
{
    unsigned ftw = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((word >> (2 * i) & 3) != TAG_EMPTY)
            ftw |= 1u << i;
    }
    return (uint8_t)ftw;
}

/* An environment is seven fields of 2 or 4 bytes. */
enum { FCW, FSW, FTW, FIP, FCS, FDP, FDS, FIELDS };

unsigned x87_env_store(const struct fx_image *fx, enum x87_env_format format, uint8_t *env)
{
    bool wide = format <= X87_ENV_REAL_32;
    uint32_t fip = (uint32_t)fx->fip, fdp = (uint32_t)fx->fdp;
    uint32_t field[FIELDS] = {
        [FCW] = 0xffff0000 | fx->fcw,
        [FSW] = 0xffff0000 | fx->fsw,
        [FTW] = 0xffff0000 | full_tag_word(fx),
        [FIP] = fip,
        [FDP] = fdp,
    };
    switch (format) {
    case X87_ENV_PROTECTED_32:
        field[FCS] = (uint32_t)fx->fop << 16;
        field[FDS] = 0xffff0000;
        break;
    case X87_ENV_REAL_32:
        field[FIP] = 0xffff0000 | fip;
        field[FCS] = (fip >> 16) << 12 | fx->fop;
        field[FDP] = 0xffff0000 | fdp;
        field[FDS] = (fdp >> 16) << 12;
        break;
    case X87_ENV_PROTECTED_16:
        break;
    case X87_ENV_REAL_16:
        field[FCS] = (fip >> 16 & 15) << 12 | fx->fop;
        field[FDS] = (fdp >> 16 & 15) << 12;
        break;
    }
    for (unsigned i = 0; i < FIELDS; i++)
        store_le(env + i * (wide ? 4 : 2), field[i], wide ? 4 : 2);
    return x87_env_size(format);
}

void x87_env_load(struct fx_image *fx, enum x87_env_format format, const uint8_t *env)
{
    bool wide = format <= X87_ENV_REAL_32;
    uint32_t field[FIELDS];
    for (unsigned i = 0; i < FIELDS; i++)
        field[i] = (uint32_t)load_le(env + i * (wide ? 4 : 2), wide ? 4 : 2);

    fpu_set_fcw(fx, (uint16_t)field[FCW]);
    fpu_set_top(fx, (field[FSW] & FSW_TOP) >> FSW_TOP_SHIFT);
    fx->fsw = (uint16_t)field[FSW];
    fpu_summarise(fx);
    fx->ftw = abridged_tag_word((uint16_t)field[FTW]);
    fx->fip = field[FIP];
    fx->fdp = field[FDP];
    fx->fop = 0;
    switch (format) {
    case X87_ENV_PROTECTED_32:
        fx->fop = field[FCS] >> 16 & FOP_MASK;
        break;
    case X87_ENV_PROTECTED_16:
        break;
    case X87_ENV_REAL_32:
    case X87_ENV_REAL_16:
        fx->fip = (field[FIP] & 0xffff) | (field[FCS] >> 12 & 0xffff) << 16;
        fx->fdp = (field[FDP] & 0xffff) | (field[FDS] >> 12 & 0xffff) << 16;
        fx->fop = field[FCS] & FOP_MASK;
        break;
    }
}
