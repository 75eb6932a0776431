#include "program.h"

#include "base/bits.h"
#include "cpu/fpu.h"
#include "random_code.h"

static void append(struct program *program, const void *code, unsigned size)
{
    memcpy(program->code + program->end, code, size);
    program->end += size;
}

static void append_mov(struct program *program, unsigned reg, uint64_t value)
{
    const uint8_t opcode[] = {0x48 | reg >> 3, 0xb8 | (reg & 7)};
    bool wide = program->mode == DEC_MODE_64;
    append(program, opcode + !wide, wide ? 2 : 1);
    append(program, &value, wide ? 8 : 4);
}

/* What would end most programs: areas and control words with reserved bits, exceptions unmasked. */
static bool loads_state(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_LDMXCSR:
    case DEC_OP_VLDMXCSR:
    case DEC_OP_FXRSTOR:
    case DEC_OP_XRSTOR:
    case DEC_OP_XRSTORS:
    case DEC_OP_FLDCW:
    case DEC_OP_FLDENV:
    case DEC_OP_FRSTOR:
        return true;
    default:
        return false;
    }
}

static bool is_shown(const struct program *program, const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_FNSTENV:
    case DEC_OP_FNSAVE:
    case DEC_OP_FXSAVE:
        return program->stores_pointers;
    case DEC_OP_XSAVE:
    case DEC_OP_XSAVEC:
    case DEC_OP_XSAVEOPT:
        return program->stores_pointers && program->stores_components;
    default:
        return true;
    }
}

static bool is_wanted(const struct program *program, const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    if (info->op_class != DEC_CLASS_INTEGER && info->op_class != DEC_CLASS_SYSTEM)
        return program->model->features[dec_insn_feature(insn)] && !loads_state(insn) &&
               is_shown(program, insn);
    if (insn->op == DEC_OP_POP && insn->operand[0].kind == DEC_OPERAND_SEG)
        return false;
    if (info->op_class != DEC_CLASS_INTEGER || info->attributes & (DEC_ATTR_END | DEC_ATTR_STRING))
        return false;
    return insn->op != DEC_OP_RDRAND && insn->op != DEC_OP_RDSEED && insn->op != DEC_OP_ENTER &&
           insn->op != DEC_OP_XLAT;
}

/* What leaves flags undefined that processors may leave alone: then nobody may look at them. */
static bool leaves_flags_undefined(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_BT:
    case DEC_OP_BTS:
    case DEC_OP_BTR:
    case DEC_OP_BTC:
    case DEC_OP_BSF:
    case DEC_OP_BSR:
    case DEC_OP_TZCNT:
    case DEC_OP_LZCNT:
    case DEC_OP_SHL:
    case DEC_OP_SHR:
    case DEC_OP_SAR:
    case DEC_OP_SHLD:
    case DEC_OP_SHRD:
    case DEC_OP_ROL:
    case DEC_OP_ROR:
    case DEC_OP_RCL:
    case DEC_OP_RCR:
    case DEC_OP_MUL:
    case DEC_OP_IMUL:
    case DEC_OP_DIV:
    case DEC_OP_IDIV:
    case DEC_OP_BLSI:
    case DEC_OP_BLSR:
    case DEC_OP_BLSMSK:
    case DEC_OP_BEXTR:
    case DEC_OP_BZHI:
    case DEC_OP_ANDN:
        return true;
    default:
        return false;
    }
}

static uint64_t random_address(struct random *random, const struct program *program)
{
    if (random_chance(random, 2))
        return program->data_base + AREA_WRITABLE + random_below(random, AREA_SIZE - AREA_WRITABLE);
    if (random_chance(random, 20)) /* across a border */
        return program->data_base + PAGE_SIZE * (1 + random_below(random, 2)) -
               random_below(random, 16);
    return program->data_base + random_below(random, AREA_WRITABLE - 64);
}

static bool needs_alignment(const struct dec_insn *insn)
{
    const struct dec_info *info = dec_info(insn->op);
    return info->attributes & DEC_ATTR_ALIGNED || info->op_class == DEC_CLASS_STATE;
}

static bool uses(const struct dec_insn *insn, unsigned reg)
{
    return insn->mem.base == reg || insn->mem.index == reg;
}

/* Loads registers, or changes the displacement, so that the operand lies in the data area. */
static bool place_operand(struct random *random, struct program *program, struct dec_insn *insn,
                          uint8_t *code)
{
    struct dec_mem *mem = &insn->mem;
    uint64_t address = random_address(random, program);
    if (needs_alignment(insn) && !random_chance(random, 3))
        address &= ~63ull;
    if (mem->segment == SEG_FS)
        address -= program->fs_base;
    if (mem->segment == SEG_GS)
        address -= program->gs_base;
    if (mem->base == mem->index || mem->vsib ||
        insn->address_size != (program->mode == DEC_MODE_64 ? 8 : 4))
        return false;
    if (mem->index != DEC_NO_REG) {
        unsigned index = random_below(random, 64);
        append_mov(program, mem->index, index);
        address -= index * mem->scale;
    }
    if (mem->base < DEC_BASE_RIP) {
        append_mov(program, mem->base, address - (uint64_t)mem->disp);
        return true;
    }
    unsigned at = insn->length - insn->imm_size - 4;
    if (insn->op == DEC_OP_MOV && !insn->has_modrm) {
        store_le(code + insn->length - insn->address_size, address, insn->address_size);
        return true;
    }
    if (mem->base == DEC_BASE_RIP)
        address -= program->code_base + program->end + insn->length;
    if (mem->segment >= SEG_FS && mem->base != DEC_BASE_RIP)
        return false;
    store_le(code + at, address, 4);
    if (program->mode == DEC_MODE_32)
        return true;
    return (uint64_t)(int64_t)(int32_t)address == address;
}

static bool has_memory(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return true;
    }
    return false;
}

static bool is_bit_test(const struct dec_insn *insn)
{
    return insn->op == DEC_OP_BT || insn->op == DEC_OP_BTS || insn->op == DEC_OP_BTR ||
           insn->op == DEC_OP_BTC;
}

/* The register that addresses memory beside the operand, or DEC_NO_REG. */
static unsigned implicit_base(const struct dec_insn *insn)
{
    switch (insn->op) {
    case DEC_OP_PUSH:
    case DEC_OP_POP:
    case DEC_OP_PUSHA:
    case DEC_OP_POPA:
        return REG_RSP;
    case DEC_OP_LEAVE:
        return REG_RBP;
    case DEC_OP_MASKMOVQ:
    case DEC_OP_MASKMOVDQU:
    case DEC_OP_VMASKMOVDQU:
        return REG_RDI;
    default:
        return DEC_NO_REG;
    }
}

/* Keeps what else the instruction accesses in the data area. */
static bool place_implicit(struct random *random, struct program *program,
                           const struct dec_insn *insn)
{
    unsigned base = implicit_base(insn);
    if (base != DEC_NO_REG && insn->mem.base == DEC_BASE_RIP)
        return false;
    if (base == REG_RDI && insn->mem.segment >= SEG_FS)
        return false;
    if (base != DEC_NO_REG && !uses(insn, base))
        append_mov(program, base, random_address(random, program));
    if (is_bit_test(insn) && has_memory(insn) && insn->operand[1].kind == DEC_OPERAND_GPR) {
        unsigned bit = insn->operand[1].reg;
        if (uses(insn, bit) || insn->mem.base == DEC_BASE_RIP)
            return false;
        append_mov(program, bit, random_below(random, 512));
    }
    return true;
}

/* mov dword [data + 8], value; ldmxcsr or fldcw [data + 8] */
static void append_control_word(struct random *random, struct program *program)
{
    bool x87 = random_chance(random, 50);
    uint32_t value = (uint32_t)random_next(random) & (x87 ? 0x0f00 : 0xe07f);
    value |= x87 ? 0x3f : 0x1f80;
    if (random_chance(random, 5))
        value ^= 1u << random_below(random, 17);
    append(program, "\xc7\x04\x25", 3);
    append(program, &(uint32_t){(uint32_t)program->data_base + 8}, 4);
    append(program, &value, 4);
    append(program, x87 ? "\xd9\x2c\x25" : "\x0f\xae\x14\x25", x87 ? 3 : 4);
    append(program, &(uint32_t){(uint32_t)program->data_base + 8}, 4);
}

static void append_random_insn(struct random *random, struct program *program)
{
    bool vector = program->has_vectors && random_chance(random, 70);
    if (vector && random_chance(random, 3)) {
        append_control_word(random, program);
        return;
    }
    for (;;) {
        uint8_t code[DEC_MAX_LENGTH];
        struct dec_insn insn;
        unsigned end = program->end;
        if (vector)
            generate_vector_code(random, program->mode, code);
        else
            generate_code(random, program->mode, code);
        if (dec_decode(code, sizeof(code), program->mode, &insn) != DEC_OK ||
            !is_wanted(program, &insn))
            continue;
        if (has_memory(&insn) && insn.op != DEC_OP_LEA && insn.op != DEC_OP_NOP &&
            !place_operand(random, program, &insn, code)) {
            program->end = end;
            continue;
        }
        if (!place_implicit(random, program, &insn)) {
            program->end = end;
            continue;
        }
        append(program, code, insn.length);
        if (leaves_flags_undefined(&insn))
            append(program, "\x48\x39\xc1", 3); /* cmp rcx, rax */
        return;
    }
}

/* A store into the immediate or the opcode of an addition that follows, or of an earlier one that a
 * loop comes back to. */
static void append_patch(struct random *random, struct program *program)
{
    static const uint8_t add_imm[] = {0x81, 0xc3, 1, 2, 3, 4}; /* add ebx, imm32 */
    uint8_t store[8] = {0xc6, 0x04, 0x25};                     /* mov byte [disp32], imm8 */
    unsigned distance = random_chance(random, 30) ? random_below(random, 64) : 0;
    unsigned at = 2 + random_below(random, 4);
    store[7] = (uint8_t)random_next(random);
    if (random_chance(random, 30)) { /* xor byte [disp32], 0x28: add ebx, to sub ebx, and back */
        store[0] = 0x80;
        store[1] = 0x34;
        store[7] = 0x28;
        at = 1;
    }
    unsigned end = program->end + sizeof(store);
    if (distance && program->patch_count) { /* one that has been run before */
        end = program->patch[random_below(random, program->patch_count)];
        distance = 0;
    }
    store_le(store + 3, program->code_base + end + distance + at, 4);
    append(program, store, sizeof(store));
    if (end != program->end)
        return;
    if (program->patch_count < ARRAY_SIZE(program->patch))
        program->patch[program->patch_count++] = end + distance;
    for (unsigned i = 0; i < distance; i++)
        append(program, "\x90", 1);
    append(program, add_imm, sizeof(add_imm));
}

/* Loads, stores and additions off two bases by turns: what the translator checks once for all. */
static void append_accesses(struct random *random, struct program *program)
{
    static const uint8_t opcodes[] = {0x8b, 0x8b, 0x8b, 0x03, 0x89, 0x01};
    unsigned count = 2 + random_below(random, 7);
    append_mov(program, REG_RSI, -random_address(random, program));
    append_mov(program, REG_RDI, -random_address(random, program));
    append(program, "\x48\xf7\xde\x48\xf7\xdf", 6); /* neg rsi; neg rdi: not known beforehand */
    for (unsigned i = 0; i < count; i++) {
        uint8_t code[5], *p = code;
        unsigned reg = random_below(random, 4),
                 base = random_chance(random, 50) ? REG_RSI : REG_RDI;
        if (program->has_vectors && random_chance(random, 40)) {
            *p++ = 0x0f; /* MOVUPS */
            *p++ = random_chance(random, 70) ? 0x10 : 0x11;
        } else {
            if (program->mode == DEC_MODE_64 && random_chance(random, 70))
                *p++ = 0x48;
            *p++ = opcodes[random_below(random, ARRAY_SIZE(opcodes))];
        }
        *p++ = (uint8_t)(0x40 | reg << 3 | base); /* [base + disp8] */
        *p++ = (uint8_t)(random_below(random, 96) - 32);
        append(program, code, (unsigned)(p - code));
    }
}

static unsigned mov_size(const struct program *program)
{
    return program->mode == DEC_MODE_64 ? 10 : 5;
}

static void append_branch(struct random *random, struct program *program)
{
    static const uint8_t jcc = 0x0f, jmp = 0xe9;
    uint8_t cond = 0x80 | random_below(random, 16);
    switch (random_below(random, 5)) {
    case 0: /* call, and drop the return address */
        append_mov(program, REG_RSP, random_address(random, program) | 8);
        append(program, "\xe8\0\0\0\0\x58", 6);
        break;
    case 1: /* jmp rax */
        append_mov(program, REG_RAX, program->code_base + program->end + mov_size(program) + 2);
        append(program, "\xff\xe0", 2);
        break;
    case 2: /* push rax; ret */
        append_mov(program, REG_RSP, random_address(random, program) | 8);
        append_mov(program, REG_RAX, program->code_base + program->end + mov_size(program) + 2);
        append(program, "\x50\xc3", 2);
        break;
    default: /* to an instruction before (until a counter in memory is 0) or to the next one */
        if (program->insn_count && random_chance(random, 30)) {
            append(program, "\xff\x0c\x25", 3); /* dec dword [data] */
            append(program, &(uint32_t){(uint32_t)program->data_base}, 4);
            append(program, "\x0f\x8f", 2); /* jg */
            uint32_t to = program->insn[random_below(random, program->insn_count)];
            append(program, &(uint32_t){to - (program->end + 4)}, 4);
            break;
        }
        if (random_chance(random, 70)) {
            append(program, &jcc, 1);
            append(program, &cond, 1);
        } else {
            append(program, &jmp, 1);
        }
        append(program, &(uint32_t){3}, 4);
        append(program, "\x48\x01\xd8", 3); /* add rax, rbx */
        break;
    }
}

void program_generate(struct random *random, struct program *program)
{
    program->insn_count = 0;
    program->patch_count = 0;
    program->patches = random_chance(random, 30);
    program->has_vectors = random_chance(random, 60);
    program->mode = random_chance(random, 70) ? DEC_MODE_64 : DEC_MODE_32;
    program->start = random_below(random, 3) ? PAGE_SIZE - random_below(random, 200)
                                             : random_below(random, PAGE_SIZE);
    program->end = program->start;
    unsigned count = 1 + random_below(random, PROGRAM_INSNS_MAX);
    for (unsigned i = 0; i < count; i++) {
        program->insn[program->insn_count++] = program->end;
        if (random_chance(random, 15))
            append_branch(random, program);
        else if (program->patches && random_chance(random, 5))
            append_patch(random, program);
        else if (random_chance(random, 8))
            append_accesses(random, program);
        else
            append_random_insn(random, program);
    }
    append(program, "\xf4\x9c", 2); /* hlt; pushf: the flags are live */
}

void program_renew_pool(struct pool *pool, uint64_t seed, bool first)
{
    if (first || seed % 1024 == 0)
        pool_fill(pool, &(struct random){(seed / 1024) << 1 | 1});
}

void program_generate_state(struct random *random, const struct program *program, struct pool *pool,
                            struct diff_state *in, uint8_t *data)
{
    uint64_t mask = program->mode == DEC_MODE_64 ? UINT64_MAX : UINT32_MAX;
    for (unsigned i = 0; i < 16; i++)
        in->gpr[i] = generate_value(random) & mask;
    generate_vectors(random, pool, random_chance(random, 30), in);
    if (random_chance(random, 30)) { /* upper halves that are not in use */
        for (unsigned i = 0; i < 16; i++)
            memset(in->vec[i].u8 + 16, 0, 16);
    }
    if (random_chance(random, 85)) {
        in->mxcsr |= MXCSR_MASKS;
        in->fx.fcw |= FSW_EXCEPTIONS;
        fpu_summarise(&in->fx);
    }
    in->gpr[REG_RSP] = random_address(random, program) & ~7ull;
    in->rflags = FLAGS_FIXED | (random_next(random) & FLAGS_STATUS);
    for (unsigned i = 0; i < AREA_SIZE; i += 8)
        store_le(data + i, generate_value(random), 8);
    store_le(data, random_below(random, 50), 4);
}
