#include "cpu/gates.h"

#include "cpu/exception.h"

void interp_raise_ud(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise(cpu, VECTOR_UD);
}

void interp_raise_nm(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu_raise(cpu, VECTOR_NM);
}

bool interp_is_free(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    return info->op_class == DEC_CLASS_INTEGER && info->feature == DEC_FEATURE_BASE &&
           !(info->attributes & DEC_ATTR_PROTECTED) && insn->op != DEC_OP_LAHF &&
           insn->op != DEC_OP_SAHF;
}

void interp_degrade(struct dec_insn *insn, const struct cpu_model *model)
{
    if (insn->op == DEC_OP_TZCNT && !model->features[DEC_FEATURE_BMI1])
        insn->op = DEC_OP_BSF;
    else if (insn->op == DEC_OP_LZCNT && !model->features[DEC_FEATURE_LZCNT])
        insn->op = DEC_OP_BSR;
    else if (insn->op == DEC_OP_PREFETCHW && !model->features[DEC_FEATURE_PREFETCHW])
        insn->op = DEC_OP_NOP;
}

static bool offered(const struct dec_insn *insn, const struct cpu_model *model)
{
    if ((insn->op == DEC_OP_LAHF || insn->op == DEC_OP_SAHF) && insn->mode == DEC_MODE_64)
        return model->features[DEC_FEATURE_LAHF64];
    return model->features[dec_insn_feature(insn)];
}

/* SDM vol. 3, table 2-2 and 13.1: #UD comes before #NM. */
static interp_handler *gate_sse(uint32_t mode)
{
    if (mode & (MODE_MMX_UD | MODE_SSE_OFF))
        return interp_raise_ud;
    return mode & MODE_MMX_TRAP ? interp_raise_nm : NULL;
}

static interp_handler *gate_mmx(uint32_t mode)
{
    if (mode & MODE_MMX_UD)
        return interp_raise_ud;
    return mode & MODE_MMX_TRAP ? interp_raise_nm : NULL;
}

static interp_handler *gate_avx(uint32_t mode)
{
    if (mode & MODE_AVX_OFF)
        return interp_raise_ud;
    return mode & MODE_MMX_TRAP ? interp_raise_nm : NULL;
}

static interp_handler *gate_state(const struct dec_insn *insn, uint32_t mode)
{
    switch (insn->op) {
    case DEC_OP_EMMS:
        return gate_mmx(mode);
    case DEC_OP_LDMXCSR:
    case DEC_OP_STMXCSR:
        return gate_sse(mode);
    case DEC_OP_VLDMXCSR:
    case DEC_OP_VSTMXCSR:
        return gate_avx(mode);
    case DEC_OP_FXSAVE:
    case DEC_OP_FXRSTOR:
        return mode & MODE_X87_TRAP ? interp_raise_nm : NULL;
    default: /* the XSAVE family looks at CR4.OSXSAVE and CR0.TS itself, in that order */
        return NULL;
    }
}

interp_handler *interp_gate(const struct dec_insn *insn, uint32_t mode,
                            const struct cpu_model *model)
{
    bool vex = insn->prefixes & DEC_PREFIX_VEX;
    bool real = !(mode & MODE_PROTECTED) || (mode & MODE_VM86);
    if (!offered(insn, model))
        return interp_raise_ud;
    if (real && (vex || (dec_info(insn->op)->attributes & DEC_ATTR_PROTECTED)))
        return interp_raise_ud;

    switch (dec_insn_class(insn)) {
    case DEC_CLASS_X87:
        if (insn->op == DEC_OP_FWAIT)
            return mode & MODE_WAIT_TRAP ? interp_raise_nm : NULL;
        return mode & MODE_X87_TRAP ? interp_raise_nm : NULL;
    case DEC_CLASS_MMX:
        return gate_mmx(mode);
    case DEC_CLASS_SSE:
        return gate_sse(mode);
    case DEC_CLASS_AVX:
        return gate_avx(mode);
    case DEC_CLASS_STATE:
        return gate_state(insn, mode);
    default:
        return NULL;
    }
}
