/* REP MOVS and REP STOS upwards through plain RAM: the host's own, a page at a time. */
#include "jit/x86_64/emit.h"

enum { CC_NE = 5, CC_A = 7 };

#define RETURN_SIZE 8 /* the return address, which lies below the TLB's table */

static struct asm_rm kept(unsigned i)
{
    return rm_cpu(offsetof(struct cpu, kept) + 8 * i);
}

/* From a linear address in `reg`: the host pointer there, and RCX cut to the elements that fit in
 * the page. Jumps at *out, with RCX as it was or cut, where the page is not plain RAM or holds no
 * whole element. Changes T1 and `other`. */
static void emit_page(const struct jit *jit, struct assembler *a, unsigned reg, unsigned other,
                      bool write, unsigned shift, uint8_t **out)
{
    unsigned tag =
        write ? offsetof(struct tlb_entry, write_tag) : offsetof(struct tlb_entry, read_tag);
    emit_tlb_index(a, jit->bmi2, reg);
    asm_tlb_q(a, 0x33, reg, tag + RETURN_SIZE);
    asm_q(a, 0x81, 7, rm_reg(reg)); /* CMP */
    asm_32(a, PAGE_SIZE - (1u << shift));
    *out = asm_jcc(a, CC_A);
    asm_mov_imm32(a, other, PAGE_SIZE);
    asm_l(a, 0x29, reg, rm_reg(other)); /* SUB */
    asm_l(a, 0xc1, 5, rm_reg(other));   /* SHR */
    asm_8(a, shift);
    asm_q(a, 0x3b, HOST_RCX, rm_reg(other)); /* CMP */
    asm_insn(a, (struct asm_op){.opcode = 0x47, .map = DEC_MAP_0F, .w = true}, HOST_RCX,
             rm_reg(other)); /* CMOVA */
    asm_tlb_q(a, 0x03, reg, offsetof(struct tlb_entry, host) + RETURN_SIZE);
}

/* The guest's register turns into the host pointer in `pointer`, which becomes the difference; and
 * back. */
static void to_host(struct assembler *a, unsigned guest, unsigned pointer)
{
    asm_q(a, 0x29, guest, rm_reg(pointer)); /* SUB */
    asm_q(a, 0x01, pointer, rm_reg(guest)); /* ADD */
}

static void to_guest(struct assembler *a, unsigned guest, unsigned pointer)
{
    asm_q(a, 0x29, pointer, rm_reg(guest));
}

static void emit_rep(struct assembler *a, bool moves, unsigned shift)
{
    asm_8(a, 0xf3);
    if (shift == 1)
        asm_8(a, 0x66);
    if (shift == 3)
        asm_8(a, 0x48);
    asm_8(a, (moves ? 0xa4 : 0xaa) | (shift != 0));
    asm_record(a, a->p - 1, 1, ASM_OPERAND + RM_STRING);
}

/* Leaves RCX not zero where the handler is to go on. */
static void emit_repeat(struct jit *jit, struct assembler *a, bool moves, unsigned shift)
{
    uint8_t *out[5], **o = out;
    const uint8_t *again = a->p;
    asm_store(a, kept(0), HOST_RCX);
    if (moves) {
        asm_mov(a, HOST_T0, HOST_RSI);
        emit_page(jit, a, HOST_T0, HOST_T2, false, shift, o++);
    }
    asm_mov(a, HOST_T2, HOST_RDI);
    if (moves)
        asm_store(a, kept(1), HOST_T0);
    emit_page(jit, a, HOST_T2, HOST_T0, true, shift, o++);
    if (moves)
        asm_load(a, HOST_T0, kept(1));
    asm_q(a, 0x29, HOST_RCX, kept(0)); /* SUB */
    to_host(a, HOST_RDI, HOST_T2);
    if (moves)
        to_host(a, HOST_RSI, HOST_T0);
    emit_rep(a, moves, shift);
    to_guest(a, HOST_RDI, HOST_T2);
    if (moves)
        to_guest(a, HOST_RSI, HOST_T0);
    asm_load(a, HOST_RCX, kept(0));
    asm_q(a, 0x85, HOST_RCX, rm_reg(HOST_RCX)); /* TEST */
    uint8_t *done = asm_jcc(a, 4);              /* JE */
    asm_l(a, 0x83, 7, RM_FIELD(requests));      /* CMP */
    asm_8(a, 0);
    asm_patch(asm_jcc(a, 4), again); /* JE */
    while (o > out)
        asm_patch(*--o, a->p);
    asm_load(a, HOST_RCX, kept(0));
    asm_patch(done, a->p);
    asm_8(a, 0xc3);
}

void jit_emit_repeats(struct jit *jit, struct assembler *a)
{
    for (unsigned moves = 0; moves < 2; moves++) {
        for (unsigned shift = 0; shift < 4; shift++) {
            jit->thunks.repeat[moves][shift] = a->p + jit->to_exec;
            emit_repeat(jit, a, moves, shift);
        }
    }
}

/* Elements that have been done are done whoever does the others. */
bool emit_string(struct emitter *e, const struct interp_insn *in)
{
    struct assembler *a = &e->a;
    const struct dec_insn *insn = &in->insn;
    bool moves = insn->op == DEC_OP_MOVS;
    bool repeated = insn->prefixes & (DEC_PREFIX_REP | DEC_PREFIX_REPNE);
    if (!(moves || insn->op == DEC_OP_STOS) || !repeated || insn->address_size != 8 ||
        !is_plain_segment(e, SEG_ES) || (moves && insn->mem.segment >= SEG_FS) ||
        !jit_has(e->jit, JIT_STRINGS))
        return false;
    clobber_host_flags(e, live_before(e));
    emit_forget_pointers(e);
    asm_insn(a, (struct asm_op){.opcode = 0xf6}, 0, rm_cpu(offsetof(struct cpu, rflags) + 1));
    asm_8(a, FLAG_DF >> 8); /* TEST */
    emit_slow_if(e, CC_NE);
    asm_q(a, 0x85, HOST_RCX, rm_reg(HOST_RCX)); /* TEST */
    asm_8(a, 0x74);                             /* JE over */
    asm_8(a, 5);
    asm_patch(asm_call(a),
              e->jit->thunks.repeat[moves][__builtin_ctz(insn->operand_size)] - e->jit->to_exec);
    asm_q(a, 0x85, HOST_RCX, rm_reg(HOST_RCX));
    emit_slow_if(e, CC_NE);
    return true;
}
