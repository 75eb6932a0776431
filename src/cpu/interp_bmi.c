/* BMI1, BMI2 and ADX on general registers. */
#include "cpu/interp_integer.h"

/* destination = alu(first, second): ANDN, PDEP, PEXT have memory as second, BEXTR, BZHI as first.
 */
static ALWAYS_INLINE void vex(struct cpu *cpu, const struct dec_insn *insn, alu_binary_fn *alu,
                              unsigned rm, bool memory, unsigned size)
{
    const struct dec_operand *operand = insn->operand;
    uint64_t a = operand_source(cpu, insn, &operand[1], memory && rm == 1, size);
    uint64_t b = operand_source(cpu, insn, &operand[2], memory && rm == 2, size);
    gpr_write(cpu, &operand[0], alu(a, b, size, &cpu->rflags), size);
}

/* BLSR, BLSMSK, BLSI: one source. ADCX and ADOX: the destination is the other. */
static ALWAYS_INLINE void two_operands(struct cpu *cpu, const struct dec_insn *insn,
                                       alu_binary_fn *alu, bool memory, unsigned size)
{
    const struct dec_operand *dst = &insn->operand[0];
    uint64_t source = operand_source(cpu, insn, &insn->operand[1], memory, size);
    uint64_t result = alu(gpr_whole(cpu, dst, size), source, size, &cpu->rflags);
    gpr_write(cpu, dst, result, size);
}

enum flagless_shift { FLAGLESS_SHL, FLAGLESS_SHR, FLAGLESS_SAR, FLAGLESS_ROR };

/* SHLX, SHRX, SARX by a register, RORX by an immediate. */
static ALWAYS_INLINE void shift_flagless(struct cpu *cpu, const struct dec_insn *insn,
                                         enum flagless_shift kind, bool memory, unsigned size)
{
    unsigned bits = 8 * size;
    uint64_t mask = bytes_mask(size);
    uint64_t value = operand_source(cpu, insn, &insn->operand[1], memory, size) & mask;
    uint64_t amount = kind == FLAGLESS_ROR ? insn->imm : cpu->gpr[insn->operand[2].reg];
    unsigned count = (unsigned)amount & (bits - 1);
    switch (kind) {
    case FLAGLESS_SHL:
        value <<= count;
        break;
    case FLAGLESS_SHR:
        value >>= count;
        break;
    case FLAGLESS_SAR:
        value = (uint64_t)(sign_extend(value, size) >> count);
        break;
    case FLAGLESS_ROR:
        value = value >> count | value << (-count & (bits - 1));
        break;
    }
    gpr_write(cpu, &insn->operand[0], value, size);
}

/* The high half goes to the first operand and wins where both are the same register. */
static ALWAYS_INLINE void mulx(struct cpu *cpu, const struct dec_insn *insn, bool memory,
                               unsigned size)
{
    uint64_t mask = bytes_mask(size);
    uint64_t source = operand_source(cpu, insn, &insn->operand[2], memory, size) & mask;
    unsigned __int128 product = (unsigned __int128)(cpu->gpr[REG_RDX] & mask) * source;
    gpr_write(cpu, &insn->operand[1], (uint64_t)product, size);
    gpr_write(cpu, &insn->operand[0], (uint64_t)(product >> (8 * size)), size);
}

/* name_32, name_64 with a register or memory source; tables by [memory][size is 8]. */
#define LONG_FORMS(name, body, ...)                                                                \
    HANDLER(name##_r_32, body, ##__VA_ARGS__, false, 4)                                            \
    HANDLER(name##_r_64, body, ##__VA_ARGS__, false, 8)                                            \
    HANDLER(name##_m_32, body, ##__VA_ARGS__, true, 4)                                             \
    HANDLER(name##_m_64, body, ##__VA_ARGS__, true, 8)                                             \
    static interp_handler *const name##_handlers[2][2] = {{name##_r_32, name##_r_64},              \
                                                          {name##_m_32, name##_m_64}};

LONG_FORMS(andn, vex, alu_andn, 2)
LONG_FORMS(pdep, vex, alu_pdep, 2)
LONG_FORMS(pext, vex, alu_pext, 2)
LONG_FORMS(bextr, vex, alu_bextr, 1)
LONG_FORMS(bzhi, vex, alu_bzhi, 1)
LONG_FORMS(blsr, two_operands, alu_blsr)
LONG_FORMS(blsmsk, two_operands, alu_blsmsk)
LONG_FORMS(blsi, two_operands, alu_blsi)
LONG_FORMS(adcx, two_operands, alu_adcx)
LONG_FORMS(adox, two_operands, alu_adox)
LONG_FORMS(shlx, shift_flagless, FLAGLESS_SHL)
LONG_FORMS(shrx, shift_flagless, FLAGLESS_SHR)
LONG_FORMS(sarx, shift_flagless, FLAGLESS_SAR)
LONG_FORMS(rorx, shift_flagless, FLAGLESS_ROR)
LONG_FORMS(mulx, mulx)

interp_handler *interp_select_bmi(const struct dec_insn *insn, uint32_t mode)
{
    (void)mode;
    bool quad = insn->operand[0].size == 8;
    bool memory =
        insn->operand[1].kind == DEC_OPERAND_MEM || insn->operand[2].kind == DEC_OPERAND_MEM;
    switch (insn->op) {
    case DEC_OP_ANDN:
        return andn_handlers[memory][quad];
    case DEC_OP_PDEP:
        return pdep_handlers[memory][quad];
    case DEC_OP_PEXT:
        return pext_handlers[memory][quad];
    case DEC_OP_BEXTR:
        return bextr_handlers[memory][quad];
    case DEC_OP_BZHI:
        return bzhi_handlers[memory][quad];
    case DEC_OP_BLSR:
        return blsr_handlers[memory][quad];
    case DEC_OP_BLSMSK:
        return blsmsk_handlers[memory][quad];
    case DEC_OP_BLSI:
        return blsi_handlers[memory][quad];
    case DEC_OP_ADCX:
        return adcx_handlers[memory][quad];
    case DEC_OP_ADOX:
        return adox_handlers[memory][quad];
    case DEC_OP_SHLX:
        return shlx_handlers[memory][quad];
    case DEC_OP_SHRX:
        return shrx_handlers[memory][quad];
    case DEC_OP_SARX:
        return sarx_handlers[memory][quad];
    case DEC_OP_RORX:
        return rorx_handlers[memory][quad];
    case DEC_OP_MULX:
        return mulx_handlers[memory][quad];
    default:
        return NULL;
    }
}
