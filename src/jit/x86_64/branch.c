/* Ways from block to block. */
#include "jit/x86_64/emit.h"
#include "mmu/phys.h"

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

static bool is_in_page(int64_t offset)
{
    return offset >= 0 && offset < PAGE_SIZE;
}

gpa_t near_gpa(const struct emitter *e, int64_t offset)
{
    return (e->block->gpa & PAGE_MASK) + (uint64_t)offset;
}

/* Whether the instruction there ends beyond the next multiple of `size`, a page's. */
static bool crosses_page(const struct emitter *e, gpa_t gpa, uint64_t size)
{
    unsigned room = (unsigned)(size - (gpa & (size - 1)));
    if (room >= DEC_MAX_LENGTH)
        return false;
    const struct phys_region *region = phys_find(e->cpu->phys, gpa);
    struct dec_insn insn;
    return region && dec_decode(region->host + (gpa - region->base), room,
                                mode_code(e->block->mode), &insn) == DEC_TRUNCATED;
}

bool is_near(const struct emitter *e, int64_t offset)
{
    bool large = e->block->mode & BLOCK_LARGE && jit_has(e->jit, JIT_LARGE);
    uint64_t size = large ? BLOCK_LARGE_SIZE : PAGE_SIZE;
    gpa_t gpa = near_gpa(e, offset);
    return block_is_whole(e->block) && (gpa ^ e->block->gpa) < size && !crosses_page(e, gpa, size);
}

/* The jump at `site`, of instruction `from`, leads to a near target, where code_page is already
 * that one's. Follows the way out while it is not linked. */
static void emit_link(struct emitter *e, uint8_t *site, const struct interp_insn *from,
                      int64_t offset)
{
    struct jit_link *link = jit_new_link(e->cpu);
    link->site = site;
    link->unlinked = e->a.p;
    link->gpa = near_gpa(e, offset);
    link->mode = e->block->mode;
    link->backward = offset <= from->offset;
    asm_patch(site, e->a.p);
    if (live_at(e, offset) && !e->in_status)
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

static void emit_goto_from(struct emitter *e, const struct interp_insn *from, int64_t offset)
{
    if (!is_near(e, offset)) {
        emit_far_goto(e, offset);
        return;
    }
    if (live_at(e, offset))
        need_host_flags(e);
    if (!is_in_page(offset)) { /* the host's flags stay */
        asm_load(&e->a, HOST_T0, RM_FIELD(code_page));
        asm_lea(&e->a, true, HOST_T0, HOST_T0, DEC_NO_REG, 1,
                (int32_t)(offset & (int64_t)PAGE_MASK));
        asm_store(&e->a, RM_FIELD(code_page), HOST_T0);
    }
    emit_link(e, asm_jmp(&e->a), from, offset);
}

static const struct interp_insn *last_of(const struct emitter *e)
{
    return &e->block->insn[e->block->count - 1];
}

void emit_goto(struct emitter *e, int64_t offset)
{
    emit_goto_from(e, last_of(e), offset);
}

/* 16-bit operands cut RIP to 16 bits. */
static bool is_whole(const struct emitter *e, const struct interp_insn *in)
{
    return mode_code(e->block->mode) == DEC_MODE_64 || in->insn.operand_size == 4;
}

/* The jump at `from` leads to where `in` branches to. */
static void add_side_exit(struct emitter *e, const struct interp_insn *in, uint8_t *from)
{
    e->exit[e->exit_count++] = (struct side_exit){
        .from = from,
        .in = in,
        .in_host = e->in_host,
        .in_status = e->in_status,
    };
}

bool emit_side_exit(struct emitter *e, const struct interp_insn *in)
{
    if (!is_whole(e, in))
        return false;
    need_host_flags(e);
    add_side_exit(e, in, asm_jcc(&e->a, in->insn.cond));
    return true;
}

void emit_side_exits(struct emitter *e)
{
    for (unsigned i = 0; i < e->exit_count; i++) {
        const struct side_exit *exit = &e->exit[i];
        int64_t target = target_of(exit->in);
        e->in_host = exit->in_host;
        e->in_status = exit->in_status;
        if (is_in_page(target) && is_near(e, target) && (e->in_host || !live_at(e, target))) {
            emit_link(e, exit->from, exit->in, target);
        } else {
            asm_patch(exit->from, e->a.p);
            emit_goto_from(e, exit->in, target);
        }
    }
}

/* The block's last instruction, a conditional branch that jumps at `from`. */
static void emit_two_ways(struct emitter *e, const struct interp_insn *in, uint8_t *from)
{
    add_side_exit(e, in, from);
    emit_goto(e, in->offset + in->insn.length);
}

static bool emit_jcc(struct emitter *e, const struct interp_insn *in)
{
    need_host_flags(e);
    emit_two_ways(e, in, asm_jcc(&e->a, in->insn.cond));
    return true;
}

/* JRCXZ or JECXZ over the next `bytes`. */
static void emit_skip_if_rcx_0(struct emitter *e, const struct dec_insn *insn, unsigned bytes)
{
    if (insn->address_size == 4)
        asm_8(&e->a, 0x67);
    asm_8(&e->a, 0xe3);
    asm_8(&e->a, bytes);
}

/* LOOP, LOOPE, LOOPNE, JCXZ: they leave the flags alone, and so does what is emitted. */
static bool emit_loop(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool wide = insn->address_size == 8;
    enum { JMP_REL32 = 5, JCC_REL32 = 6, JMP_REL8 = 2 };
    if (insn->address_size < 4)
        return false;
    if (insn->op == DEC_OP_LOOPE || insn->op == DEC_OP_LOOPNE)
        need_host_flags(e);
    if (insn->op == DEC_OP_JCXZ) {
        emit_skip_if_rcx_0(e, insn, JMP_REL8);
        asm_8(&e->a, 0xeb);
        asm_8(&e->a, JMP_REL32);
        emit_two_ways(e, in, asm_jmp(&e->a));
        return true;
    }
    asm_lea(&e->a, wide, HOST_RCX, HOST_RCX, DEC_NO_REG, 1, -1);
    emit_skip_if_rcx_0(e, insn, insn->op == DEC_OP_LOOP ? JMP_REL32 : JCC_REL32);
    emit_two_ways(e, in,
                  insn->op == DEC_OP_LOOP ? asm_jmp(&e->a)
                                          : asm_jcc(&e->a, insn->op == DEC_OP_LOOPE ? 4 : 5));
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
    bool wide = mode_code(e->block->mode) == DEC_MODE_64;
    struct asm_rm rm;
    switch (insn->operand[0].kind) {
    case DEC_OPERAND_REL:
        emit_goto(e, target_of(in));
        return true;
    case DEC_OPERAND_GPR:
        if (live_after(e))
            need_status(e);
        rm = rm_reg(emit_use(e, insn->operand[0].reg, HOST_T0));
        break;
    default:
        if (!emit_memory(e, in, wide ? 8 : 4, false, &rm))
            return false;
        break;
    }
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, HOST_T0, rm);
    emit_indirect(e, in);
    return true;
}

/* next_rip holds a target from memory over the second translation. */
static bool emit_call(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    enum dec_operand_kind kind = insn->operand[0].kind;
    bool wide = mode_code(e->block->mode) == DEC_MODE_64;
    unsigned size = wide ? 8 : emit_stack_size(e, insn);
    const struct asm_op load = {.opcode = ASM_LOAD, .w = wide};
    if (!size || !is_plain_segment(e, SEG_SS))
        return false;
    struct asm_rm rm;
    if (kind == DEC_OPERAND_MEM) {
        if (!emit_memory(e, in, size, false, &rm))
            return false;
        asm_insn(&e->a, load, HOST_T1, rm);
        asm_store(&e->a, RM_FIELD(next_rip), HOST_T1);
    }
    rm = emit_stack_memory(e, HOST_GUEST_RSP, -(int)size, size, true);
    asm_load(&e->a, HOST_T1, RM_FIELD(code_page));
    asm_lea(&e->a, wide, HOST_T1, HOST_T1, DEC_NO_REG, 1, in->offset + insn->length);
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_STORE, .w = wide}, HOST_T1, rm);
    if (kind == DEC_OPERAND_MEM)
        asm_load(&e->a, HOST_T0, RM_FIELD(next_rip));
    else if (kind == DEC_OPERAND_GPR)
        asm_insn(&e->a, load, HOST_T0, rm_reg(emit_use(e, insn->operand[0].reg, HOST_T0)));
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
    bool wide = mode_code(e->block->mode) == DEC_MODE_64;
    unsigned size = wide ? 8 : emit_stack_size(e, insn);
    if (!size || !is_plain_segment(e, SEG_SS))
        return false;
    struct asm_rm rm = emit_stack_memory(e, HOST_GUEST_RSP, 0, size, false);
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, HOST_T0, rm);
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
    case DEC_OP_LOOP:
    case DEC_OP_LOOPE:
    case DEC_OP_LOOPNE:
    case DEC_OP_JCXZ:
        return emit_loop(e, in);
    case DEC_OP_CALL:
        return emit_call(e, in);
    case DEC_OP_RET:
        return emit_ret(e, in);
    default:
        return false;
    }
}
