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
    asm_load(&e->a, temporary, rm_gpr(guest));
    return temporary;
}

bool can_address(const struct interp_insn *in)
{
    const struct dec_mem *mem = &in->insn.mem;
    bool absolute = mem->base == DEC_NO_REG && mem->index == DEC_NO_REG;
    return in->insn.address_size >= 4 && (absolute || fits_int32(mem->disp + 2 * PAGE_SIZE));
}

/* dst = the operand's offset; changes T0 and T1 where they are needed. */
void emit_effective_address(struct emitter *e, const struct interp_insn *in, unsigned dst,
                            bool wide)
{
    const struct dec_mem *mem = &in->insn.mem;
    unsigned base = mem->base, index = mem->index;
    int64_t disp = mem->disp;
    if (base == DEC_BASE_RIP) {
        asm_load(&e->a, HOST_T0, RM_FIELD(code_page));
        disp += in->offset + in->insn.length;
        base = HOST_T0;
    } else if (base != DEC_NO_REG) {
        base = emit_use(e, base, HOST_T0);
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

void emit_slow_if(struct emitter *e, unsigned cond)
{
    e->slow[e->slow_count++] = (struct slow_path){.from = asm_jcc(&e->a, cond)};
}

/* T0 = linear address to T0 = host pointer, or the slow path. Changes T1 and the host's flags,
 * which clobber_host_flags() has saved. */
static void emit_translate(struct emitter *e, unsigned size, bool write)
{
    struct assembler *a = &e->a;
    if (e->jit->bmi2) { /* RORX T1, T0, 7 */
        static const uint8_t rorx[] = {0xc4, 0x43, 0xfb, 0xf0, 0xd1, PAGE_SHIFT - 5};
        memcpy(a->p, rorx, sizeof(rorx));
        a->p += sizeof(rorx);
    } else {
        asm_mov(a, HOST_T1, HOST_T0);
        asm_q(a, 0xc1, 5, rm_reg(HOST_T1)); /* SHR */
        asm_8(a, PAGE_SHIFT - 5);
    }
    asm_l(a, 0x81, 4, rm_reg(HOST_T1)); /* AND */
    asm_32(a, TLB_INDEX_MASK << 5);
    asm_tlb_q(a, 0x33, HOST_T0,
              write ? offsetof(struct tlb_entry, write_tag) : offsetof(struct tlb_entry, read_tag));
    asm_q(a, 0x81, 7, rm_reg(HOST_T0)); /* CMP */
    asm_32(a, PAGE_SIZE - size);
    emit_slow_if(e, 7); /* JA */
    asm_tlb_q(a, 0x03, HOST_T0, offsetof(struct tlb_entry, host));
}

bool emit_memory(struct emitter *e, const struct interp_insn *in, unsigned size, bool write,
                 struct asm_rm *rm)
{
    const struct dec_mem *mem = &in->insn.mem;
    if (!size || size > 64 || !can_address(in) || !is_plain_segment(e, mem->segment))
        return false;
    clobber_host_flags(e, live_before(e));
    emit_effective_address(e, in, HOST_T0, in->insn.address_size == 8);
    if (mem->segment >= SEG_FS) {
        asm_load(&e->a, HOST_T1,
                 rm_cpu(offsetof(struct cpu, seg) + mem->segment * sizeof(struct segment) +
                        offsetof(struct segment, base)));
        asm_lea(&e->a, true, HOST_T0, HOST_T0, HOST_T1, 1, 0);
    }
    emit_translate(e, size, write);
    *rm = rm_base(HOST_T0, 0);
    return true;
}

struct asm_rm emit_stack_memory(struct emitter *e, unsigned base, int32_t disp, unsigned size,
                                bool write)
{
    clobber_host_flags(e, live_before(e));
    asm_lea(&e->a, size == 8, HOST_T0, base, DEC_NO_REG, 1, disp);
    emit_translate(e, size, write);
    return rm_base(HOST_T0, 0);
}
