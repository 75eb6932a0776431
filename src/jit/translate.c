/* From a decoded block to host code. */
#include "cpu/gates.h"
#include "jit/operands.h"
#include "jit/x86_64/emit.h"

#include <unistd.h>

/* A handler that ends the block: branches go on, all else may have changed what blocks hang on. */
static void emit_last_handler(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_info *info = dec_info(in->insn.op);
    bool branch = info->attributes & DEC_ATTR_BRANCH && info->op_class == DEC_CLASS_INTEGER;
    bool status_in = live_before(e);
    const struct jit_thunks *thunks = &e->jit->thunks;
    asm_patch(asm_jmp(&e->a),
              (branch && jit_has(e->jit, JIT_LOOKUP) ? thunks->handler_jump[status_in]
                                                     : thunks->handler_leave[status_in]) -
                  e->jit->to_exec);
}

static void emit_save_fx(struct emitter *e)
{
    asm_insn(&e->a, (struct asm_op){.opcode = 0x80}, 7, RM_FIELD(fx_live)); /* CMP */
    asm_8(&e->a, 0);
    asm_8(&e->a, 0x74); /* JE over */
    asm_8(&e->a, 5);
    asm_patch(asm_call(&e->a), e->jit->thunks.save_fx - e->jit->to_exec);
}

static void emit_handler(struct emitter *e, const struct interp_insn *in, bool last)
{
    if (live_before(e))
        need_status(e);
    end_x87_run(e);
    if (touches_fx(&in->insn)) {
        emit_save_fx(e);
        e->fx_live = false;
    }
    e->vec_live = false;
    asm_mov_imm32(&e->a, HOST_T0, arena_offset(e, in));
    if (e->jit->config.count_called) {
        asm_mov_imm64(&e->a, HOST_T1, (uintptr_t)&e->jit->called[in->insn.op]);
        asm_q(&e->a, 0xff, 0, rm_own(HOST_T1, 0)); /* INC */
    }
    if (last) {
        emit_last_handler(e, in);
        return;
    }
    bool status_out = live_after(e);
    emit_forget_pointers(e);
    asm_patch(asm_call(&e->a),
              e->jit->thunks.handler[live_before(e) != 0][status_out] - e->jit->to_exec);
    e->in_host = false;
    e->in_status = status_out;
}

static void emit_slow_paths(struct emitter *e)
{
    for (unsigned i = 0; i < e->slow_count; i++) {
        const struct slow_path *slow = &e->slow[i];
        asm_patch(slow->from, e->a.p);
        if (e->jit->config.count_called) {
            asm_mov_imm64(&e->a, HOST_T1, (uintptr_t)&e->jit->slow_paths);
            asm_q(&e->a, 0xff, 0, rm_own(HOST_T1, 0)); /* INC */
        }
        emit_fip(e, slow->fip);
        if (!e->plain) {
            asm_mov_imm32(&e->a, HOST_T0, slow->in->offset);
            asm_patch(asm_jmp(&e->a), e->jit->thunks.plain - e->jit->to_exec);
            continue;
        }
        if (touches_fx(&slow->in->insn))
            emit_save_fx(e);
        asm_mov_imm32(&e->a, HOST_T0, arena_offset(e, slow->in));
        if (!slow->to) {
            asm_patch(asm_jmp(&e->a),
                      e->jit->thunks.handler_jump[slow->status_in] - e->jit->to_exec);
            continue;
        }
        asm_patch(asm_call(&e->a),
                  e->jit->thunks.handler[slow->status_in][slow->status_out] - e->jit->to_exec);
        if (slow->vec_live)
            asm_patch(asm_call(&e->a), e->jit->thunks.load_vec - e->jit->to_exec);
        if (slow->fx_live && touches_fx(&slow->in->insn))
            asm_patch(asm_call(&e->a), e->jit->thunks.load_fx - e->jit->to_exec);
        if (slow->host_out)
            emit_load_status(&e->a);
        asm_patch(asm_jmp(&e->a), slow->to);
    }
}

/* Backward jumps enter here: a loop must see requests. */
static void emit_poll(struct emitter *e)
{
    struct assembler *a = &e->a;
    e->translation->polled = a->p;
    bool live = live_before(e);
    if (live)
        emit_save_status(a);
    asm_l(a, 0x83, 7, RM_FIELD(requests));
    asm_8(a, 0);
    asm_8(a, 0x74); /* JE over */
    asm_8(a, 11);
    asm_mov_imm32(a, HOST_T0, e->translation->offset);
    asm_patch(asm_jmp(a), e->jit->thunks.leave_at - e->jit->to_exec);
    if (live)
        emit_load_status(a);
}

static bool is_last(const struct block *block, unsigned i)
{
    return i + 1 == block->count;
}

/* Whether control does not reach the next instruction in order, or not with this block's key. */
static bool ends(const struct interp_insn *in)
{
    return !in->insn.operand_size ||
           dec_info(in->insn.op)->attributes & (DEC_ATTR_END | DEC_ATTR_BRANCH);
}

static bool emit_native(struct emitter *e, const struct interp_insn *in, bool last)
{
    if (!last)
        return emit_integer(e, in) || emit_vector(e, in) || emit_x87(e, in) || emit_string(e, in) ||
               emit_system(e, in);
    if (emit_branch(e, in))
        return true;
    if (!emit_system(e, in))
        return false;
    emit_goto(e, in->offset + in->insn.length);
    return true;
}

/* False: control does not get beyond the instruction. */
static bool emit_insn(struct emitter *e, const struct interp_insn *in)
{
    if (!leaves_fip(&in->insn))
        end_x87_run(e);
    const struct interp_insn *fip = e->fip;
    bool in_middle = !is_last(e->block, e->index);
    bool last = in_middle ? in->insn.op == DEC_OP_JCC : ends(in);
    bool native = jit_has(e->jit, JIT_NATIVE);
    bool raises = in->handler == interp_raise_ud || in->handler == interp_raise_nm;
    unsigned first_slow = e->slow_count;
    e->taken = 0;
    if (native && last && in_middle && emit_side_exit(e, in))
        return true;
    if (!native || raises || !emit_native(e, in, last)) {
        emit_handler(e, in, last);
        return !last;
    }
    for (unsigned i = first_slow; i < e->slow_count; i++) {
        struct slow_path *slow = &e->slow[i];
        slow->in = in;
        slow->to = last ? NULL : e->a.p;
        slow->status_in = live_before(e);
        slow->status_out = live_after(e);
        slow->host_out = slow->status_out && e->in_host;
        slow->vec_live = e->vec_live;
        slow->fx_live = e->fx_live;
        slow->fip = fip;
    }
    return !last;
}

static void emit_body(struct emitter *e)
{
    const struct block *block = e->block;
    find_live_flags(e);
    emit_forget_pointers(e);
    if (!e->plain)
        groups_find(&e->groups, block);
    e->index = 0;
    e->translation->flags_alive = live_before(e) != 0;
    emit_poll(e);
    e->translation->entry = e->a.p;
    e->in_host = true;
    bool goes_on = true;
    for (; goes_on && e->index < block->count; e->index++)
        goes_on = emit_insn(e, &block->insn[e->index]);
    end_x87_run(e);
    if (goes_on)
        emit_goto(e, e->translation->offset + block->length);
    emit_side_exits(e);
    emit_refill_paths(e);
    emit_slow_paths(e);
}

static void write_perf_map(struct emitter *e, size_t size)
{
    fprintf(e->jit->perf_map, "%lx %zx guest_%lx\n",
            (unsigned long)(e->translation->polled + e->jit->to_exec), size,
            (unsigned long)e->cpu->rip);
}

struct translation *jit_translate(struct cpu *cpu, struct block *block, bool plain)
{
    struct jit *jit = cpu->jit;
    if (!jit_has_room(jit) || !blocks_has_room(interp_blocks(cpu)))
        return NULL;
    struct emitter e;
    memset(&e, 0, offsetof(struct emitter, live));
    e.a = jit_assembler(jit, jit->mem.write + jit->used);
    e.cpu = cpu;
    e.jit = jit;
    e.block = block;
    e.plain = plain;
    e.translation = jit_record(jit, sizeof(struct translation));
    *e.translation = (struct translation){.offset = (uint16_t)(block->gpa & ~PAGE_MASK)};
    uint8_t *start = e.a.p;
    emit_body(&e);
    size_t size = (size_t)(e.a.p - start);
    jit->used += size;
    jit->stats.blocks++;
    jit->stats.guest_bytes += block->length;
    jit->stats.host_bytes += size;
    e.translation->host_size = (uint32_t)size;
    *(plain ? &block->plain_translation : &block->translation) = e.translation;
    if (jit->perf_map)
        write_perf_map(&e, size);
    return e.translation;
}
