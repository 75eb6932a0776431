#include "cpu/encode.h"

#include <string.h>

/* What goes into the fields; reg and rm with their extension bits. */
struct fields {
    uint8_t reg, rm, vvvv;
    bool memory; /* rm is a base register */
    bool w;      /* REX.W or VEX.W */
};

static bool has_is4(const struct dec_insn *insn)
{
    return insn->op == DEC_OP_VBLENDVPS || insn->op == DEC_OP_VBLENDVPD ||
           insn->op == DEC_OP_VPBLENDVB;
}

static uint8_t *put_vex(uint8_t *p, const struct dec_insn *insn, const struct fields *f)
{
    *p++ = 0xc4;
    *p++ = (uint8_t)((f->reg < 8) << 7 | 1 << 6 | (f->rm < 8) << 5 | insn->map);
    *p++ = (uint8_t)(f->w << 7 | (~f->vvvv & 15) << 3 | insn->vex_l << 2 | insn->pp);
    return p;
}

static uint8_t *put_legacy(uint8_t *p, const struct dec_insn *insn, const struct fields *f)
{
    static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
    uint8_t rex = (uint8_t)(f->w << 3 | (f->reg >> 3) << 2 | f->rm >> 3);
    if (insn->pp)
        *p++ = mandatory[insn->pp];
    if (rex)
        *p++ = 0x40 | rex;
    if (insn->map != DEC_MAP_ONE)
        *p++ = 0x0f;
    if (insn->map == DEC_MAP_0F38)
        *p++ = 0x38;
    if (insn->map == DEC_MAP_0F3A)
        *p++ = 0x3a;
    return p;
}

static unsigned put_insn(uint8_t *bytes, const struct dec_insn *insn, const struct fields *f)
{
    bool vex = insn->prefixes & DEC_PREFIX_VEX;
    uint8_t *p = vex ? put_vex(bytes, insn, f) : put_legacy(bytes, insn, f);
    *p++ = insn->opcode;
    if (insn->has_modrm)
        *p++ = (uint8_t)((f->memory ? 0 : 0xc0) | (f->reg & 7) << 3 | (f->rm & 7));
    if (has_is4(insn)) {
        *p++ = ENCODE_IS4 << 4;
    } else {
        memcpy(p, &insn->imm, insn->imm_size);
        p += insn->imm_size;
    }
    return (unsigned)(p - bytes);
}

/* Whether b is a again with other registers. */
static bool same_operation(const struct dec_insn *a, const struct dec_insn *b)
{
    if (a->op != b->op || a->operand_count != b->operand_count)
        return false;
    for (unsigned i = 0; i < a->operand_count; i++) {
        const struct dec_operand *x = &a->operand[i], *y = &b->operand[i];
        if (x->kind != y->kind || x->size != y->size || x->access != y->access)
            return false;
    }
    return true;
}

static bool try_fields(const struct dec_insn *insn, const struct fields *f, struct encoded *out)
{
    out->length = (uint8_t)put_insn(out->bytes, insn, f);
    return dec_decode(out->bytes, out->length, DEC_MODE_64, &out->insn) == DEC_OK &&
           out->insn.length == out->length && same_operation(insn, &out->insn);
}

/* The register numbers in x87 opcodes stay. In the others ModRM.reg may be part of the opcode,
 * VEX.vvvv may have to be unused, and outside 64-bit mode W is ignored by some, for which it must
 * be clear here, where it may have a meaning: each is found out by trying. */
bool encode_for_host(const struct dec_insn *insn, struct encoded *out)
{
    bool x87 = dec_info(insn->op)->op_class == DEC_CLASS_X87;
    bool vex = insn->prefixes & DEC_PREFIX_VEX;
    bool memory = insn->has_modrm && insn->modrm < 0xc0;
    bool clear_first = insn->mode != DEC_MODE_64;
    if (memory && insn->mem.vsib)
        return false;

    memset(out, 0, sizeof(*out));
    for (unsigned attempt = 0; attempt < 8; attempt++) {
        bool keep_reg = x87 || (attempt & 1);
        bool no_vvvv = !vex || (attempt & 2);
        struct fields f = {
            .reg = keep_reg ? (insn->modrm >> 3) & 7 : ENCODE_REG,
            .rm = x87 ? insn->modrm & 7 : ENCODE_RM,
            .vvvv = no_vvvv ? 0 : ENCODE_VVVV,
            .memory = memory,
            .w = (insn->rex & DEC_REX_W) && !!(attempt & 4) == clear_first,
        };
        if (memory)
            f.rm = ENCODE_BASE;
        if (try_fields(insn, &f, out))
            return true;
    }
    return false;
}
