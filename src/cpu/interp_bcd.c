/* AAA, AAS, AAM, AAD, DAA, DAS: no host in 64-bit mode has them, so they are spelt out (SDM vol.
 * 2). Flags that the manual leaves undefined: OF is cleared, and AAA and AAS set SF, ZF and PF by
 * AL. */
#include "cpu/interp_integer.h"

static uint8_t al(const struct cpu *cpu)
{
    return (uint8_t)cpu->gpr[REG_RAX];
}

static uint8_t ah(const struct cpu *cpu)
{
    return (uint8_t)(cpu->gpr[REG_RAX] >> 8);
}

static void set_ax(struct cpu *cpu, unsigned ax)
{
    gpr_write_fixed(cpu, REG_RAX, ax, 2);
}

/* SF, ZF and PF by AL; CF and AF as given; OF clear. */
static void set_flags(struct cpu *cpu, bool carry, bool adjust)
{
    uint64_t flags = 0;
    alu_test(al(cpu), al(cpu), 1, &flags);
    flags &= FLAG_SF | FLAG_ZF | FLAG_PF;
    flags |= (carry ? FLAG_CF : 0) | (adjust ? FLAG_AF : 0);
    cpu->rflags = (cpu->rflags & ~(uint64_t)FLAGS_STATUS) | flags;
}

/* AAA adds 6 to AX and 1 to AH, AAS subtracts them. */
static void ascii_adjust(struct cpu *cpu, bool subtract)
{
    bool adjust = (al(cpu) & 15) > 9 || (cpu->rflags & FLAG_AF);
    unsigned ax = (uint16_t)cpu->gpr[REG_RAX];
    if (adjust)
        ax = subtract ? ax - 0x106 : ax + 0x106;
    set_ax(cpu, ax & 0xff0f);
    set_flags(cpu, adjust, adjust);
}

static void aaa(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    ascii_adjust(cpu, false);
}

static void aas(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    ascii_adjust(cpu, true);
}

static void decimal_adjust(struct cpu *cpu, bool subtract)
{
    unsigned old = al(cpu), value = old;
    bool low = (old & 15) > 9 || (cpu->rflags & FLAG_AF);
    bool high = old > 0x99 || (cpu->rflags & FLAG_CF);
    bool carry = high;
    unsigned correction = (low ? 6 : 0) + (high ? 0x60 : 0);
    if (subtract) {
        carry = high || (low && old < 6);
        value -= correction;
    } else {
        value += correction;
    }
    gpr_write_fixed(cpu, REG_RAX, value, 1);
    set_flags(cpu, carry, low);
}

static void daa(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    decimal_adjust(cpu, false);
}

static void das(struct cpu *cpu, const struct interp_insn *in)
{
    (void)in;
    decimal_adjust(cpu, true);
}

static void aam(struct cpu *cpu, const struct interp_insn *in)
{
    unsigned base = (uint8_t)in->insn.imm;
    if (!base)
        cpu_raise(cpu, VECTOR_DE);
    set_ax(cpu, (al(cpu) / base) << 8 | al(cpu) % base);
    set_flags(cpu, false, false);
}

static void aad(struct cpu *cpu, const struct interp_insn *in)
{
    uint64_t tens = ah(cpu) * in->insn.imm;
    set_ax(cpu, (uint8_t)alu_add(al(cpu), tens, 1, &cpu->rflags));
}

interp_handler *interp_select_bcd(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    switch (insn->op) {
    case DEC_OP_AAA:
        return aaa;
    case DEC_OP_AAS:
        return aas;
    case DEC_OP_DAA:
        return daa;
    case DEC_OP_DAS:
        return das;
    case DEC_OP_AAM:
        return aam;
    case DEC_OP_AAD:
        return aad;
    default:
        return NULL;
    }
}
