/* CLC, STC, CMC, CLD, STD, LAHF, SAHF, SALC, BOUND. */
#include "cpu/interp_integer.h"

static void clc(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->rflags &= ~(uint64_t)FLAG_CF;
}

static void stc(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->rflags |= FLAG_CF;
}

static void cmc(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->rflags ^= FLAG_CF;
}

static void cld(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->rflags &= ~(uint64_t)FLAG_DF;
}

static void std(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->rflags |= FLAG_DF;
}

static void lahf(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    cpu->gpr[REG_RAX] = (cpu->gpr[REG_RAX] & ~0xff00ull) | (cpu->rflags & 0xff) << 8;
}

static void sahf(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    uint64_t loaded = FLAGS_STATUS & 0xff;
    cpu->rflags = (cpu->rflags & ~loaded) | (cpu->gpr[REG_RAX] >> 8 & loaded);
}

static void salc(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    gpr_write_fixed(cpu, REG_RAX, cpu->rflags & FLAG_CF ? 0xff : 0, 1);
}

/* The bounds are a pair in memory, both included, all signed. The upper one is not read where the
 * lower one fails. */
static void bound(struct cpu *cpu, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = insn->operand_size;
    int64_t index = sign_extend(cpu->gpr[insn->operand[0].reg], size);
    uint64_t ea = cpu_effective_address(cpu, insn);
    if (index < sign_extend(mem_load(cpu, insn->mem.segment, ea, size), size))
        cpu_raise(cpu, VECTOR_BR);
    ea = (ea + size) & bytes_mask(insn->address_size);
    if (index > sign_extend(mem_load(cpu, insn->mem.segment, ea, size), size))
        cpu_raise(cpu, VECTOR_BR);
}

interp_handler *interp_select_flag(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_CLC:
        return clc;
    case DEC_OP_STC:
        return stc;
    case DEC_OP_CMC:
        return cmc;
    case DEC_OP_CLD:
        return cld;
    case DEC_OP_STD:
        return std;
    case DEC_OP_LAHF:
        return lahf;
    case DEC_OP_SAHF:
        return sahf;
    case DEC_OP_SALC:
        return salc;
    case DEC_OP_BOUND:
        return bound;
    default:
        return NULL;
    }
}
