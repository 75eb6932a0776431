/* Ways from block to block. */
#include "jit/x86_64/emit.h"

/* Jumps to T0, with T1 telling where from if the address may be non-canonical. */
static void emit_lookup(struct emitter *e, const struct interp_insn *from)
{
    const struct jit_thunks *thunks = &e->jit->thunks;
    if (from)
        asm_mov_imm32(&e->a, HOST_T1, arena_offset(e, from) | 1);
    else
        asm_l(&e->a, 0x31, HOST_T1, rm_reg(HOST_T1));
    asm_patch(asm_jmp(&e->a),
              (jit_has(e->jit, JIT_LOOKUP) ? thunks->lookup : thunks->miss) - e->jit->to_exec);
}

static bool is_in_page(const struct emitter *e, int64_t offset)
{
    return offset >= 0 && offset < PAGE_SIZE && e->block->second == BLOCK_ONE_PAGE;
}

/* A jump from instruction `from`. */
static struct jit_link *new_link(struct emitter *e, uint8_t *site, const struct interp_insn *from,
                                 int64_t offset)
{
    struct jit_link *link = jit_new_link(e->cpu);
    link->site = site;
    link->offset = (uint16_t)offset;
    link->backward = offset <= from->offset;
    return link;
}

/* Where an unlinked link leads. */
static void emit_unlinked(struct emitter *e, struct jit_link *link)
{
    link->unlinked = e->a.p;
    asm_patch(link->site, e->a.p);
    if (live_at(e, link->offset) && !e->in_status)
        emit_save_status(&e->a);
    asm_mov_imm32(&e->a, HOST_T0, (uint32_t)((uint8_t *)link - e->jit->records));
    asm_patch(asm_jmp(&e->a), e->jit->thunks.leave_link - e->jit->to_exec);
}

static void emit_far_goto(struct emitter *e, int64_t offset)
{
    bool wide = mode_code(e->block->mode) == DEC_MODE_64;
    if (live_at(e, offset))
        need_status(e);
    asm_load(&e->a, HOST_T0, RM_FIELD(code_page));
    asm_lea(&e->a, wide, HOST_T0, HOST_T0, DEC_NO_REG, 1, (int32_t)offset);
    emit_lookup(e, NULL);
}

void emit_goto(struct emitter *e, int64_t offset)
{
    if (!is_in_page(e, offset)) {
        emit_far_goto(e, offset);
        return;
    }
    if (live_at(e, offset))
        need_host_flags(e);
    const struct interp_insn *last = &e->block->insn[e->block->count - 1];
    emit_unlinked(e, new_link(e, asm_jmp(&e->a), last, offset));
}

/* 16-bit operands cut RIP to 16 bits. */
static bool is_whole(const struct emitter *e, const struct interp_insn *in)
{
    return mode_code(e->block->mode) == DEC_MODE_64 || in->insn.operand_size == 4;
}

bool emit_side_exit(struct emitter *e, const struct interp_insn *in)
{
    if (!is_whole(e, in))
        return false;
    need_host_flags(e);
    e->exit[e->exit_count++] = (struct side_exit){
        .from = asm_jcc(&e->a, in->insn.cond),
        .in = in,
        .in_status = e->in_status,
    };
    return true;
}

void emit_side_exits(struct emitter *e)
{
    for (unsigned i = 0; i < e->exit_count; i++) {
        const struct side_exit *exit = &e->exit[i];
        int64_t target = target_of(exit->in);
        e->in_host = true;
        e->in_status = exit->in_status;
        if (is_in_page(e, target)) {
            emit_unlinked(e, new_link(e, exit->from, exit->in, target));
        } else {
            asm_patch(exit->from, e->a.p);
            emit_far_goto(e, target);
        }
    }
}

static bool emit_jcc(struct emitter *e, const struct interp_insn *in)
{
    if (!emit_side_exit(e, in))
        return false;
    emit_goto(e, in->offset + in->insn.length);
    return true;
}

/* Jumps to T0, which a register or memory gave. */
static void emit_indirect(struct emitter *e, const struct interp_insn *in)
{
    if (live_after(e))
        need_status(e);
    emit_lookup(e, in);
}

static bool emit_jmp(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool mode64 = mode_code(e->block->mode) == DEC_MODE_64;
    struct asm_rm rm;
    switch (insn->operand[0].kind) {
    case DEC_OPERAND_REL:
        emit_goto(e, target_of(in));
        return true;
    case DEC_OPERAND_GPR:
        if (!mode64)
            return false;
        if (live_after(e))
            need_status(e);
        asm_mov(&e->a, HOST_T0, emit_use(e, insn->operand[0].reg, HOST_T0));
        break;
    default:
        if (!mode64 || !emit_memory(e, in, 8, false, &rm))
            return false;
        asm_load(&e->a, HOST_T0, rm);
        break;
    }
    emit_indirect(e, in);
    return true;
}

/* next_rip holds a target from memory over the second translation. */
static bool emit_call(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    enum dec_operand_kind kind = insn->operand[0].kind;
    bool mode64 = mode_code(e->block->mode) == DEC_MODE_64;
    unsigned size = mode64 ? 8 : emit_stack_size(e, insn);
    if (!size || (!mode64 && kind != DEC_OPERAND_REL) || !is_plain_segment(e, SEG_SS))
        return false;
    struct asm_rm rm;
    if (kind == DEC_OPERAND_MEM) {
        if (!emit_memory(e, in, 8, false, &rm))
            return false;
        asm_load(&e->a, HOST_T1, rm);
        asm_store(&e->a, RM_FIELD(next_rip), HOST_T1);
    }
    rm = emit_stack_memory(e, HOST_GUEST_RSP, -(int)size, size, true);
    asm_load(&e->a, HOST_T1, RM_FIELD(code_page));
    asm_lea(&e->a, mode64, HOST_T1, HOST_T1, DEC_NO_REG, 1, in->offset + insn->length);
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_STORE, .w = mode64}, HOST_T1, rm);
    if (kind == DEC_OPERAND_MEM)
        asm_load(&e->a, HOST_T0, RM_FIELD(next_rip));
    else if (kind == DEC_OPERAND_GPR)
        asm_mov(&e->a, HOST_T0, emit_use(e, insn->operand[0].reg, HOST_T0));
    emit_adjust_stack(e, size, -(int)size);
    if (kind == DEC_OPERAND_REL)
        emit_goto(e, target_of(in));
    else
        emit_indirect(e, in);
    return true;
}

static bool emit_ret(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool mode64 = mode_code(e->block->mode) == DEC_MODE_64;
    unsigned size = mode64 ? 8 : emit_stack_size(e, insn);
    if (!size || !is_plain_segment(e, SEG_SS))
        return false;
    struct asm_rm rm = emit_stack_memory(e, HOST_GUEST_RSP, 0, size, false);
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_LOAD, .w = mode64}, HOST_T0, rm);
    emit_adjust_stack(e, size, (int)(size + (insn->operand_count ? insn->imm : 0)));
    emit_indirect(e, in);
    return true;
}

bool emit_branch(struct emitter *e, const struct interp_insn *in)
{
    if (!is_whole(e, in))
        return false;
    switch (in->insn.op) {
    case DEC_OP_JMP:
        return emit_jmp(e, in);
    case DEC_OP_JCC:
        return emit_jcc(e, in);
    case DEC_OP_CALL:
        return emit_call(e, in);
    case DEC_OP_RET:
        return emit_ret(e, in);
    default:
        return false;
    }
}
