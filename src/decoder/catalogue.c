#include "decoder/catalogue.h"

#include "base/bits.h"
#include "decoder/insn.h"

/* The flags and attributes as insn.def names them. */
enum {
    CF = BIT(0),
    PF = BIT(2),
    AF = BIT(4),
    ZF = BIT(6),
    SF = BIT(7),
    IF = BIT(9),
    DF = BIT(10),
    OF = BIT(11),
    IOPL = BIT(12) | BIT(13),
    VM = BIT(17),
    AC = BIT(18),
    VIF = BIT(19),
    VIP = BIT(20),
    SZAPC = SF | ZF | AF | PF | CF,
    OSZAPC = OF | SZAPC,
    OSZPC = OSZAPC & ~AF,
    OSZAP = OSZAPC & ~CF,
    OSAPC = OSZAPC & ~ZF,
    ANY = 0x3f7fd5,
};

enum {
    LOCKABLE = DEC_ATTR_LOCKABLE,
    BRANCH = DEC_ATTR_BRANCH,
    END = DEC_ATTR_END,
    PRIVILEGED = DEC_ATTR_PRIVILEGED,
    ALIGNED = DEC_ATTR_ALIGNED,
    STRING = DEC_ATTR_STRING,
    IO = DEC_ATTR_IO,
    NO64 = DEC_ATTR_NO64,
    ONLY64 = DEC_ATTR_ONLY64,
    MXCSR = DEC_ATTR_MXCSR,
    PROTECTED = DEC_ATTR_PROTECTED,
};

const struct dec_info dec_info_table[DEC_OP_COUNT] = {
#define DEC_INSN(op, mnemonic, class_, feature_, read, written, attributes_)                       \
    [DEC_OP_##op] = {.name = mnemonic,                                                             \
                     .op_class = DEC_CLASS_##class_,                                               \
                     .feature = DEC_FEATURE_##feature_,                                            \
                     .attributes = attributes_,                                                    \
                     .flags_read = read,                                                           \
                     .flags_written = written},
#include "decoder/insn.def"
#undef DEC_INSN
};

static bool has_operand(const struct dec_insn *insn, unsigned kind, unsigned size)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == kind && (!size || insn->operand[i].size == size))
            return true;
    }
    return false;
}

enum dec_class dec_insn_class(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    if (info->op_class == DEC_CLASS_MMX && has_operand(insn, DEC_OPERAND_VEC, 0))
        return DEC_CLASS_SSE;
    return info->op_class;
}

enum dec_feature dec_insn_feature(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    if (info->op_class == DEC_CLASS_MMX) {
        if (insn->op == DEC_OP_PEXTRW && insn->map == DEC_MAP_0F3A)
            return DEC_FEATURE_SSE4_1;
        if (info->feature < DEC_FEATURE_SSE2 && has_operand(insn, DEC_OPERAND_VEC, 0))
            return DEC_FEATURE_SSE2;
        return info->feature;
    }
    if (info->op_class != DEC_CLASS_AVX)
        return info->feature;

    switch (insn->op) {
    case DEC_OP_VAESENC:
    case DEC_OP_VAESENCLAST:
    case DEC_OP_VAESDEC:
    case DEC_OP_VAESDECLAST:
        return insn->vex_l ? DEC_FEATURE_VAES : info->feature;
    case DEC_OP_VPCLMULQDQ:
        return insn->vex_l ? DEC_FEATURE_VPCLMULQDQ : info->feature;
    case DEC_OP_VBROADCASTSS:
    case DEC_OP_VBROADCASTSD: /* from a register, rather than memory */
        return (insn->modrm >> 6) == 3 ? DEC_FEATURE_AVX2 : info->feature;
    default:
        break;
    }
    bool integers = insn->op >= DEC_OP_VPADDB && insn->op <= DEC_OP_VPCMPISTRM;
    if (insn->op == DEC_OP_VPMOVMSKB || insn->op == DEC_OP_VMOVNTDQA)
        integers = true;
    if (insn->op == DEC_OP_VPTEST)
        integers = false;
    return insn->vex_l && integers ? DEC_FEATURE_AVX2 : info->feature;
}
