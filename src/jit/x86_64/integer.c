/* Integer instructions: most are emitted as they are, with host registers and a host pointer for
 * their operands. */
#include "jit/x86_64/emit.h"

void emit_save_status(struct assembler *a)
{
    asm_mov(a, HOST_T1, HOST_RAX);
    asm_8(a, 0x9f); /* LAHF; SETO AL */
    asm_insn(a, (struct asm_op){.opcode = 0x90, .map = DEC_MAP_0F}, 0, rm_reg(HOST_RAX));
    asm_insn(a, (struct asm_op){.opcode = ASM_STORE, .opsize = true}, HOST_RAX, RM_FIELD(status));
    asm_mov(a, HOST_RAX, HOST_T1);
}

/* 127 + 1 overflows a byte, 127 + 0 does not. */
void emit_load_status(struct assembler *a)
{
    asm_mov(a, HOST_T1, HOST_RAX);
    asm_insn(a, (struct asm_op){.opcode = 0xb7, .map = DEC_MAP_0F}, HOST_RAX, RM_FIELD(status));
    asm_8(a, 0x04); /* ADD AL, 127; SAHF */
    asm_8(a, 127);
    asm_8(a, 0x9e);
    asm_mov(a, HOST_RAX, HOST_T1);
}

void before_flags(struct emitter *e, const struct dec_insn *insn)
{
    uint32_t written = insn_flags_written(insn);
    if (insn_flags_read(insn) || (written && live_after(e) & ~written))
        need_host_flags(e);
}

void after_flags(struct emitter *e, const struct dec_insn *insn)
{
    if (!insn_flags_written(insn))
        return;
    e->in_host = true;
    e->in_status = false;
}

/* What an encoding's field names, and how the instruction uses it. */
struct field {
    bool used;
    uint8_t guest, access, size;
    unsigned host;
};

static bool is_extension(const struct dec_insn *insn)
{
    if (insn->map > DEC_MAP_0F)
        return false;
    if (insn->map == DEC_MAP_0F)
        return insn->opcode == 0xba || insn->opcode == 0xc7 || (insn->opcode & 0xf0) == 0x90;
    switch (insn->opcode) {
    case 0x80:
    case 0x81:
    case 0x82:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
    case 0xc7:
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
        return true;
    default:
        return false;
    }
}

/* Whether the old value of a register that is written shows in the new one. */
static bool keeps_old(const struct dec_insn *insn, const struct field *field)
{
    return field->access & DEC_READ || field->size < 4 || insn->op == DEC_OP_CMOVCC ||
           insn->op == DEC_OP_BSF || insn->op == DEC_OP_BSR || insn->op == DEC_OP_CMPXCHG;
}

static void begin_field(struct emitter *e, const struct dec_insn *insn, struct field *field,
                        unsigned temporary)
{
    if (is_pinned(field->guest)) {
        field->host = host_of(field->guest);
        return;
    }
    field->host = temporary;
    emit_claim(e, temporary);
    if (keeps_old(insn, field))
        asm_load(&e->a, temporary, rm_gpr(field->guest));
}

static void end_field(struct emitter *e, const struct field *field)
{
    if (field->used && !is_pinned(field->guest) && field->access & DEC_WRITE)
        asm_store(&e->a, rm_gpr(field->guest), field->host);
}

/* 82 is 80 outside 64-bit mode, and undefined in it. */
static struct asm_op op_of(const struct dec_insn *insn)
{
    bool degraded = insn->op == DEC_OP_BSF || insn->op == DEC_OP_BSR;
    bool alias = insn->map == DEC_MAP_ONE && insn->opcode == 0x82;
    return (struct asm_op){
        .opcode = alias ? 0x80 : insn->opcode,
        .map = insn->map,
        .pp = degraded ? DEC_PP_NONE : insn->pp,
        .w = insn->operand_size == 8,
        .opsize = insn->operand_size == 2,
        .lock = insn->prefixes & DEC_PREFIX_LOCK,
    };
}

/* What the operands of an instruction with ModRM say of its fields. */
struct operands {
    const struct dec_operand *memory; /* or NULL */
    bool high, byte;                  /* registers: AH to BH, and other bytes */
    bool stack;                       /* a register is RSP */
};

static void note_use(struct field *field, const struct dec_operand *operand)
{
    if (operand->reg == field->guest) {
        field->access |= operand->access;
        field->size = (uint8_t)operand->size;
    }
}

static struct operands note_operands(const struct dec_insn *insn, struct field *reg,
                                     struct field *rm)
{
    struct operands operands = {0};
    for (unsigned i = 0; i < insn->operand_count; i++) {
        const struct dec_operand *operand = &insn->operand[i];
        if (operand->kind == DEC_OPERAND_GPR) {
            operands.byte |= operand->size == 1;
            operands.stack |= operand->reg == REG_RSP;
            note_use(reg, operand);
            note_use(rm, operand);
        } else if (operand->kind == DEC_OPERAND_GPR_HIGH) {
            operands.high = true;
        } else if (operand->kind == DEC_OPERAND_MEM) {
            operands.memory = operand;
        }
    }
    return operands;
}

/* A high byte excludes REX, which pointers and RSP's host register need. Numbers 4 to 7 are AH to
 * BH: they stay. */
static bool emit_high_byte(struct emitter *e, const struct dec_insn *insn,
                           const struct operands *operands)
{
    if (operands->memory || operands->stack)
        return false;
    before_flags(e, insn);
    asm_insn(&e->a, op_of(insn), insn->modrm >> 3 & 7, rm_reg(insn->modrm & 7));
    asm_imm(&e->a, insn->imm, insn->imm_size);
    after_flags(e, insn);
    return true;
}

/* An instruction with ModRM, as it is. */
static bool emit_as_is(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool memory = insn->modrm < 0xc0;
    struct field reg = {.used = !is_extension(insn)}, rm = {.used = !memory};
    reg.guest = (insn->modrm >> 3 & 7) | (insn->rex & DEC_REX_R) << 1;
    rm.guest = (insn->modrm & 7) | (insn->rex & DEC_REX_B) << 3;
    struct operands operands = note_operands(insn, &reg, &rm);
    if (operands.high)
        return emit_high_byte(e, insn, &operands);
    struct asm_rm pointer;
    if (memory && (!operands.memory || !emit_memory(e, in, operands.memory->size,
                                                    operands.memory->access & DEC_WRITE, &pointer)))
        return false;

    before_flags(e, insn);
    bool same = reg.used && rm.guest == reg.guest;
    reg.host = reg.guest & 7;
    if (reg.used)
        begin_field(e, insn, &reg, HOST_T1);
    rm.host = reg.host;
    if (rm.used && !same)
        begin_field(e, insn, &rm, HOST_T0);
    struct asm_op op = op_of(insn);
    op.byte = operands.byte;
    asm_insn(&e->a, op, reg.host, memory ? pointer : rm_reg(rm.host));
    asm_imm(&e->a, insn->imm, insn->imm_size);
    after_flags(e, insn);
    end_field(e, &reg);
    if (!same)
        end_field(e, &rm);
    return true;
}

/* Opcodes that name the accumulator, or no register. */
static bool emit_accumulator(struct emitter *e, const struct dec_insn *insn)
{
    before_flags(e, insn);
    struct asm_op op = op_of(insn);
    if (op.opsize)
        asm_8(&e->a, 0x66);
    if (op.w)
        asm_8(&e->a, 0x48);
    asm_opcode(&e->a, op);
    asm_imm(&e->a, insn->imm, insn->imm_size);
    after_flags(e, insn);
    return true;
}

/* MOV between register and 64-bit immediate, or any that has no ModRM. */
static bool emit_mov_imm(struct emitter *e, const struct dec_insn *insn)
{
    unsigned guest = insn->operand[0].reg, size = insn->operand_size;
    if (insn->operand[0].kind == DEC_OPERAND_GPR_HIGH) {
        asm_8(&e->a, 0xb4 | guest);
        asm_8(&e->a, (uint8_t)insn->imm);
        return true;
    }
    if (size < 4) {
        bool pinned = is_pinned(guest);
        struct asm_op op = {
            .opcode = size == 1 ? 0xc6 : 0xc7, .opsize = size == 2, .byte = size == 1};
        asm_insn(&e->a, op, 0, pinned ? rm_reg(host_of(guest)) : rm_gpr(guest));
        asm_imm(&e->a, insn->imm, size);
        return true;
    }
    unsigned host = is_pinned(guest) ? host_of(guest) : HOST_T1;
    uint64_t value = insn->imm & bytes_mask(size);
    if (value <= UINT32_MAX)
        asm_mov_imm32(&e->a, host, (uint32_t)value);
    else
        asm_mov_imm64(&e->a, host, value);
    if (!is_pinned(guest))
        asm_store(&e->a, rm_gpr(guest), host);
    return true;
}

static bool emit_mov(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    if (insn->has_modrm)
        return emit_as_is(e, in);
    if (insn->operand[1].kind == DEC_OPERAND_IMM)
        return emit_mov_imm(e, insn);
    /* The accumulator and an absolute address. */
    bool store = insn->operand[0].kind == DEC_OPERAND_MEM;
    struct asm_rm rm;
    if (!emit_memory(e, in, insn->operand_size, store, &rm))
        return false;
    struct asm_op op = op_of(insn);
    op.opcode = (store ? 0x88 : 0x8a) | (insn->operand_size > 1);
    asm_insn(&e->a, op, HOST_RAX, rm);
    return true;
}

/* Registers in the opcode: XCHG with the accumulator, BSWAP, short INC and DEC. */
static bool emit_opcode_register(struct emitter *e, const struct dec_insn *insn, struct asm_op op,
                                 unsigned extension, unsigned guest)
{
    unsigned host = emit_use(e, guest, HOST_T0);
    before_flags(e, insn);
    if (op.map == DEC_MAP_0F) { /* BSWAP */
        asm_rex(&e->a, op, 0, 0, rm_reg(host));
        asm_8(&e->a, 0x0f);
        asm_8(&e->a, 0xc8 | (host & 7));
    } else {
        asm_insn(&e->a, op, extension, rm_reg(host));
    }
    after_flags(e, insn);
    if (!is_pinned(guest))
        asm_store(&e->a, rm_gpr(guest), host);
    return true;
}

static bool emit_xchg(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    if (insn->has_modrm)
        return emit_as_is(e, in);
    struct asm_op op = op_of(insn);
    op.opcode = 0x87;
    unsigned guest = insn->operand[0].reg ? insn->operand[0].reg : insn->operand[1].reg;
    return emit_opcode_register(e, insn, op, HOST_RAX, guest);
}

static bool emit_inc_dec(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    if (insn->has_modrm)
        return emit_as_is(e, in);
    struct asm_op op = op_of(insn);
    op.opcode = 0xff;
    return emit_opcode_register(e, insn, op, insn->op == DEC_OP_DEC, insn->operand[0].reg);
}

static bool emit_lea(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned guest = insn->operand[0].reg;
    if (insn->operand_size < 4 || !can_address(in))
        return false;
    unsigned host = is_pinned(guest) ? host_of(guest) : HOST_T0;
    emit_claim(e, host);
    emit_effective_address(e, in, host, 0, insn->operand_size == 8 && insn->address_size == 8);
    if (!is_pinned(guest))
        asm_store(&e->a, rm_gpr(guest), host);
    return true;
}

/* The size of a push or pop that is emitted: the stack's own width; 0: not emitted. */
unsigned emit_stack_size(const struct emitter *e, const struct dec_insn *insn)
{
    unsigned size = mode_code(e->block->mode) == DEC_MODE_64 ? 8 : 4;
    bool wide = mode_stack(e->block->mode) == mode_code(e->block->mode) &&
                mode_code(e->block->mode) != DEC_MODE_16;
    return wide && insn->operand_size == size && is_plain_segment(e, SEG_SS) ? size : 0;
}

void emit_adjust_stack(struct emitter *e, unsigned size, int bytes)
{
    asm_lea(&e->a, size == 8, HOST_GUEST_RSP, HOST_GUEST_RSP, DEC_NO_REG, 1, bytes);
}

static void store_or_load(struct emitter *e, unsigned opcode, unsigned size, unsigned host,
                          struct asm_rm rm)
{
    asm_insn(&e->a, (struct asm_op){.opcode = (uint8_t)opcode, .w = size == 8}, host, rm);
}

static bool emit_push(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = emit_stack_size(e, insn);
    enum dec_operand_kind kind = insn->operand[0].kind;
    if (!size || kind == DEC_OPERAND_SEG)
        return false;
    struct asm_rm rm;
    if (kind == DEC_OPERAND_MEM) { /* next_rip holds the datum over the second translation */
        if (!emit_memory(e, in, size, false, &rm))
            return false;
        store_or_load(e, ASM_LOAD, size, HOST_T1, rm);
        asm_store(&e->a, RM_FIELD(next_rip), HOST_T1);
    }
    rm = emit_stack_memory(e, HOST_GUEST_RSP, -(int)size, size, true);
    if (kind == DEC_OPERAND_MEM) {
        asm_load(&e->a, HOST_T1, RM_FIELD(next_rip));
        store_or_load(e, ASM_STORE, size, HOST_T1, rm);
    } else if (kind == DEC_OPERAND_IMM) {
        store_or_load(e, 0xc7, size, 0, rm);
        asm_32(&e->a, (uint32_t)insn->imm);
    } else {
        store_or_load(e, ASM_STORE, size, emit_use(e, insn->operand[0].reg, HOST_T1), rm);
    }
    emit_adjust_stack(e, size, -(int)size);
    return true;
}

static bool emit_pop(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = emit_stack_size(e, insn), guest = insn->operand[0].reg;
    if (!size || insn->operand[0].kind != DEC_OPERAND_GPR)
        return false;
    struct asm_rm rm = emit_stack_memory(e, HOST_GUEST_RSP, 0, size, false);
    store_or_load(e, ASM_LOAD, size, is_pinned(guest) ? host_of(guest) : HOST_T1, rm);
    if (!is_pinned(guest))
        asm_store(&e->a, rm_gpr(guest), HOST_T1);
    if (guest != REG_RSP)
        emit_adjust_stack(e, size, (int)size);
    return true;
}

static bool emit_leave(struct emitter *e, const struct interp_insn *in)
{
    unsigned size = emit_stack_size(e, &in->insn);
    if (!size)
        return false;
    struct asm_rm rm = emit_stack_memory(e, HOST_RBP, 0, size, false);
    asm_lea(&e->a, size == 8, HOST_GUEST_RSP, HOST_RBP, DEC_NO_REG, 1, (int)size);
    store_or_load(e, ASM_LOAD, size, HOST_RBP, rm);
    return true;
}

enum { CC_B = 2, CC_AE = 3, CC_NE = 5, CC_BE = 6 };

/* Where the quotient might not fit, the handler runs. DIV: it does where the dividend's upper half
 * is below the divisor. IDIV: where the dividend is one half sign-extended and the divisor is not
 * 0 or -1. */
static bool emit_div(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    unsigned size = insn->operand_size;
    bool memory = insn->modrm < 0xc0, wide = size == 8, sign = insn->op == DEC_OP_IDIV;
    unsigned guest = (insn->modrm & 7) | (insn->rex & DEC_REX_B ? 8 : 0);
    struct asm_rm rm;
    if (size < 4 || (memory && !emit_memory(e, in, size, false, &rm)))
        return false;
    clobber_host_flags(e, live_before(e));
    if (!memory)
        rm = rm_reg(emit_use(e, guest, HOST_T0));
    struct assembler *a = &e->a;
    if (sign) {
        asm_insn(a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, HOST_T1, rm_reg(HOST_RAX));
        asm_insn(a, (struct asm_op){.opcode = 0xc1, .w = wide}, 7, rm_reg(HOST_T1)); /* SAR */
        asm_8(a, 8 * size - 1);
        asm_insn(a, (struct asm_op){.opcode = 0x39, .w = wide}, HOST_RDX, rm_reg(HOST_T1));
        emit_slow_if(e, CC_NE);
        asm_insn(a, (struct asm_op){.opcode = ASM_LOAD, .w = wide}, HOST_T1, rm);
        asm_insn(a, (struct asm_op){.opcode = 0xff, .w = wide}, 0, rm_reg(HOST_T1)); /* INC */
        asm_insn(a, (struct asm_op){.opcode = 0x83, .w = wide}, 7, rm_reg(HOST_T1)); /* CMP */
        asm_8(a, 1);
        emit_slow_if(e, CC_BE);
    } else {
        asm_insn(a, (struct asm_op){.opcode = 0x3b, .w = wide}, HOST_RDX, rm);
        emit_slow_if(e, CC_AE);
    }
    asm_insn(a, op_of(insn), insn->modrm >> 3 & 7, rm);
    after_flags(e, insn);
    return true;
}

/* CMPXCHG8B, CMPXCHG16B */
static bool emit_cmpxchg_pair(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    bool wide = insn->op == DEC_OP_CMPXCHG16B;
    struct asm_rm rm;
    if (!emit_memory(e, in, wide ? 16 : 8, true, &rm))
        return false;
    if (wide)
        emit_check_alignment(e, rm, 16);
    before_flags(e, insn);
    struct asm_op op = {.opcode = 0xc7, .map = DEC_MAP_0F, .w = wide};
    op.lock = insn->prefixes & DEC_PREFIX_LOCK;
    asm_insn(&e->a, op, 1, rm);
    after_flags(e, insn);
    return true;
}

/* With a bit offset in a register and a memory operand they reach beyond it. */
static bool emit_bit_test(struct emitter *e, const struct interp_insn *in)
{
    bool string = in->insn.modrm < 0xc0 && in->insn.operand[1].kind != DEC_OPERAND_IMM;
    return !string && emit_as_is(e, in);
}

bool emit_integer(struct emitter *e, const struct interp_insn *in)
{
    const struct dec_insn *insn = &in->insn;
    switch (insn->op) {
    case DEC_OP_ADD:
    case DEC_OP_OR:
    case DEC_OP_ADC:
    case DEC_OP_SBB:
    case DEC_OP_AND:
    case DEC_OP_SUB:
    case DEC_OP_XOR:
    case DEC_OP_CMP:
    case DEC_OP_TEST:
        return insn->has_modrm ? emit_as_is(e, in) : emit_accumulator(e, insn);
    case DEC_OP_MOVZX:
    case DEC_OP_MOVSX:
    case DEC_OP_MOVSXD:
    case DEC_OP_MOVNTI:
    case DEC_OP_MOVBE:
    case DEC_OP_CMOVCC:
    case DEC_OP_SETCC:
    case DEC_OP_NOT:
    case DEC_OP_NEG:
    case DEC_OP_MUL:
    case DEC_OP_IMUL:
    case DEC_OP_SHL:
    case DEC_OP_SHR:
    case DEC_OP_SAR:
    case DEC_OP_ROL:
    case DEC_OP_ROR:
    case DEC_OP_RCL:
    case DEC_OP_RCR:
    case DEC_OP_SHLD:
    case DEC_OP_SHRD:
    case DEC_OP_XADD:
    case DEC_OP_CMPXCHG:
    case DEC_OP_BSF:
    case DEC_OP_BSR:
    case DEC_OP_TZCNT:
    case DEC_OP_LZCNT:
    case DEC_OP_POPCNT:
    case DEC_OP_ADCX:
    case DEC_OP_ADOX:
    case DEC_OP_CRC32:
        return emit_as_is(e, in);
    case DEC_OP_ANDN:
    case DEC_OP_BEXTR:
    case DEC_OP_BLSI:
    case DEC_OP_BLSMSK:
    case DEC_OP_BLSR:
    case DEC_OP_BZHI:
    case DEC_OP_MULX:
    case DEC_OP_PDEP:
    case DEC_OP_PEXT:
    case DEC_OP_RORX:
    case DEC_OP_SARX:
    case DEC_OP_SHLX:
    case DEC_OP_SHRX:
        return emit_vex_integer(e, in);
    case DEC_OP_CMPXCHG8B:
    case DEC_OP_CMPXCHG16B:
        return emit_cmpxchg_pair(e, in);
    case DEC_OP_BT:
    case DEC_OP_BTS:
    case DEC_OP_BTR:
    case DEC_OP_BTC:
        return emit_bit_test(e, in);
    case DEC_OP_MOV:
        return emit_mov(e, in);
    case DEC_OP_LEA:
        return emit_lea(e, in);
    case DEC_OP_XCHG:
        return emit_xchg(e, in);
    case DEC_OP_INC:
    case DEC_OP_DEC:
        return emit_inc_dec(e, in);
    case DEC_OP_BSWAP:
        return insn->operand_size >= 4 &&
               emit_opcode_register(e, insn, op_of(insn), 0, insn->operand[0].reg);
    case DEC_OP_CBW:
    case DEC_OP_CWD:
    case DEC_OP_CLC:
    case DEC_OP_STC:
    case DEC_OP_CMC:
    case DEC_OP_LAHF:
    case DEC_OP_SAHF:
        return emit_accumulator(e, insn);
    case DEC_OP_PUSH:
        return emit_push(e, in);
    case DEC_OP_POP:
        return emit_pop(e, in);
    case DEC_OP_LEAVE:
        return emit_leave(e, in);
    case DEC_OP_DIV:
    case DEC_OP_IDIV:
        return emit_div(e, in);
    case DEC_OP_NOP:
    case DEC_OP_PAUSE:
    case DEC_OP_ENDBR32:
    case DEC_OP_ENDBR64:
    case DEC_OP_PREFETCHT0:
    case DEC_OP_PREFETCHT1:
    case DEC_OP_PREFETCHT2:
    case DEC_OP_PREFETCHNTA:
    case DEC_OP_PREFETCHW:
        return true;
    default:
        return false;
    }
}
