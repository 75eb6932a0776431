/* x87. The guest's registers and control word are the host's; FIP, FDP and FOP are in cpu->fx. FDP
 * and FOP change with unmasked exceptions alone, which are left to handlers. */
#include "cpu/fpu.h"
#include "jit/x86_64/emit.h"

bool has_native_x87(const struct emitter *e)
{
    return e->jit->xsave && !(e->block->mode & MODE_X87_UNMASKED);
}

void need_fx(struct emitter *e)
{
    if (e->fx_live)
        return;
    clobber_host_flags(e, live_before(e));
    emit_load_if_not(e, RM_FIELD(fx_live), e->jit->thunks.load_fx);
    e->fx_live = true;
}

bool touches_fx(const struct dec_insn *insn)
{
    enum dec_class op_class = dec_info(insn->op)->op_class;
    if (op_class == DEC_CLASS_X87 || op_class == DEC_CLASS_MMX || op_class == DEC_CLASS_STATE ||
        insn->op == DEC_OP_XGETBV)
        return true;
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MM)
            return true;
    }
    return false;
}

void emit_fip(struct emitter *e, const struct interp_insn *in)
{
    struct assembler *a = &e->a;
    if (!in)
        return;
    emit_claim(e, HOST_T0);
    asm_load(a, HOST_T0, RM_FIELD(code_page));
    asm_lea(a, true, HOST_T0, HOST_T0, DEC_NO_REG, 1, in->offset);
    asm_store(a, RM_FIELD(fx.fip), HOST_T0);
}

void end_x87_run(struct emitter *e)
{
    emit_fip(e, e->fip);
    e->fip = NULL;
}

static struct asm_op op_of(const struct dec_insn *insn)
{
    return (struct asm_op){.opcode = insn->opcode};
}

static void emit_register(struct emitter *e, const struct dec_insn *insn)
{
    asm_8(&e->a, insn->opcode);
    asm_8(&e->a, insn->modrm);
}

/* What works on the registers, and leaves its address. */
static bool emit_arithmetic(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    const struct dec_operand *memory = memory_operand(insn);
    struct asm_rm rm;
    need_fx(e);
    if (memory && !emit_memory(e, in, memory->size, memory->access & DEC_WRITE, &rm))
        return false;
    before_flags(e, insn);
    if (memory)
        asm_insn(&e->a, op_of(insn), insn->modrm >> 3 & 7, rm);
    else
        emit_register(e, insn);
    after_flags(e, insn);
    e->fip = in;
    return true;
}

/* A control word that unmasks exceptions is the handler's. */
static bool emit_fldcw(struct emitter *e, const struct interp_insn *in)
{
    struct assembler *a = &e->a;
    struct asm_rm rm;
    need_fx(e);
    if (!emit_memory(e, in, 2, false, &rm))
        return false;
    clobber_host_flags(e, live_before(e));
    asm_insn(a, (struct asm_op){.opcode = 0xb7, .map = DEC_MAP_0F}, HOST_T1, rm); /* MOVZX */
    asm_insn(a, (struct asm_op){.opcode = ASM_STORE, .opsize = true}, HOST_T1, RM_FIELD(fx.fcw));
    asm_l(a, 0x83, 4, rm_reg(HOST_T1)); /* AND */
    asm_8(a, FSW_EXCEPTIONS);
    asm_l(a, 0x83, 7, rm_reg(HOST_T1)); /* CMP */
    asm_8(a, FSW_EXCEPTIONS);
    emit_slow_if(e, 5); /* JNE */
    asm_insn(a, op_of(&in->insn), 5, RM_FIELD(fx.fcw));
    return true;
}

static bool emit_store_word(struct emitter *e, const struct interp_insn *in)
{
    struct asm_rm rm;
    need_fx(e);
    if (in->insn.operand[0].kind != DEC_OPERAND_MEM) {
        emit_register(e, &in->insn);
        return true;
    }
    if (!emit_memory(e, in, 2, true, &rm))
        return false;
    asm_insn(&e->a, op_of(&in->insn), 7, rm);
    return true;
}

static bool emit_fninit(struct emitter *e, const struct dec_insn *insn)
{
    static const size_t pointers[] = {offsetof(struct cpu, fx.fip), offsetof(struct cpu, fx.fdp)};
    need_fx(e);
    emit_register(e, insn);
    for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++) {
        asm_q(&e->a, 0xc7, 0, rm_cpu(pointers[i]));
        asm_32(&e->a, 0);
    }
    asm_insn(&e->a, (struct asm_op){.opcode = 0xc7, .opsize = true}, 0, RM_FIELD(fx.fop));
    asm_imm(&e->a, 0, 2);
    return true;
}

static bool emit_control(struct emitter *e, const struct interp_insn *in)
{
    static const uint8_t emms[] = {0x0f, 0x77};
    switch (in->insn.op) {
    case DEC_OP_FNSTCW:
    case DEC_OP_FNSTSW:
        return emit_store_word(e, in);
    case DEC_OP_FLDCW:
        return emit_fldcw(e, in);
    case DEC_OP_FNINIT:
        return emit_fninit(e, &in->insn);
    case DEC_OP_FNCLEX:
        need_fx(e);
        emit_register(e, &in->insn);
        return true;
    case DEC_OP_EMMS:
        need_fx(e);
        asm_bytes(&e->a, emms, sizeof(emms));
        return true;
    case DEC_OP_FWAIT: /* no exception is pending */
    case DEC_OP_FNOP:
        return true;
    default:
        return false;
    }
}

static bool is_control(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_FNOP: /* as FENI, FDISI and FSETPM: it leaves no pointers */
        return insn->opcode == 0xdb;
    case DEC_OP_FWAIT:
    case DEC_OP_FNINIT:
    case DEC_OP_FNCLEX:
    case DEC_OP_FLDCW:
    case DEC_OP_FNSTCW:
    case DEC_OP_FNSTSW:
    case DEC_OP_FLDENV:
    case DEC_OP_FNSTENV:
    case DEC_OP_FRSTOR:
    case DEC_OP_FNSAVE:
    case DEC_OP_EMMS:
        return true;
    default:
        return false;
    }
}

bool leaves_fip(const struct dec_insn *insn)
{
    return dec_info(insn->op)->op_class == DEC_CLASS_X87 && !is_control(insn);
}

bool emit_x87(struct emitter *e, const struct interp_insn *in)
{
    if (!has_native_x87(e))
        return false;
    if (is_control(&in->insn))
        return emit_control(e, in);
    return leaves_fip(&in->insn) && emit_arithmetic(e, in);
}
