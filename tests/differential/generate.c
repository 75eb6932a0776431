#include "generate.h"

#include "base/bits.h"
#include "cpu/fpu.h"
#include "native.h"
#include "selectors.h"

/* --- Values. */

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

static uint64_t generate_float(struct random *random)
{
    static const uint64_t special[] = {
        0,
        0x8000000000000000, /* -0 */
        0x3ff0000000000000, /* 1 */
        0x3f8000003f800000, /* 1, 1 */
        0x0000000000000001, /* denormals */
        0x000fffffffffffff,
        0x0000000100400000,
        0x7ff0000000000000, /* infinity */
        0x7f800000ff800000,
        0x7ff8000000000001, /* QNaN, SNaN */
        0x7ff0000000000001,
        0x7fc000017f800001,
        0x7fefffffffffffff, /* largest */
        0x7f7fffff00800000, /* largest, smallest normal */
        0x0010000000000000,
        0x41dfffffffc00000, /* 2^31 - 1 */
        0x43e0000000000000, /* 2^63 */
        0x4f0000004effffff, /* 2^31 */
        0xffffffffffffffff,
    };
    uint64_t bits = random_next(random);
    uint64_t value = special[random_below(random, ARRAY_SIZE(special))];
    switch (random_below(random, 5)) {
    case 0:
        return value;
    case 1:
        return value ^ (bits & 0xff000000ff);
    case 2: /* moderate numbers */
        return (bits & 0x801fffff801fffff) | 0x3fe000003f800000;
    case 3: /* near the borders of the exponents */
        return (bits & 0x807fffff807fffff) | (bits & 1 ? 0x0000000000800000 : 0x7f0000007e800000);
    default:
        return bits;
    }
}

static void generate_st(struct random *random, uint8_t st[16])
{
    static const uint16_t exponents[] = {0,      1,      0x3ffe, 0x3fff, 0x4000,
                                         0x403d, 0x403e, 0x7ffe, 0x7fff};
    uint64_t bits = random_next(random), significand = random_next(random);
    uint16_t exponent = exponents[random_below(random, ARRAY_SIZE(exponents))];
    if (bits & 0x100)
        exponent = (uint16_t)(0x3fe0 + (bits >> 16) % 64);
    if (bits & 0x600)
        significand |= BIT(63);
    if ((bits & 0x3000) == 0x3000)
        significand &= BIT(63) | BIT(62);
    memset(st, 0, 16);
    store_le(st, significand, 8);
    store_le(st + 8, exponent | (bits & 0x8000), 2);
}

void pool_fill(struct pool *pool, struct random *random)
{
    for (unsigned i = 0; i < ARRAY_SIZE(pool->integers); i++) {
        pool->integers[i] = generate_value(random);
        pool->floats[i] = generate_float(random);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pool->st); i++)
        generate_st(random, pool->st[i]);
}

void pool_fill_memory(const struct pool *pool, struct random *random, uint8_t *data)
{
    for (unsigned at = 0; at < AREA_SIZE; at += 8 * POOL_RUN) {
        unsigned from = random_below(random, POOL_SIZE);
        memcpy(data + at, random_chance(random, 50) ? &pool->integers[from] : &pool->floats[from],
               8 * POOL_RUN);
    }
}

static void generate_x87(struct random *random, const struct pool *pool, struct fx_image *fx)
{
    uint64_t bits = random_next(random);
    memcpy(fx->st, pool->st[random_below(random, POOL_SIZE / 8)], sizeof(fx->st));
    fpu_set_fcw(fx, (uint16_t)(bits & (bits & BIT(50) ? 0x1f3f : 0x1f00)));
    if (!(bits & BIT(50)))
        fx->fcw |= 0x3f;
    fx->fsw = (uint16_t)(bits >> 16 & 0x7f7f);
    if (!random_chance(random, 10)) /* else perhaps an exception is pending */
        fx->fsw &= (uint16_t)(~FSW_EXCEPTIONS | fx->fcw);
    fpu_summarise(fx);
    fx->ftw = bits & BIT(40) ? 0xff : (uint8_t)(bits >> 32);
    fx->reserved = 0;
    fx->fop = (uint16_t)(bits >> 53);
    fx->fip = (uint32_t)random_next(random);
    fx->fdp = (uint32_t)(random_next(random) >> 16);
}

void generate_vectors(struct random *random, const struct pool *pool, bool integers,
                      struct diff_state *in)
{
    unsigned from = random_below(random, 2 * POOL_SIZE);
    memcpy(in->vec, (const uint8_t *)(integers ? pool->integers : pool->floats) + 4 * from,
           sizeof(in->vec));
    uint64_t bits = random_next(random);
    in->mxcsr = MXCSR_DEFAULT | (bits & 0xe07f); /* rounding, FTZ, DAZ */
    if (bits & BIT(32))
        in->mxcsr &= ~(uint32_t)(bits >> 40 & 0x1f80);
    generate_x87(random, pool, &in->fx);
}

/* --- Addresses. */

#define NEAR 16 /* bytes around a border */

/* An address where nothing is mapped, whatever size it is cut to. */
static gva_t generate_wild(struct random *random)
{
    static const uint64_t upper[] = {0,       0,      BIT(47) + BIT(20), ~(BIT(47) - 1) + BIT(20),
                                     BIT(63), BIT(32)};
    uint64_t va = random_below(random, PAGE_SIZE);
    if (random_chance(random, 30))
        return -va;
    return va + upper[random_below(random, ARRAY_SIZE(upper))];
}

gva_t generate_target(struct random *random, unsigned size, unsigned alignment)
{
    unsigned where = random_below(random, 100);
    unsigned near = random_below(random, size > NEAR ? size : NEAR);
    gva_t va = AREA_DATA + 256 + random_below(random, AREA_WRITABLE - 512);
    if (where < 5)
        va = AREA_DATA + PAGE_SIZE - 1 - near;
    else if (where < 9)
        va = AREA_DATA + AREA_WRITABLE - 1 - near;
    else if (where < 11)
        va = AREA_DATA + AREA_WRITABLE + random_below(random, AREA_SIZE - AREA_WRITABLE);
    else if (where < 14)
        va = AREA_DATA + AREA_SIZE - 1 - near;
    else if (where < 15)
        va = AREA_DATA - 1 - near;
    else if (where < 17)
        va = generate_wild(random);
    return random_chance(random, alignment > 8 ? 80 : 50) ? align_down(va, alignment) : va;
}

gva_t generate_segment_base(const struct sample *sample, const struct diff_state *in, unsigned seg)
{
    if (seg == SEG_FS)
        return in->fs_base;
    if (seg == SEG_GS)
        return in->gs_base;
    return sample->layout == LAYOUT_WINDOW && seg != SEG_CS ? AREA_DATA : 0;
}

/* In 64-bit mode canonical, else 32 bits wide. FS, which expands down there, mostly begins so that
 * its limit is within the area. */
static void generate_bases(struct random *random, enum dec_mode mode, struct diff_state *in)
{
    static const uint64_t bases[] = {0, AREA_DATA, AREA_DATA - PAGE_SIZE, 0xfffff000, 0xffff8000};
    in->fs_base = bases[random_below(random, ARRAY_SIZE(bases))];
    in->gs_base = bases[random_below(random, ARRAY_SIZE(bases))];
    if (mode == DEC_MODE_64 && random_chance(random, 20))
        in->fs_base = ~0xfffull << random_below(random, 35);
}

static void patch_displacement(struct sample *sample, uint64_t disp, unsigned size)
{
    const struct dec_insn *insn = &sample->insn;
    store_le(sample->code + insn->length - insn->imm_size - size, disp, size);
    dec_decode(sample->code, insn->length, (enum dec_mode)insn->mode, &sample->insn);
}

static const struct dec_operand *memory_operand(const struct dec_insn *insn)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (insn->operand[i].kind == DEC_OPERAND_MEM)
            return &insn->operand[i];
    }
    return NULL;
}

void generate_displacement(struct random *random, struct sample *sample)
{
    const struct dec_insn *insn = &sample->insn;
    const struct dec_mem *mem = &insn->mem;
    const struct dec_operand *operand = memory_operand(insn);
    if (!operand)
        return;
    gva_t va = generate_target(random, operand->size, 8);
    if (sample->layout == LAYOUT_WINDOW)
        va -= AREA_DATA;
    if (mem->base == DEC_BASE_RIP)
        patch_displacement(sample, va - (AREA_CODE + insn->length), 4);
    else if (mem->base == DEC_NO_REG && mem->index == DEC_NO_REG)
        patch_displacement(sample, va,
                           insn->has_modrm && insn->address_size == 8 ? 4 : insn->address_size);
}

/* Chooses registers so that the memory operand is at offset. */
static void aim_memory(struct random *random, const struct dec_insn *insn, struct diff_state *in,
                       uint64_t offset)
{
    const struct dec_mem *mem = &insn->mem;
    uint64_t *gpr = in->gpr, rest = offset - (uint64_t)mem->disp;
    bool has_base = mem->base < DEC_BASE_RIP, has_index = mem->index != DEC_NO_REG && !mem->vsib;
    if (has_base && has_index && mem->base == mem->index) {
        gpr[mem->base] = rest / (1u + mem->scale);
    } else if (has_base) {
        if (has_index && random_chance(random, 50))
            gpr[mem->index] = random_below(random, 4096) - 2048ull;
        gpr[mem->base] = rest - (has_index ? gpr[mem->index] * mem->scale : 0);
    } else if (has_index) {
        gpr[mem->index] = rest / mem->scale;
    }
}

/* Indices that stay near the base. */
static void aim_vector(struct random *random, const struct dec_insn *insn, struct diff_state *in)
{
    union vec *index = &in->vec[insn->mem.index];
    bool wide = insn->op == DEC_OP_VPGATHERQD || insn->op == DEC_OP_VPGATHERQQ ||
                insn->op == DEC_OP_VGATHERQPS || insn->op == DEC_OP_VGATHERQPD;
    unsigned reach = random_chance(random, 20) ? 4096 : 64;
    for (unsigned i = 0; i < 8; i++) {
        int64_t n = (int64_t)random_below(random, reach) - reach / 2;
        if (wide)
            index->u64[i & 3] = (uint64_t)n;
        else
            index->u32[i] = (uint32_t)n;
    }
}

static bool is_bit_test(unsigned op)
{
    return op == DEC_OP_BT || op == DEC_OP_BTS || op == DEC_OP_BTR || op == DEC_OP_BTC;
}

/* What a bit number in a register adds to the address. */
static uint64_t bit_displacement(const struct dec_insn *insn, const struct diff_state *in)
{
    if (!is_bit_test(insn->op) || insn->operand[1].kind != DEC_OPERAND_GPR)
        return 0;
    int64_t bit = sign_extend(in->gpr[insn->operand[1].reg], insn->operand_size);
    return (uint64_t)(bit >> (insn->operand_size == 8   ? 6
                              : insn->operand_size == 4 ? 5
                                                        : 4)) *
           insn->operand_size;
}

static bool is_string(unsigned op)
{
    return dec_info(op)->attributes & DEC_ATTR_STRING;
}

static void aim_string(struct random *random, const struct sample *sample, struct diff_state *in)
{
    uint64_t *gpr = in->gpr;
    unsigned size = sample->insn.operand_size;
    gpr[REG_RDI] = generate_target(random, size, size);
    gpr[REG_RSI] = random_chance(random, 30) ? gpr[REG_RDI] + random_below(random, 64) - 32
                                             : generate_target(random, size, size);
    gpr[REG_RDI] -= generate_segment_base(sample, in, SEG_ES);
    gpr[REG_RSI] -= generate_segment_base(sample, in, sample->insn.mem.segment);
    gpr[REG_RCX] = random_below(random, random_chance(random, 5) ? 5000 : 60);
    if (random_chance(random, 10))
        gpr[REG_RCX] = 0;
    if (random_chance(random, 20))
        gpr[REG_RCX] |= random_next(random) << 32;
}

/* A word of the stack as SS has it. */
static uint64_t generate_stack_pointer(struct random *random, const struct sample *sample)
{
    gva_t va = generate_target(random, 8, 8);
    if (random_chance(random, 40))
        va = align_down(va, 8);
    if (sample->layout == LAYOUT_WINDOW)
        return NATIVE_STACK16_UPPER | ((va - AREA_DATA) & 0xffff);
    return va;
}

gva_t generate_stack_address(const struct sample *sample, const struct diff_state *in)
{
    return sample->layout == LAYOUT_WINDOW ? AREA_DATA + (uint16_t)in->gpr[REG_RSP]
                                           : in->gpr[REG_RSP];
}

static uint8_t *data_at(uint8_t *data, gva_t va)
{
    static uint8_t elsewhere[XSTATE_MAX_SIZE];
    return va >= AREA_DATA && va <= AREA_DATA + AREA_SIZE - sizeof(elsewhere)
               ? data + (va - AREA_DATA)
               : elsewhere;
}

/* --- What seldom happens with random values. */

/* An area that FXRSTOR and XRSTOR take in most respects. */
static void make_save_area(struct random *random, uint8_t *area)
{
    uint64_t bits = random_next(random), components = bits >> 8 & XSTATE_ALL;
    uint8_t *header = area + XSTATE_HEADER_OFFSET;
    store_le(area + 24, bits >> 32 & (bits & 7 ? 0xffff : 0x1ffff), 4);
    store_le(area + 8, (uint32_t)random_next(random), 8);
    store_le(area + 16, (uint32_t)random_next(random), 8);
    memset(header, 0, XSTATE_HEADER_SIZE);
    if (bits & BIT(12)) {
        store_le(header + 8, components | XCOMP_COMPACTED, 8);
        components &= bits >> 16;
    }
    store_le(header, components, 8);
    if ((bits & 0xf0) == 0x10) /* a reserved bit, not one of a component that the host may have */
        header[(bits >> 20 & 63) | 3] ^= 1 << (bits >> 28 & 7);
}

static void generate_special(struct random *random, const struct sample *sample,
                             struct diff_state *in, uint8_t *data, gva_t target)
{
    uint8_t *operand = data_at(data, target);
    gva_t stack = generate_stack_address(sample, in);
    uint64_t *gpr = in->gpr;
    const struct dec_insn *insn = &sample->insn;
    const struct dec_operand *first = &insn->operand[0];
    switch (insn->op) {
    case DEC_OP_DIV:
        gpr[REG_RDX] = random_below(random, 4);
        break;
    case DEC_OP_IDIV:
        gpr[REG_RDX] = gpr[REG_RAX] & BIT(8 * insn->operand_size - 1) ? ~0ull : 0;
        break;
    case DEC_OP_CMPXCHG:
        gpr[REG_RAX] = first->kind == DEC_OPERAND_MEM ? load_le(operand, 8) : gpr[first->reg];
        break;
    case DEC_OP_CMPXCHG8B:
    case DEC_OP_CMPXCHG16B:
        gpr[REG_RAX] = load_le(operand, insn->op == DEC_OP_CMPXCHG8B ? 4 : 8);
        gpr[REG_RDX] = load_le(operand + (insn->op == DEC_OP_CMPXCHG8B ? 4 : 8),
                               insn->op == DEC_OP_CMPXCHG8B ? 4 : 8);
        break;
    case DEC_OP_RET:
        store_le(data_at(data, stack), random_next(random) >> 17, 8);
        break;
    case DEC_OP_ENTER:
    case DEC_OP_LEAVE:
        gpr[REG_RBP] = generate_target(random, 8, 8) - generate_segment_base(sample, in, SEG_SS);
        break;
    case DEC_OP_MASKMOVQ:
    case DEC_OP_MASKMOVDQU:
    case DEC_OP_VMASKMOVDQU:
        gpr[REG_RDI] =
            generate_target(random, 16, 1) - generate_segment_base(sample, in, insn->mem.segment);
        break;
    case DEC_OP_LDMXCSR:
    case DEC_OP_VLDMXCSR:
        store_le(operand, random_next(random) & 0xffff, 4);
        break;
    case DEC_OP_FXRSTOR:
    case DEC_OP_XRSTOR:
        make_save_area(random, operand);
        break;
    case DEC_OP_WRFSBASE:
    case DEC_OP_WRGSBASE:
        gpr[first->reg] = (uint64_t)((int64_t)gpr[first->reg] >> 17);
        break;
    case DEC_OP_XGETBV:
    case DEC_OP_CPUID:
        gpr[REG_RCX] = random_below(random, 3);
        gpr[REG_RAX] = (gpr[REG_RAX] & BIT(31)) + random_below(random, 32);
        break;
    default:
        break;
    }
}

/* What must be, lest the host's process itself be at stake. */
static void generate_safe(struct random *random, const struct sample *sample, struct diff_state *in,
                          uint8_t *data)
{
    switch (sample->insn.op) {
    case DEC_OP_POPF: { /* nothing that would stay and reach our own code: no trap flag */
        uint64_t flags =
            FLAGS_STATUS | FLAG_DF | FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_VIF | FLAG_ID;
        gva_t va = AREA_DATA + PAGE_SIZE + random_below(random, 256) * 8;
        bool window = sample->layout == LAYOUT_WINDOW;
        in->gpr[REG_RSP] = window ? NATIVE_STACK16_UPPER | (va - AREA_DATA) : va;
        store_le(data_at(data, va), random_next(random) & flags, 8);
        break;
    }
    case DEC_OP_XSAVE:
    case DEC_OP_XSAVEC:
    case DEC_OP_XSAVEOPT:
    case DEC_OP_XRSTOR: /* the components that the guest has, too */
        in->gpr[REG_RAX] &= XSTATE_ALL;
        in->gpr[REG_RDX] = 0;
        break;
    default:
        break;
    }
}

static unsigned wanted_alignment(const struct dec_insn *insn, unsigned size)
{
    switch (insn->op) {
    case DEC_OP_FXSAVE:
    case DEC_OP_FXRSTOR:
        return 16;
    case DEC_OP_XSAVE:
    case DEC_OP_XSAVEC:
    case DEC_OP_XSAVEOPT:
    case DEC_OP_XRSTOR:
        return 64;
    default:
        return size && is_power_of_two(size) && size <= 32 ? size : 16;
    }
}

static uint64_t generate_flags(struct random *random)
{
    uint64_t bits = random_next(random), flags = FLAGS_FIXED | FLAG_IF | (bits & FLAGS_STATUS);
    unsigned rare = random_below(random, 100);
    if (bits & BIT(32) && bits & BIT(33))
        flags |= FLAG_DF;
    if (rare < 6)
        flags |= FLAG_AC;
    if (rare > 96)
        flags |= FLAG_NT;
    if (rare > 93)
        flags |= FLAG_ID;
    return flags;
}

void generate_state(struct random *random, const struct pool *pool, const struct sample *sample,
                    struct diff_state *in, uint8_t *data)
{
    const struct dec_insn *insn = &sample->insn;
    in->rip = AREA_CODE;
    in->rflags = generate_flags(random);
    in->has_vectors = sample->has_vectors;
    if (in->has_vectors)
        generate_vectors(random, pool, random_chance(random, 30), in);
    memcpy(in->gpr, &pool->integers[random_below(random, POOL_SIZE)], sizeof(in->gpr));
    generate_bases(random, (enum dec_mode)insn->mode, in);
    in->gpr[REG_RSP] = generate_stack_pointer(random, sample);

    const struct dec_operand *operand = memory_operand(insn);
    gva_t base = generate_segment_base(sample, in, insn->mem.segment);
    unsigned size = operand ? operand->size : 8;
    gva_t target = generate_target(random, size, wanted_alignment(insn, size));
    if (is_string(insn->op)) {
        aim_string(random, sample, in);
    } else if (insn->op == DEC_OP_XLAT) {
        in->gpr[REG_RBX] = target - (uint8_t)in->gpr[REG_RAX] - base;
    } else if (operand) {
        if (insn->mem.vsib)
            aim_vector(random, insn, in);
        if (random_chance(random, 30))
            store_le(data_at(data, target), generate_value(random), 8);
    }
    /* The header of XRSTOR must not ask for components that the host alone has. */
    if (insn->op == DEC_OP_XRSTOR || random_chance(random, 60))
        generate_special(random, sample, in, data, target);
    generate_safe(random, sample, in, data);
    uint64_t offset = target - base - bit_displacement(insn, in);
    if (operand)
        aim_memory(random, insn, in, offset);
    for (unsigned i = 0; i < 16 && insn->mode != DEC_MODE_64; i++)
        in->gpr[i] = i < 8 ? (uint32_t)in->gpr[i] : 0;
    if (sample->layout == LAYOUT_WINDOW)
        in->gpr[REG_RSP] = NATIVE_STACK16_UPPER | (uint16_t)in->gpr[REG_RSP];
    if (reads_selector(insn))
        generate_selectors(random, sample, in, data);
}
