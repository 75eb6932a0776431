#include "random_code.h"

#include "base/bits.h"
#include "cpu/msr.h"

uint64_t random_address(struct random *random)
{
    static const uint64_t places[] = {
        AT_IVT,     AT_GDT,     AT_IDT,     AT_LDT,         AT_TSS,         AT_TSS2,
        AT_CODE,    AT_DATA,    AT_STACK,   AT_STACK_END,   0x9fc00,        0xa0000,
        0xe0000,    0x100000,   GUEST_RAM,  0xfec00000,     0xfed00000,     0xfee00000,
        0xff000000, 0xfffff000, 1ull << 32, 0x7ffffffff000, 0x800000000000, 0xffff800000000000,
        ~0ull,      AT_DATA,    AT_DATA,    AT_STACK,       AT_STACK,
    };
    uint64_t place = places[random_below(random, ARRAY_SIZE(places))];
    if (random_chance(random, 15))
        place = AT_TABLES + random_below(random, AT_TABLES_END - AT_TABLES);
    switch (random_below(random, 4)) {
    case 0:
        return place;
    case 1:
        return place + random_below(random, PAGE_SIZE);
    case 2:
        return place + PAGE_SIZE - random_below(random, 33);
    default:
        return place - random_below(random, 33);
    }
}

uint64_t random_value(struct random *random)
{
    static const uint32_t others[] = {
        MSR_APIC_BASE,
        MSR_SYSENTER_CS,
        MSR_TSC_DEADLINE,
        MSR_X2APIC,
        MSR_EFER,
        MSR_FS_BASE,
        0xc0000081,
        0xc0000082,
        0x10,
        0x277,
        0x2ff,
        0x200,
        0x3f8,
        0x20,
        0xa1,
        0x40,
        0x43,
        0x61,
        0x70,
        0x71,
        0x92,
        0x600,
        0xb2,
        0xfffe,
        0x80000011,
        0x80050033,
        0x1,
        0x620,
        0xb0,
        0x40600,
    };
    uint64_t value = random_next(random);
    switch (random_below(random, 10)) {
    case 0 ... 3:
        return random_address(random);
    case 4:
        return random_below(random, 64) << 3 | (random_next(random) >> 60 & 7);
    case 5:
        return others[random_below(random, ARRAY_SIZE(others))];
    case 6:
        return value >> random_below(random, 64);
    case 7:
        return -(value >> random_below(random, 64));
    case 8:
        return BIT(random_below(random, 64)) - random_below(random, 2);
    default:
        return value;
    }
}

/* What acts on more than registers and memory, and what repeats: the rest of the instruction is
 * random. */
static const struct opcode {
    uint8_t length;
    uint8_t bytes[4];
} opcodes[] = {
    /* 0F 00, 0F 01; control and debug registers; system calls */
    {2, {0x0f, 0x00}},
    {2, {0x0f, 0x00}},
    {2, {0x0f, 0x01}},
    {2, {0x0f, 0x01}},
    {2, {0x0f, 0x01}},
    {3, {0x0f, 0x01, 0xc8}},
    {3, {0x0f, 0x01, 0xc9}},
    {2, {0x0f, 0x20}},
    {2, {0x0f, 0x21}},
    {2, {0x0f, 0x22}},
    {2, {0x0f, 0x22}},
    {2, {0x0f, 0x23}},
    {2, {0x0f, 0x05}},
    {2, {0x0f, 0x06}},
    {2, {0x0f, 0x07}},
    {3, {0x48, 0x0f, 0x07}},
    {2, {0x0f, 0x34}},
    {2, {0x0f, 0x35}},
    {3, {0x48, 0x0f, 0x35}},
    /* LAR, LSL, MSRs, CPUID, TSC, caches, states, CMPXCHG8B and what goes with it, INVPCID */
    {2, {0x0f, 0x02}},
    {2, {0x0f, 0x03}},
    {2, {0x0f, 0x30}},
    {2, {0x0f, 0x30}},
    {2, {0x0f, 0x32}},
    {2, {0x0f, 0xa2}},
    {2, {0x0f, 0x31}},
    {2, {0x0f, 0x09}},
    {2, {0x0f, 0xae}},
    {2, {0x0f, 0xae}},
    {2, {0x0f, 0xae}},
    {3, {0x48, 0x0f, 0xae}},
    {2, {0x0f, 0xc7}},
    {2, {0x0f, 0xc7}},
    {3, {0x48, 0x0f, 0xc7}},
    {4, {0x66, 0x0f, 0x38, 0x82}},
    /* far pointers, segments */
    {2, {0x0f, 0xb2}},
    {2, {0x0f, 0xb4}},
    {2, {0x0f, 0xb5}},
    {2, {0x0f, 0xa1}},
    {2, {0x0f, 0xa9}},
    {1, {0x07}},
    {1, {0x17}},
    {1, {0x1f}},
    {1, {0x8e}},
    {1, {0x8e}},
    {1, {0x8c}},
    {1, {0xc4}},
    {1, {0xc5}},
    {1, {0x62}},
    {1, {0x9a}},
    {1, {0xea}},
    {1, {0xca}},
    {1, {0xcb}},
    {2, {0x48, 0xcb}},
    {1, {0xff}},
    {1, {0xff}},
    /* interrupts and flags */
    {1, {0xcc}},
    {1, {0xcd}},
    {1, {0xce}},
    {1, {0xcf}},
    {2, {0x48, 0xcf}},
    {2, {0x66, 0xcf}},
    {1, {0xf1}},
    {1, {0xf4}},
    {1, {0xfa}},
    {1, {0xfb}},
    {1, {0xfb}},
    {1, {0x9c}},
    {1, {0x9d}},
    {1, {0x9d}},
    /* stacks */
    {1, {0x60}},
    {1, {0x61}},
    {1, {0xc8}},
    {1, {0xc9}},
    {1, {0x8f}},
    /* ports */
    {1, {0xe4}},
    {1, {0xe6}},
    {1, {0xe5}},
    {1, {0xe7}},
    {1, {0xec}},
    {1, {0xed}},
    {1, {0xee}},
    {1, {0xef}},
    {2, {0xf3, 0x6c}},
    {2, {0xf3, 0x6d}},
    {2, {0xf3, 0x6e}},
    {2, {0xf3, 0x6f}},
    /* strings */
    {2, {0xf3, 0xa4}},
    {2, {0xf3, 0xa5}},
    {3, {0xf3, 0x48, 0xa5}},
    {2, {0xf3, 0xa6}},
    {2, {0xf2, 0xa7}},
    {2, {0xf3, 0xaa}},
    {2, {0xf3, 0xab}},
    {3, {0xf3, 0x48, 0xab}},
    {2, {0xf3, 0xac}},
    {2, {0xf3, 0xae}},
    {2, {0xf2, 0xaf}},
};

/* Random bytes at code[from, DEC_MAX_LENGTH). */
static void fill(struct random *random, uint8_t code[DEC_MAX_LENGTH], unsigned from)
{
    for (unsigned i = from; i < DEC_MAX_LENGTH; i++)
        code[i] = (uint8_t)(random_next(random) >> 56);
}

static unsigned random_prefixes(struct random *random, enum dec_mode mode, uint8_t *code)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26,
                                       0x2e, 0x36, 0x3e, 0x64, 0x65};
    unsigned length = 0;
    while (length < 3 && random_chance(random, 25))
        code[length++] = prefixes[random_below(random, ARRAY_SIZE(prefixes))];
    if (mode == DEC_MODE_64 && random_chance(random, 40))
        code[length++] = 0x40 | random_below(random, 16);
    return length;
}

/* Any instruction of any map. */
static void any_instruction(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH])
{
    static const uint8_t maps[][3] = {{0}, {0}, {0x0f}, {0x0f}, {0x0f, 0x38}, {0x0f, 0x3a}};
    fill(random, code, 0);
    if (random_chance(random, 12)) { /* VEX */
        code[0] = 0xc4;
        code[1] = (code[1] & 0xe0) | (1 + random_below(random, 3));
        if (mode != DEC_MODE_64)
            code[1] |= 0xc0;
        return;
    }
    unsigned length = random_prefixes(random, mode, code);
    const uint8_t *map = maps[random_below(random, ARRAY_SIZE(maps))];
    for (unsigned i = 0; i < 2 && map[i]; i++)
        code[length++] = map[i];
}

static void special_instruction(struct random *random, enum dec_mode mode,
                                uint8_t code[DEC_MAX_LENGTH])
{
    const struct opcode *opcode = &opcodes[random_below(random, ARRAY_SIZE(opcodes))];
    fill(random, code, 0);
    unsigned length = random_chance(random, 20) ? random_prefixes(random, mode, code) : 0;
    memcpy(code + length, opcode->bytes, opcode->length);
    /* Far pointers with selectors, not just anything. */
    if (opcode->bytes[0] == 0x9a || opcode->bytes[0] == 0xea)
        store_le(code + length + (mode == DEC_MODE_16 ? 3 : 5), random_below(random, 64) << 3, 2);
}

/* MOV register, value. */
static void load_register(struct random *random, enum dec_mode mode, uint8_t code[DEC_MAX_LENGTH])
{
    static const uint8_t busy[] = {0, 1, 2, 6, 7}; /* those that instructions imply */
    unsigned reg = random_chance(random, 50) ? busy[random_below(random, ARRAY_SIZE(busy))]
                                             : random_below(random, 8);
    unsigned length = 0;
    if (mode == DEC_MODE_64)
        code[length++] = 0x48 | random_chance(random, 30);
    else if (mode == DEC_MODE_16 && random_chance(random, 50))
        code[length++] = 0x66;
    code[length++] = 0xb8 | reg;
    store_le(code + length, random_value(random), 8);
}

/* MOV reg, value: 32 bits in every mode. Returns its length. */
static unsigned move(enum dec_mode mode, uint8_t *code, unsigned reg, uint64_t value)
{
    unsigned length = 0;
    if (mode == DEC_MODE_16)
        code[length++] = 0x66;
    code[length++] = 0xb8 | reg;
    store_le(code + length, value, 4);
    return length + 4;
}

/* What needs several registers to be right: MSRs, ports, control registers, repeated strings. */
static size_t random_idiom(struct random *random, enum dec_mode mode, uint8_t code[32])
{
    static const uint32_t msrs[] = {
        MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_EFER,   MSR_FS_BASE, 0x10, 0x3b, 0x277,
        0x174,         0xc0000081,       0xc0000082, 0xc0000102};
    static const uint16_t ports[] = {0x20,  0x21,  0x40,  0x43,  0x60,  0x64,  0x70,   0x71,
                                     0x80,  0x92,  0xa0,  0xa1,  0xb2,  0xe0,  0xe9,   0xf4,
                                     0x3f8, 0x3fa, 0x4d0, 0x600, 0x604, 0xcf9, 0x2000, 0x2004};
    unsigned kind = random_below(random, 4);
    unsigned length = move(mode, code, 0, random_value(random));
    if (kind == 0) { /* WRMSR */
        uint32_t msr = random_chance(random, 25) ? MSR_X2APIC + random_below(random, 64)
                                                 : msrs[random_below(random, ARRAY_SIZE(msrs))];
        length += move(mode, code + length, 1, msr);
        length +=
            move(mode, code + length, 2, random_chance(random, 60) ? 0 : random_value(random));
        code[length++] = 0x0f;
        code[length++] = 0x30;
    } else if (kind == 1) { /* IN, OUT, INS, OUTS */
        static const uint8_t accesses[] = {0xec, 0xed, 0xee, 0xef, 0xee, 0xef, 0x6d, 0x6f};
        length += move(mode, code + length, 2, ports[random_below(random, ARRAY_SIZE(ports))]);
        if (random_chance(random, 30))
            code[length++] = 0xf3;
        code[length++] = accesses[random_below(random, ARRAY_SIZE(accesses))];
    } else if (kind == 2) { /* MOV CRn, EAX, with a bit or two changed */
        static const uint8_t registers[] = {0xc0, 0xe0, 0xd8, 0xc0};
        uint8_t modrm = registers[random_below(random, ARRAY_SIZE(registers))];
        if (modrm != 0xd8) {
            memcpy(code, (const uint8_t[]){0x0f, 0x20, modrm, 0x0f, 0xba, 0xf8}, 6); /* BTC EAX */
            code[6] = (uint8_t)random_below(random, 32);
            length = 7;
        }
        memcpy(code + length, (const uint8_t[]){0x0f, 0x22, modrm}, 3);
        length += 3;
    } else { /* a long repetition */
        static const uint8_t strings[] = {0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xae, 0xa7, 0x6c};
        length += move(mode, code + length, 6, random_address(random));
        length += move(mode, code + length, 7, random_address(random));
        length += move(mode, code + length, 1, random_value(random));
        code[length++] = random_chance(random, 80) ? 0xf3 : 0xf2;
        code[length++] = strings[random_below(random, ARRAY_SIZE(strings))];
    }
    return length;
}

static size_t random_instruction(struct random *random, enum dec_mode mode,
                                 uint8_t code[DEC_MAX_LENGTH])
{
    struct dec_insn insn;
    do {
        unsigned kind = random_below(random, 100);
        if (kind < 35)
            load_register(random, mode, code);
        else if (kind < 65)
            special_instruction(random, mode, code);
        else
            any_instruction(random, mode, code);
        if (dec_decode(code, DEC_MAX_LENGTH, mode, &insn) == DEC_OK)
            return insn.length;
    } while (!random_chance(random, 3)); /* an illegal one now and then */
    return 1 + random_below(random, DEC_MAX_LENGTH);
}

void random_code(struct random *random, enum dec_mode mode, uint8_t *code, size_t size)
{
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        uint8_t bytes[32] = {0};
        length = random_chance(random, 8) ? random_idiom(random, mode, bytes)
                                          : random_instruction(random, mode, bytes);
        if (length > size - at)
            length = size - at;
        memcpy(code + at, bytes, length);
    }
}
