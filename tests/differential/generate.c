#include "generate.h"

#include "base/bits.h"

uint64_t generate_value(struct random *random)
{
    static const uint64_t borders[] = {0,         1,         ~0ull,      0x7f,
                                       0x80,      0xff,      0x7fff,     0x8000,
                                       0xffff,    INT32_MAX, BIT(31),    UINT32_MAX,
                                       INT64_MAX, BIT(63),   0x80808080, 0x8080808080808080ull};
    uint64_t value = random_next(random);
    switch (random_below(random, 4)) {
    case 0:
        return borders[random_below(random, ARRAY_SIZE(borders))];
    case 1:
        return value >> random_below(random, 64);
    default:
        return value;
    }
}

static uint8_t random_byte(struct random *random)
{
    return (uint8_t)(random_next(random) >> 56);
}

static unsigned generate_prefixes(struct random *random, enum dec_mode mode, uint8_t *code)
{
    static const uint8_t segments[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned length = 0;
    if (random_chance(random, 20))
        code[length++] = 0x66;
    if (random_chance(random, 6))
        code[length++] = 0x67;
    if (random_chance(random, 15))
        code[length++] = random_chance(random, 50) ? 0xf2 : 0xf3;
    if (random_chance(random, 4))
        code[length++] = segments[random_below(random, ARRAY_SIZE(segments))];
    if (random_chance(random, 6))
        code[length++] = 0xf0;
    if (mode == DEC_MODE_64 && random_chance(random, 50))
        code[length++] = 0x40 | (random_byte(random) & 15);
    return length;
}

/* Three-byte VEX with R, X and B inverted, mostly of the maps and opcodes that work on general
 * registers. */
static void generate_vex(struct random *random, enum dec_mode mode, uint8_t *code)
{
    code[0] = 0xc4;
    code[1] = (code[1] & 0xe0) | (1 + random_below(random, 3));
    if (mode != DEC_MODE_64)
        code[1] |= 0xc0;
    if (random_chance(random, 90)) {
        code[1] |= 2;
        code[2] &= 0xfb; /* VEX.L clear */
        code[3] = 0xf0 | (code[3] & 7);
    }
    if (random_chance(random, 25)) { /* RORX: no VEX.vvvv */
        code[1] |= 3;
        code[2] |= 0x7b;
        code[3] = 0xf0;
    }
}

void generate_code(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH])
{
    /* In the map 0F: what has few opcodes, or needs a prefix, or another value in ModRM.reg. */
    static const uint8_t rare[] = {0x0d, 0x18, 0x1e, 0xae, 0xb8, 0xbc, 0xbd, 0xc7};
    for (unsigned i = 0; i < DEC_MAX_LENGTH; i++)
        code[i] = random_byte(random);
    unsigned kind = random_below(random, 100);
    if (kind < 20) {
        generate_vex(random, mode, code);
        return;
    }
    unsigned length = generate_prefixes(random, mode, code);
    if (kind < 50)
        return;
    if (kind > 90 && random_chance(random, 50))
        code[length++] = 0xf3;
    code[length++] = 0x0f;
    if (kind > 90) {
        code[length] = rare[random_below(random, ARRAY_SIZE(rare))];
    } else if (kind > 80) {
        code[length++] = 0x38;
        code[length] |= 0xf0;
    }
}

/* An address for a datum of size bytes. */
static gva_t generate_target(struct random *random, unsigned size)
{
    unsigned where = random_below(random, 100);
    if (where < 4)
        return AREA_DATA + PAGE_SIZE - 1 - random_below(random, 16);
    if (where < 7)
        return AREA_DATA + AREA_WRITABLE - 1 - random_below(random, 16);
    if (where < 9)
        return AREA_DATA + AREA_WRITABLE + random_below(random, AREA_SIZE - AREA_WRITABLE);
    if (where < 11)
        return AREA_DATA + AREA_SIZE - 1 - random_below(random, 16);
    if (where < 12)
        return AREA_DATA - 1 - random_below(random, 16);
    gva_t va = AREA_DATA + 256 + random_below(random, AREA_WRITABLE - 512);
    return random_chance(random, 50) ? align_down(va, size && is_power_of_two(size) ? size : 16)
                                     : va;
}

static void patch_displacement(struct sample *sample, uint64_t disp, unsigned size)
{
    const struct dec_insn *insn = &sample->insn;
    store_le(sample->code + insn->length - insn->imm_size - size, disp, size);
    dec_decode(sample->code, insn->length, insn->mode, &sample->insn);
}

/* Chooses registers, or else the displacement, so that the memory operand is at offset. */
static void aim_memory(struct random *random, struct sample *sample, uint64_t offset)
{
    const struct dec_mem *mem = &sample->insn.mem;
    uint64_t *gpr = sample->in.gpr, rest = offset - (uint64_t)mem->disp;
    bool has_base = mem->base != DEC_NO_REG, has_index = mem->index != DEC_NO_REG;
    if (mem->base == DEC_BASE_RIP) {
        patch_displacement(sample, offset - (AREA_CODE + sample->insn.length), 4);
    } else if (has_base && has_index && mem->base == mem->index) {
        gpr[mem->base] = rest / (1u + mem->scale);
    } else if (has_base) {
        if (has_index && random_chance(random, 50))
            gpr[mem->index] = random_below(random, 4096) - 2048ull;
        gpr[mem->base] = rest - (has_index ? gpr[mem->index] * mem->scale : 0);
    } else if (has_index) {
        gpr[mem->index] = rest / mem->scale;
    } else {
        unsigned size = sample->insn.address_size;
        patch_displacement(sample, offset, sample->insn.has_modrm && size == 8 ? 4 : size);
    }
}

static bool is_bit_test(unsigned op)
{
    return op == DEC_OP_BT || op == DEC_OP_BTS || op == DEC_OP_BTR || op == DEC_OP_BTC;
}

/* What a bit number in a register adds to the address. */
static uint64_t bit_displacement(const struct sample *sample)
{
    const struct dec_insn *insn = &sample->insn;
    if (!is_bit_test(insn->op) || insn->operand[1].kind != DEC_OPERAND_GPR)
        return 0;
    int64_t bit = sign_extend(sample->in.gpr[insn->operand[1].reg], insn->operand_size);
    return (uint64_t)(bit / (8 * insn->operand_size)) * insn->operand_size;
}

static bool has_memory(const struct dec_insn *insn, unsigned *size)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        *size = insn->operand[i].size;
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return true;
    }
    return false;
}

static bool is_string(unsigned op)
{
    return dec_info(op)->attributes & DEC_ATTR_STRING;
}

/* The host's FS points into its own memory: only operands that a 64-bit register aims are safe. */
static bool segment_is_safe(const struct dec_insn *insn)
{
    if (insn->mode != DEC_MODE_64 || insn->mem.segment != SEG_FS)
        return true;
    bool aimed = (insn->mem.base != DEC_NO_REG && insn->mem.base != DEC_BASE_RIP) ||
                 is_string(insn->op) || insn->op == DEC_OP_XLAT;
    return insn->address_size == 8 && aimed && !is_bit_test(insn->op);
}

static void aim_string(struct random *random, struct sample *sample, uint64_t fs_base)
{
    uint64_t *gpr = sample->in.gpr;
    unsigned size = sample->insn.operand_size;
    gpr[REG_RDI] = generate_target(random, size);
    gpr[REG_RSI] = random_chance(random, 30) ? gpr[REG_RDI] + random_below(random, 64) - 32
                                             : generate_target(random, size);
    gpr[REG_RSI] -= fs_base;
    gpr[REG_RCX] = random_below(random, random_chance(random, 10) ? 5000 : 100);
    if (random_chance(random, 10))
        gpr[REG_RCX] = 0;
    if (random_chance(random, 20))
        gpr[REG_RCX] |= random_next(random) << 32;
}

static uint8_t *data_at(uint8_t *data, gva_t va)
{
    static uint8_t elsewhere[64];
    return va >= AREA_DATA && va <= AREA_DATA + AREA_SIZE - 64 ? data + (va - AREA_DATA)
                                                               : elsewhere;
}

/* What makes the instruction do what it seldom does with random values. */
static void generate_special(struct random *random, struct sample *sample, uint8_t *data,
                             gva_t target)
{
    uint8_t *operand = data_at(data, target);
    uint8_t *top_of_stack = data_at(data, sample->in.gpr[REG_RSP]);
    uint64_t *gpr = sample->in.gpr;
    const struct dec_insn *insn = &sample->insn;
    bool likely = random_chance(random, 60);
    switch (insn->op) {
    case DEC_OP_DIV:
        if (likely)
            gpr[REG_RDX] = random_below(random, 4);
        break;
    case DEC_OP_IDIV:
        if (likely)
            gpr[REG_RDX] = gpr[REG_RAX] & BIT(8 * insn->operand_size - 1) ? ~0ull : 0;
        break;
    case DEC_OP_CMPXCHG:
        if (likely)
            gpr[REG_RAX] = insn->operand[0].kind == DEC_OPERAND_MEM ? load_le(operand, 8)
                                                                    : gpr[insn->operand[0].reg];
        break;
    case DEC_OP_CMPXCHG8B:
        if (likely) {
            gpr[REG_RAX] = load_le(operand, 4);
            gpr[REG_RDX] = load_le(operand + 4, 4);
        }
        break;
    case DEC_OP_CMPXCHG16B:
        if (likely) {
            gpr[REG_RAX] = load_le(operand, 8);
            gpr[REG_RDX] = load_le(operand + 8, 8);
        }
        break;
    case DEC_OP_POPF: { /* nothing that would stay and reach our own code */
        uint64_t flags = FLAGS_STATUS | FLAG_DF | FLAG_IF | FLAG_IOPL | FLAG_VIF;
        gpr[REG_RSP] = AREA_DATA + PAGE_SIZE + (gpr[REG_RSP] & 0x7f8);
        top_of_stack = data_at(data, gpr[REG_RSP]);
        store_le(top_of_stack, random_next(random) & flags, 8);
        break;
    }
    case DEC_OP_RET:
        if (likely)
            store_le(top_of_stack, random_next(random) >> 17, 8);
        break;
    case DEC_OP_ENTER:
    case DEC_OP_LEAVE:
        gpr[REG_RBP] = generate_target(random, 8);
        break;
    default:
        break;
    }
}

bool generate_state(struct random *random, struct sample *sample, uint8_t *data, uint64_t fs_base)
{
    const struct dec_insn *insn = &sample->insn;
    struct diff_state *in = &sample->in;
    uint64_t flags = FLAGS_STATUS | (random_chance(random, 20) ? FLAG_DF : 0);
    in->rip = AREA_CODE;
    in->rflags = FLAGS_FIXED | FLAG_IF | (random_next(random) & flags);
    in->has_vectors = false;
    for (unsigned i = 0; i < 16; i++)
        in->gpr[i] = generate_value(random);
    in->gpr[REG_RSP] = align_down(generate_target(random, 8), 8);
    if (!segment_is_safe(insn))
        return false;

    uint64_t base = insn->mode == DEC_MODE_64 && insn->mem.segment == SEG_FS ? fs_base : 0;
    unsigned size = 0;
    bool memory = has_memory(insn, &size);
    gva_t target = generate_target(random, 8);
    if (is_string(insn->op)) {
        aim_string(random, sample, base);
    } else if (insn->op == DEC_OP_XLAT) {
        in->gpr[REG_RBX] = target - (uint8_t)in->gpr[REG_RAX] - base;
    } else if (memory) {
        target = generate_target(random, size);
        if (insn->op == DEC_OP_CMPXCHG16B && random_chance(random, 80))
            target = align_down(target, 16);
        if (base || random_chance(random, 97))
            aim_memory(random, sample, target - base - bit_displacement(sample));
        if (random_chance(random, 30))
            store_le(data_at(data, target), generate_value(random), 8);
    }
    if (!base || !memory) /* an address register may change */
        generate_special(random, sample, data, target);
    for (unsigned i = 0; i < 16 && insn->mode != DEC_MODE_64; i++)
        in->gpr[i] = i < 8 ? (uint32_t)in->gpr[i] : 0;
    return true;
}
