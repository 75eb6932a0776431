/* Instructions that are encoded again: vector registers keep their numbers, general registers and
 * memory are where the translator has them. */
#include "jit/x86_64/emit.h"

/* The fields of an encoding that name a register, in the order of enum encode_number. */
enum { FIELD_REG, FIELD_RM, FIELD_VVVV, FIELD_IS4, FIELDS };

/* The field that an operand of encode_for_host() is in; FIELDS: none, the opcode implies it. */
static unsigned field_of(const struct dec_operand *operand)
{
    unsigned first = ENCODE_REG;
    if (operand->kind == DEC_OPERAND_MM)
        first &= 7;
    else if (operand->kind != DEC_OPERAND_GPR && operand->kind != DEC_OPERAND_VEC)
        return FIELDS;
    return operand->reg >= first ? operand->reg - first : FIELDS;
}

/* T1 serves two fields only where one of them is a source and the other the destination. */
static unsigned temporary_of(unsigned field, const struct dec_operand *operand)
{
    if (field == FIELD_REG)
        return HOST_T1;
    return field == FIELD_VVVV && !(operand->access & DEC_WRITE) ? HOST_T1 : HOST_T0;
}

static bool is_unpinned(const struct dec_operand *operand)
{
    return operand->kind == DEC_OPERAND_GPR && !is_pinned(operand->reg);
}

static uint8_t begin_operand(struct emitter *e, unsigned field, const struct dec_operand *operand)
{
    if (operand->kind != DEC_OPERAND_GPR)
        return operand->reg;
    if (operand->access & DEC_READ)
        return (uint8_t)emit_use(e, operand->reg, temporary_of(field, operand));
    if (is_pinned(operand->reg))
        return (uint8_t)host_of(operand->reg);
    emit_claim(e, temporary_of(field, operand));
    return (uint8_t)temporary_of(field, operand);
}

static void put(struct assembler *a, const struct dec_insn *insn, const uint8_t number[FIELDS],
                struct asm_rm rm)
{
    struct asm_op op = {
        .opcode = insn->opcode, .map = insn->map, .pp = insn->pp, .w = insn->rex & DEC_REX_W};
    if (insn->prefixes & DEC_PREFIX_VEX)
        asm_vex(a, op, insn->vex_l, number[FIELD_REG], number[FIELD_VVVV], rm);
    else
        asm_insn(a, op, number[FIELD_REG], rm);
    if (number[FIELD_IS4])
        asm_8(a, number[FIELD_IS4] & 0xf0);
    else
        asm_imm(a, insn->imm, insn->imm_size);
}

void emit_encoded(struct emitter *e, const struct dec_insn *insn, const struct encoded *host,
                  struct asm_rm rm)
{
    const struct dec_insn *again = &host->insn;
    uint8_t number[FIELDS] = {
        [FIELD_REG] = (again->modrm >> 3 & 7) | (again->rex & DEC_REX_R ? 8 : 0),
        [FIELD_VVVV] = again->vvvv,
    };
    if (!again->has_modrm) {
        asm_bytes(&e->a, host->bytes, host->length);
        return;
    }
    for (unsigned i = 0; i < insn->operand_count; i++) {
        unsigned field = field_of(&again->operand[i]);
        if (field == FIELD_IS4)
            number[field] = (uint8_t)(insn->operand[i].reg << 4 | 1);
        else if (field < FIELDS)
            number[field] = begin_operand(e, field, &insn->operand[i]);
    }
    put(&e->a, again, number, again->modrm < 0xc0 ? rm : rm_reg(number[FIELD_RM]));
    /* MULX: the first destination wins. */
    for (unsigned i = insn->operand_count; i-- > 0;) {
        const struct dec_operand *operand = &insn->operand[i];
        if (is_unpinned(operand) && operand->access & DEC_WRITE)
            asm_store(&e->a, rm_gpr(operand->reg),
                      temporary_of(field_of(&again->operand[i]), operand));
    }
}

const struct dec_operand *memory_operand(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return &insn->operand[i];
    }
    return NULL;
}

bool emit_vex_integer(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    const struct dec_operand *memory = memory_operand(insn);
    struct encoded host;
    struct asm_rm rm = {0};
    if (!encode_for_host(insn, &host) ||
        (memory && !emit_memory(e, in, memory->size, memory->access & DEC_WRITE, &rm)))
        return false;
    before_flags(e, insn);
    emit_encoded(e, insn, &host, rm);
    after_flags(e, insn);
    return true;
}
