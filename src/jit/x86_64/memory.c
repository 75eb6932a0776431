/* The memory primitive: from a guest address to a host pointer. */
#include "jit/x86_64/emit.h"
#include "mmu/tlb.h"

static bool fits_int32(int64_t value)
{
    return value == (int32_t)value;
}

/* The host register that holds a guest register: its own, or `temporary`, loaded. */
unsigned emit_use(struct emitter *e, unsigned guest, unsigned temporary)
{
    if (is_pinned(guest))
        return host_of(guest);
    emit_claim(e, temporary);
    asm_load(&e->a, temporary, rm_gpr(guest));
    return temporary;
}

static bool in_temporary(unsigned reg)
{
    return reg == HOST_T0 || reg == HOST_T2;
}

bool can_address(const struct interp_insn *in)
{
    const struct dec_mem *mem = &in->insn.mem;
    bool absolute = mem->base == DEC_NO_REG && mem->index == DEC_NO_REG;
    /* RIP-relative ones move up by what is in a page, groups down by a span. */
    bool fits = fits_int32(mem->disp + 2 * PAGE_SIZE) && fits_int32(mem->disp - GROUP_SPAN_MAX);
    return in->insn.address_size >= 4 && (absolute || fits);
}

/* dst = the operand's offset + move; changes T1, and dst before it is done. */
void emit_effective_address(struct emitter *e, const struct interp_insn *in, unsigned dst,
                            int32_t move, bool wide)
{
    const struct dec_mem *mem = &in->insn.mem;
    unsigned base = mem->base, index = mem->index;
    int64_t disp = mem->disp + move;
    if (base == DEC_BASE_RIP) {
        asm_load(&e->a, HOST_T1, RM_FIELD(code_page));
        disp += in->offset + in->insn.length;
        base = HOST_T1;
    } else if (base != DEC_NO_REG) {
        base = emit_use(e, base, in_temporary(dst) ? dst : HOST_T0);
    } else if (!fits_int32(disp)) {
        asm_mov_imm64(&e->a, dst, (uint64_t)disp);
        return;
    }
    if (index != DEC_NO_REG)
        index = emit_use(e, index, HOST_T1);
    asm_lea(&e->a, wide, dst, base, index, mem->scale, (int32_t)disp);
}

/* Whether a linear address is an offset plus at most FS's or GS's base in 64-bit mode. */
bool is_plain_segment(const struct emitter *e, unsigned segment)
{
    if (e->block->mode & MODE_AC_CHECK)
        return false;
    if (mode_code(e->block->mode) == DEC_MODE_64)
        return true;
    return e->block->mode & MODE_FLAT &&
           (segment == SEG_DS || segment == SEG_ES || segment == SEG_SS);
}

static void emit_slow(struct emitter *e, uint8_t *from)
{
    e->slow[e->slow_count++] = (struct slow_path){.from = from};
}

void emit_slow_if(struct emitter *e, unsigned cond)
{
    emit_slow(e, asm_jcc(&e->a, cond));
}

/* The host registers that can hold a group's pointer. T1 cannot: checks need it. */
static const uint8_t pointer_regs[POINTERS] = {HOST_T0, HOST_T2};

void emit_claim(struct emitter *e, unsigned reg)
{
    for (unsigned i = 0; i < POINTERS; i++) {
        if (pointer_regs[i] == reg)
            e->pointer[i].group = GROUP_NONE;
    }
}

void emit_forget_pointers(struct emitter *e)
{
    for (unsigned i = 0; i < POINTERS; i++)
        e->pointer[i].group = GROUP_NONE;
}

/* The access that is being emitted, or NULL where the analysis has not seen it so. */
static const struct access *next_access(struct emitter *e, unsigned size, bool write)
{
    if (e->plain || e->taken == ACCESSES_PER_INSN || !jit_has(e->jit, JIT_GROUPS))
        return NULL;
    const struct access *access = &e->groups.access[ACCESSES_PER_INSN * e->index + e->taken++];
    bool same = access->group != GROUP_NONE && access->size == size && access->write == write;
    return same ? access : NULL;
}

/* Where a new pointer goes: a free register, T2 if the pointer is needed again; else the one that
 * is needed last. */
static unsigned choose_pointer(const struct emitter *e, bool again)
{
    const struct pointer *pointer = e->pointer;
    bool free0 = pointer[0].group == GROUP_NONE, free1 = pointer[1].group == GROUP_NONE;
    if (free0 || free1)
        return again ? free1 : !free0;
    return pointer[1].next > pointer[0].next;
}

void emit_tlb_index(struct assembler *a, bool bmi2, unsigned reg)
{
    if (bmi2) { /* RORX T1, reg, 7 */
        const uint8_t rorx[] = {0xc4, 0x43, 0xfb, 0xf0, 0xd0 | (reg & 7), PAGE_SHIFT - 5};
        asm_bytes(a, rorx, sizeof(rorx));
    } else {
        asm_mov(a, HOST_T1, reg);
        asm_q(a, 0xc1, 5, rm_reg(HOST_T1)); /* SHR */
        asm_8(a, PAGE_SHIFT - 5);
    }
    asm_l(a, 0x81, 4, rm_reg(HOST_T1)); /* AND */
    asm_32(a, TLB_INDEX_MASK << 5);
}

/* From the linear address in reg to the host pointer to `span` bytes there, unless the slow path
 * leads elsewhere. Changes T1 and the host's flags. */
static void emit_check(struct emitter *e, unsigned reg, unsigned span, enum refill_kind kind,
                       bool may_bounce)
{
    struct assembler *a = &e->a;
    uint8_t *retry = a->p;
    emit_tlb_index(a, e->jit->bmi2, reg);
    asm_tlb_q(a, 0x33, reg,
              kind == REFILL_READ ? offsetof(struct tlb_entry, read_tag)
                                  : offsetof(struct tlb_entry, write_tag));
    asm_q(a, 0x81, 7, rm_reg(reg)); /* CMP */
    asm_32(a, PAGE_SIZE - span);
    uint8_t *from = asm_jcc(a, 7); /* JA */
    asm_tlb_q(a, 0x03, reg, offsetof(struct tlb_entry, host));
    e->jit->stats.checks++;
    if (e->plain || e->fip) {
        emit_slow(e, from);
        return;
    }
    e->refill[e->refill_count++] = (struct refill_path){
        .from = from,
        .retry = retry,
        .kind = (uint8_t)kind,
        .site = {.offset = e->block->insn[e->index].offset,
                 .last = span - 1,
                 .may_bounce = may_bounce,
                 .second = reg == HOST_T2,
                 .check_size = (uint8_t)(a->p - retry)},
    };
}

void emit_refill_paths(struct emitter *e)
{
    struct assembler *a = &e->a;
    for (unsigned i = 0; i < e->refill_count; i++) {
        const struct refill_path *path = &e->refill[i];
        asm_patch(path->from, a->p);
        asm_patch(asm_call(a),
                  e->jit->thunks.refill[path->kind][path->site.second] - e->jit->to_exec);
        asm_patch(asm_jmp(a), path->retry);
        asm_data(a, &path->site, sizeof(path->site));
    }
}

/* What to emit for one access: where its address comes from. */
struct address {
    const struct interp_insn *in; /* its memory operand; NULL: base + disp */
    unsigned base;
    int32_t disp;
    bool wide;
};

static void emit_address(struct emitter *e, const struct address *address, unsigned dst,
                         int32_t move)
{
    if (!address->in) {
        asm_lea(&e->a, address->wide, dst, address->base, DEC_NO_REG, 1, address->disp + move);
        return;
    }
    unsigned segment = address->in->insn.mem.segment;
    emit_effective_address(e, address->in, dst, move, address->wide);
    if (segment < SEG_FS)
        return;
    asm_load(&e->a, HOST_T1,
             rm_cpu(offsetof(struct cpu, seg) + segment * sizeof(struct segment) +
                    offsetof(struct segment, base)));
    asm_lea(&e->a, true, dst, dst, HOST_T1, 1, 0);
}

static struct asm_rm rm_guest(unsigned base, int32_t disp)
{
    return (struct asm_rm){RM_GUEST, (uint8_t)base, disp};
}

static struct asm_rm emit_access(struct emitter *e, const struct address *address, unsigned size,
                                 bool write)
{
    const struct access *access = next_access(e, size, write);
    e->jit->stats.accesses++;
    if (access) {
        for (unsigned i = 0; i < POINTERS; i++) {
            struct pointer *pointer = &e->pointer[i];
            if (pointer->group != access->group)
                continue;
            int32_t disp = (int32_t)(access->offset - e->groups.group[access->group].start);
            pointer->next = access->next;
            if (access->next == GROUP_NONE)
                pointer->group = GROUP_NONE;
            return rm_guest(pointer_regs[i], disp);
        }
    }
    clobber_host_flags(e, live_before(e));
    bool again = access && access->next != GROUP_NONE;
    if (again)
        end_x87_run(e); /* refill paths do not */
    unsigned chosen = choose_pointer(e, again), reg = pointer_regs[chosen];
    emit_claim(e, reg);
    e->pointer[chosen].aligned = 0;
    if (!again) {
        emit_address(e, address, reg, 0);
        emit_check(e, reg, size, write ? REFILL_WRITE : REFILL_READ, !write);
        return rm_guest(reg, 0);
    }
    const struct group *group = &e->groups.group[access->group];
    int32_t in_span = (int32_t)(access->offset - group->start);
    emit_address(e, address, reg, -in_span);
    emit_check(e, reg, (unsigned)(group->end - group->start),
               !group->write ? REFILL_READ
               : write       ? REFILL_WRITE
                             : REFILL_READ_TO_WRITE,
               group->may_bounce);
    e->pointer[chosen] = (struct pointer){.group = access->group, .next = access->next};
    return rm_guest(reg, in_span);
}

/* The handler raises #GP(0) for a misaligned operand. Guest and host pages are aligned alike. */
void emit_check_alignment(struct emitter *e, struct asm_rm rm, unsigned size)
{
    struct pointer *pointer = &e->pointer[rm.reg == pointer_regs[1]];
    if (pointer->aligned >= size && !((rm.disp - pointer->aligned_at) & (int)(size - 1)))
        return;
    clobber_host_flags(e, live_before(e));
    unsigned base = rm.reg;
    if (rm.disp) {
        asm_lea(&e->a, true, HOST_T1, base, DEC_NO_REG, 1, rm.disp);
        base = HOST_T1;
    }
    asm_insn(&e->a, (struct asm_op){.opcode = 0xf6, .byte = true}, 0, rm_reg(base)); /* TEST */
    asm_8(&e->a, size - 1);
    emit_slow_if(e, 5); /* JNE */
    pointer->aligned = (uint8_t)size;
    pointer->aligned_at = rm.disp;
}

bool emit_memory(struct emitter *e, const struct interp_insn *in, unsigned size, bool write,
                 struct asm_rm *rm)
{
    if (!size || size > 64 || !can_address(in) || !is_plain_segment(e, in->insn.mem.segment))
        return false;
    struct address address = {.in = in, .wide = in->insn.address_size == 8};
    *rm = emit_access(e, &address, size, write);
    return true;
}

struct asm_rm emit_stack_memory(struct emitter *e, unsigned base, int32_t disp, unsigned size,
                                bool write)
{
    struct address address = {.base = base, .disp = disp, .wide = size == 8};
    return emit_access(e, &address, size, write);
}
