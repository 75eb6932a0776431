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

static void emit_link(struct emitter *e, int64_t offset)
{
    bool live = live_at(e, offset);
    if (live)
        need_host_flags(e);
    struct jit_link *link = jit_record(e->jit, sizeof(*link));
    link->site = asm_jmp(&e->a);
    link->unlinked = e->a.p;
    link->offset = (uint16_t)offset;
    link->backward = offset <= e->block->insn[e->block->count - 1].offset;
    link->next = NULL;
    if (live)
        need_status(e);
    asm_mov_imm32(&e->a, HOST_T0, (uint32_t)((uint8_t *)link - e->jit->records));
    asm_patch(asm_jmp(&e->a), e->jit->thunks.leave_link - e->jit->to_exec);
}

void emit_goto(struct emitter *e, int64_t offset)
{
    bool wide = mode_code(e->block->mode) == DEC_MODE_64;
    if (offset >= 0 && offset < PAGE_SIZE && e->block->second == BLOCK_ONE_PAGE) {
        emit_link(e, offset);
        return;
    }
    if (live_at(e, offset))
        need_status(e);
    asm_load(&e->a, HOST_T0, RM_FIELD(code_page));
    asm_lea(&e->a, wide, HOST_T0, HOST_T0, DEC_NO_REG, 1, (int32_t)offset);
    emit_lookup(e, NULL);
}

bool emit_branch(struct emitter *e, const struct interp_insn *in)
{
    (void)e;
    (void)in;
    return false;
}
