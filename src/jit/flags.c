/* Which status flags are live where. */
#include "jit/x86_64/emit.h"

static uint32_t flags_read(const struct dec_insn *insn)
{
    return dec_info(insn->op)->flags_read & FLAGS_STATUS;
}

static uint32_t flags_written(const struct dec_insn *insn)
{
    return dec_info(insn->op)->flags_written & FLAGS_STATUS;
}

uint32_t live_at(struct emitter *e, int64_t offset)
{
    (void)e;
    (void)offset;
    return FLAGS_STATUS;
}

/* After the block: at the targets of its branch and behind its last instruction. */
static uint32_t live_out(struct emitter *e)
{
    const struct block *block = e->block;
    const struct dec_insn *last = &block->insn[block->count - 1].insn;
    int64_t end = e->translation->offset + block->length;
    bool relative = last->operand_count && last->operand[0].kind == DEC_OPERAND_REL;
    if (!relative)
        return live_at(e, end);
    uint32_t live = live_at(e, end + (int64_t)last->imm);
    if (last->op != DEC_OP_JMP && last->op != DEC_OP_CALL)
        live |= live_at(e, end);
    return live;
}

void find_live_flags(struct emitter *e)
{
    uint32_t live = live_out(e);
    e->live[e->block->count] = live;
    for (unsigned i = e->block->count; i-- > 0;) {
        const struct dec_insn *insn = &e->block->insn[i].insn;
        live = insn->op ? (live & ~flags_written(insn)) | flags_read(insn) : FLAGS_STATUS;
        e->live[i] = live;
    }
}
