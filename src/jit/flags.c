/* Which status flags are live where. */
#include "jit/x86_64/emit.h"
#include "mmu/phys.h"

/* By condition without its lowest bit, which negates. */
static uint32_t condition_flags(unsigned cond)
{
    static const uint32_t flags[] = {
        FLAG_OF, FLAG_CF, FLAG_ZF,           FLAG_CF | FLAG_ZF,
        FLAG_SF, FLAG_PF, FLAG_SF | FLAG_OF, FLAG_ZF | FLAG_SF | FLAG_OF};
    return flags[cond >> 1 & 7];
}

static bool is_by_one(const struct dec_insn *insn)
{
    return insn->map == DEC_MAP_ONE && (insn->opcode == 0xd0 || insn->opcode == 0xd1);
}

/* Shifts and rotates by a count that is known and not zero change their flags for sure. */
static bool has_sure_count(const struct dec_insn *insn)
{
    unsigned mask = insn->operand_size == 8 ? 63 : 31;
    return is_by_one(insn) || (insn->imm_size && insn->imm & mask);
}

static uint32_t flags_read(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_JCC:
    case DEC_OP_SETCC:
    case DEC_OP_CMOVCC:
        return condition_flags(insn->cond);
    case DEC_OP_SHL:
    case DEC_OP_SHR:
    case DEC_OP_SAR:
    case DEC_OP_SHLD:
    case DEC_OP_SHRD:
    case DEC_OP_ROL:
    case DEC_OP_ROR:
        if (has_sure_count(insn))
            return 0;
        break;
    default:
        break;
    }
    return dec_info(insn->op)->flags_read & FLAGS_STATUS;
}

uint32_t insn_flags_read(const struct dec_insn *insn)
{
    return insn->length && insn->operand_size ? flags_read(insn) : FLAGS_STATUS;
}

uint32_t insn_flags_written(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_DIV:
    case DEC_OP_IDIV:
    case DEC_OP_MOV_CR:
    case DEC_OP_MOV_DR:
        return 0;
    case DEC_OP_BT:
    case DEC_OP_BTS:
    case DEC_OP_BTR:
    case DEC_OP_BTC:
        return FLAG_CF;
    case DEC_OP_ROL:
    case DEC_OP_ROR:
        if (!is_by_one(insn))
            return FLAG_CF;
        break;
    default:
        break;
    }
    return dec_info(insn->op)->flags_written & FLAGS_STATUS;
}

#define LOOK_BYTES 32

/* Straight on from `offset` in the block's page. The bytes that were looked at then belong to the
 * block. */
static uint32_t look(struct emitter *e, unsigned offset)
{
    gpa_t gpa = near_gpa(e, offset);
    const struct phys_region *region = phys_find(e->cpu->phys, gpa);
    if (!region || !blocks_has_room(interp_blocks(e->cpu)))
        return FLAGS_STATUS;
    unsigned size = PAGE_SIZE - offset < LOOK_BYTES ? PAGE_SIZE - offset : LOOK_BYTES;
    blocks_mark(e->cpu, gpa, size);
    const uint8_t *code = region->host + (gpa - region->base);
    uint32_t live = 0, unwritten = FLAGS_STATUS;
    unsigned at = 0;
    while (unwritten) {
        struct dec_insn insn;
        if (dec_decode(code + at, size - at, mode_code(e->block->mode), &insn) != DEC_OK)
            break;
        at += insn.length;
        live |= flags_read(&insn) & unwritten;
        unwritten &= ~insn_flags_written(&insn);
        if (dec_info(insn.op)->attributes & (DEC_ATTR_END | DEC_ATTR_BRANCH))
            break;
    }
    if (at)
        blocks_watch(e->cpu, interp_blocks(e->cpu), e->block, gpa, at);
    return live | unwritten;
}

uint32_t live_at(struct emitter *e, int64_t offset)
{
    bool in_page = offset >= 0 && offset < PAGE_SIZE; /* what a block watches lies there */
    if (!in_page || !jit_has(e->jit, JIT_LIVENESS))
        return FLAGS_STATUS;
    for (unsigned i = 0; i < e->target_count; i++) {
        if (e->target[i].offset == offset)
            return e->target[i].live;
    }
    uint32_t live = is_near(e, offset) ? look(e, (unsigned)offset) : FLAGS_STATUS;
    if (e->target_count < ARRAY_SIZE(e->target))
        e->target[e->target_count++] = (struct target_flags){offset, live};
    return live;
}

/* After the block: at the targets of its branch and behind its last instruction. */
static uint32_t live_out(struct emitter *e)
{
    const struct block *block = e->block;
    const struct dec_insn *last = &block->insn[block->count - 1].insn;
    int64_t end = e->translation->offset + block->length;
    bool branch = dec_info(last->op)->attributes & DEC_ATTR_BRANCH;
    bool relative = last->operand_count && last->operand[0].kind == DEC_OPERAND_REL;
    if (!last->length || !last->operand_size)
        return FLAGS_STATUS;
    if (!relative)
        return branch ? FLAGS_STATUS : live_at(e, end);
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
        if (insn->op == DEC_OP_JCC && i + 1 < e->block->count)
            live |= live_at(e, target_of(&e->block->insn[i]));
        live = (live & ~insn_flags_written(insn)) | insn_flags_read(insn);
        e->live[i] = live;
    }
}
