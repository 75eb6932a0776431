/* SSE, AVX and MMX. The guest's vector registers are the host's of the same numbers. */
#include "cpu/interp_masked.h"
#include "cpu/xstate.h"
#include "jit/x86_64/emit.h"

void emit_load_if_not(struct emitter *e, struct asm_rm live, const uint8_t *thunk)
{
    emit_claim(e, HOST_T0);
    asm_insn(&e->a, (struct asm_op){.opcode = 0x80}, 7, live); /* CMP */
    asm_8(&e->a, 0);
    asm_8(&e->a, 0x75); /* JNE over */
    asm_8(&e->a, 5);
    asm_patch(asm_call(&e->a), thunk - e->jit->to_exec);
}

void need_vectors(struct emitter *e)
{
    if (e->vec_live)
        return;
    clobber_host_flags(e, live_before(e));
    emit_load_if_not(e, RM_FIELD(vec_live), e->jit->thunks.load_vec);
    e->vec_live = true;
}

static bool uses_mmx(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MM)
            return true;
    }
    return false;
}

static bool uses_vectors(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_VEC)
            return true;
    }
    return dec_info(insn->op)->op_class != DEC_CLASS_MMX;
}

static bool can_emit(const struct emitter *e, const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    uint32_t mode = e->block->mode;
    if (info->op_class != DEC_CLASS_MMX && info->op_class != DEC_CLASS_SSE &&
        info->op_class != DEC_CLASS_AVX)
        return false;
    if (info->attributes & DEC_ATTR_MXCSR && mode & MODE_SSE_UNMASKED)
        return false;
    if (uses_mmx(insn) && !has_native_x87(e))
        return false;
    /* In 64-bit mode they clear as many registers as there are. */
    if (insn->op == DEC_OP_VZEROUPPER || insn->op == DEC_OP_VZEROALL)
        return mode_code(mode) == DEC_MODE_64;
    return !interp_select_masked(insn);
}

static bool emit_simd(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    const struct dec_operand *memory = memory_operand(insn);
    struct encoded host;
    struct asm_rm rm = {0};
    if (!can_emit(e, insn) || !encode_for_host(insn, &host))
        return false;
    if (uses_vectors(insn))
        need_vectors(e);
    if (uses_mmx(insn))
        need_fx(e);
    if (memory && !emit_memory(e, in, memory->size, memory->access & DEC_WRITE, &rm))
        return false;
    if (memory && memory->size >= 16 && dec_info(insn->op)->attributes & DEC_ATTR_ALIGNED)
        emit_check_alignment(e, rm, memory->size);
    before_flags(e, insn);
    emit_encoded(e, insn, &host, rm);
    after_flags(e, insn);
    return true;
}

/* The host's MXCSR is the guest's. */
static bool emit_stmxcsr(struct emitter *e, const struct interp_insn *in)
{
    struct asm_rm rm;
    if (e->block->mode & MODE_SSE_UNMASKED)
        return false;
    need_vectors(e);
    if (!emit_memory(e, in, 4, true, &rm))
        return false;
    asm_insn(&e->a, (struct asm_op){.opcode = 0xae, .map = DEC_MAP_0F}, 3, rm);
    return true;
}

/* The handler does what unmasks exceptions or sets reserved bits. */
static bool emit_ldmxcsr(struct emitter *e, const struct interp_insn *in)
{
    struct assembler *a = &e->a;
    struct asm_rm rm;
    if (e->block->mode & MODE_SSE_UNMASKED)
        return false;
    need_vectors(e);
    if (!emit_memory(e, in, 4, false, &rm))
        return false;
    clobber_host_flags(e, live_before(e));
    asm_l(a, ASM_LOAD, HOST_T1, rm);
    emit_claim(e, HOST_T0);
    asm_l(a, ASM_LOAD, HOST_T0, rm_reg(HOST_T1));
    asm_l(a, 0x81, 4, rm_reg(HOST_T0)); /* AND */
    asm_32(a, ~MXCSR_VALID | MXCSR_MASKS);
    asm_l(a, 0x81, 7, rm_reg(HOST_T0)); /* CMP */
    asm_32(a, MXCSR_MASKS);
    emit_slow_if(e, 5); /* JNE */
    asm_l(a, ASM_STORE, HOST_T1, RM_FIELD(mxcsr));
    asm_insn(a, (struct asm_op){.opcode = 0xae, .map = DEC_MAP_0F}, 2, RM_FIELD(mxcsr));
    return true;
}

bool emit_vector(struct emitter *e, const struct interp_insn *in)
{
    switch (in->insn.op) {
    case DEC_OP_LDMXCSR:
    case DEC_OP_VLDMXCSR:
        return emit_ldmxcsr(e, in);
    case DEC_OP_STMXCSR:
    case DEC_OP_VSTMXCSR:
        return emit_stmxcsr(e, in);
    default:
        return emit_simd(e, in);
    }
}
