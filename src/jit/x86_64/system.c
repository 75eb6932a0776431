/* System instructions that need no handler in the common case. Privilege is known from the mode
 * word; what else they depend on is tested, and the handler runs where it does not hold. */
#include "jit/x86_64/emit.h"

enum { CC_NE = 5 };
enum { ALU_OR = 1, ALU_AND = 4, ALU_CMP = 7 };

#define RM_SEG_BASE(number)                                                                        \
    rm_cpu(offsetof(struct cpu, seg) + (number) * sizeof(struct segment) +                         \
           offsetof(struct segment, base))

static bool is_supervisor(const struct emitter *e)
{
    return !(e->block->mode >> MODE_CPL_SHIFT & 3);
}

static bool is_64(const struct emitter *e)
{
    return mode_code(e->block->mode) == DEC_MODE_64;
}

/* Changes the host's flags, which clobber_host_flags() has saved. */
static void alu_rflags(struct emitter *e, unsigned operation, uint32_t mask)
{
    asm_l(&e->a, 0x81, operation, RM_FIELD(rflags));
    asm_32(&e->a, mask);
}

static bool emit_direction(struct emitter *e, bool set)
{
    clobber_host_flags(e, live_before(e));
    alu_rflags(e, set ? ALU_OR : ALU_AND, set ? FLAG_DF : ~FLAG_DF);
    return true;
}

/* At CPL 0 any IOPL allows it. */
static bool emit_cli(struct emitter *e)
{
    if (!is_supervisor(e))
        return false;
    clobber_host_flags(e, live_before(e));
    alu_rflags(e, ALU_AND, ~FLAG_IF);
    return true;
}

/* Without pending requests there is nothing for the interrupt shadow to hold off: what comes later
 * is not noticed before the next instruction is over, which is in the same block. */
static bool emit_sti(struct emitter *e)
{
    if (!is_supervisor(e) || e->index + 1u == e->block->count)
        return false;
    clobber_host_flags(e, live_before(e));
    asm_l(&e->a, 0x83, ALU_CMP, RM_FIELD(requests));
    asm_8(&e->a, 0);
    emit_slow_if(e, CC_NE);
    alu_rflags(e, ALU_OR, FLAG_IF);
    return true;
}

/* The status flags come from cpu->status: OF as AL, the others as AH. next_rip holds the datum over
 * the translation. */
static bool emit_pushf(struct emitter *e, const struct interp_insn *in)
{
    struct assembler *a = &e->a;
    unsigned size = emit_stack_size(e, &in->insn);
    if (!size || e->block->mode & MODE_VM86)
        return false;
    need_status(e);
    clobber_host_flags(e, true);
    emit_claim(e, HOST_T0);
    asm_insn(a, (struct asm_op){.opcode = 0xb6, .map = DEC_MAP_0F}, HOST_T0, RM_FIELD(status));
    asm_l(a, 0xc1, 4, rm_reg(HOST_T0)); /* SHL */
    asm_8(a, 11);
    asm_insn(a, (struct asm_op){.opcode = 0xb6, .map = DEC_MAP_0F}, HOST_T1,
             rm_cpu(offsetof(struct cpu, status) + 1));
    asm_l(a, 0x09, HOST_T1, rm_reg(HOST_T0)); /* OR */
    asm_l(a, ASM_LOAD, HOST_T1, RM_FIELD(rflags));
    asm_l(a, 0x81, ALU_AND, rm_reg(HOST_T1));
    asm_32(a, ~(FLAGS_STATUS | FLAG_VM | FLAG_RF));
    asm_l(a, 0x09, HOST_T1, rm_reg(HOST_T0));
    asm_store(a, RM_FIELD(next_rip), HOST_T0);
    struct asm_rm rm = emit_stack_memory(e, HOST_GUEST_RSP, -(int)size, size, true);
    asm_load(a, HOST_T1, RM_FIELD(next_rip));
    asm_insn(a, (struct asm_op){.opcode = ASM_STORE, .w = size == 8}, HOST_T1, rm);
    emit_adjust_stack(e, size, -(int)size);
    return true;
}

static bool emit_swapgs(struct emitter *e)
{
    if (!is_supervisor(e) || !is_64(e))
        return false;
    emit_claim(e, HOST_T0);
    asm_load(&e->a, HOST_T0, RM_SEG_BASE(SEG_GS));
    asm_load(&e->a, HOST_T1, RM_FIELD(msr.kernel_gs_base));
    asm_store(&e->a, RM_SEG_BASE(SEG_GS), HOST_T1);
    asm_store(&e->a, RM_FIELD(msr.kernel_gs_base), HOST_T0);
    return true;
}

/* A general register gets a field of struct cpu, as far as `wide`. */
static void read_field(struct emitter *e, unsigned guest, struct asm_rm field, bool wide)
{
    unsigned host = is_pinned(guest) ? host_of(guest) : HOST_T1;
    asm_insn(&e->a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, host, field);
    if (!is_pinned(guest))
        asm_store(&e->a, rm_gpr(guest), host);
}

static bool emit_read_base(struct emitter *e, const struct dec_insn *insn, unsigned segment)
{
    if (!(e->block->mode & MODE_FSGSBASE))
        return false;
    read_field(e, insn->operand[0].reg, RM_SEG_BASE(segment), insn->operand_size == 8);
    return true;
}

/* Its handler runs for what is not canonical. */
static bool emit_write_base(struct emitter *e, const struct dec_insn *insn, unsigned segment)
{
    struct assembler *a = &e->a;
    bool wide = insn->operand_size == 8;
    if (!(e->block->mode & MODE_FSGSBASE))
        return false;
    clobber_host_flags(e, live_before(e));
    unsigned host = emit_use(e, insn->operand[0].reg, HOST_T0);
    asm_insn(a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, HOST_T1, rm_reg(host));
    if (wide) {
        asm_q(a, 0xc1, 4, rm_reg(HOST_T1)); /* SHL */
        asm_8(a, 16);
        asm_q(a, 0xc1, 7, rm_reg(HOST_T1)); /* SAR */
        asm_8(a, 16);
        asm_q(a, 0x39, host, rm_reg(HOST_T1)); /* CMP */
        emit_slow_if(e, CC_NE);
    }
    asm_store(a, RM_SEG_BASE(segment), HOST_T1);
    return true;
}

static bool emit_read_control(struct emitter *e, const struct dec_insn *insn)
{
    static const struct {
        unsigned number;
        size_t offset;
    } fields[] = {
        {0, offsetof(struct cpu, cr0)},
        {2, offsetof(struct cpu, cr2)},
        {3, offsetof(struct cpu, cr3)},
        {4, offsetof(struct cpu, cr4)},
    };
    if (!is_supervisor(e) || insn->operand[1].kind != DEC_OPERAND_CR)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (fields[i].number == insn->operand[1].reg) {
            read_field(e, insn->operand[0].reg, rm_cpu(fields[i].offset), is_64(e));
            return true;
        }
    }
    return false;
}

/* LFENCE, MFENCE, SFENCE: the host's own, with ModRM.rm as the manual has it. */
static bool emit_fence(struct emitter *e, const struct dec_insn *insn)
{
    asm_8(&e->a, 0x0f);
    asm_8(&e->a, 0xae);
    asm_8(&e->a, insn->modrm & 0xf8);
    return true;
}

bool emit_system(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    switch (insn->op) {
    case DEC_OP_CLD:
    case DEC_OP_STD:
        return emit_direction(e, insn->op == DEC_OP_STD);
    case DEC_OP_CLI:
        return emit_cli(e);
    case DEC_OP_STI:
        return emit_sti(e);
    case DEC_OP_PUSHF:
        return emit_pushf(e, in);
    case DEC_OP_SWAPGS:
        return emit_swapgs(e);
    case DEC_OP_RDFSBASE:
        return emit_read_base(e, insn, SEG_FS);
    case DEC_OP_RDGSBASE:
        return emit_read_base(e, insn, SEG_GS);
    case DEC_OP_WRFSBASE:
        return emit_write_base(e, insn, SEG_FS);
    case DEC_OP_WRGSBASE:
        return emit_write_base(e, insn, SEG_GS);
    case DEC_OP_MOV_CR:
        return emit_read_control(e, insn);
    case DEC_OP_LFENCE:
    case DEC_OP_MFENCE:
    case DEC_OP_SFENCE:
        return emit_fence(e, insn);
    default:
        return false;
    }
}
