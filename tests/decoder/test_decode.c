/* The decoder by itself: its tables, its rules, and random bytes. */
#include "base/bits.h"
#include "decoder/decoder.h"
#include "decoder/table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* ------------------------------------------------------------------ tables */

static void walk(const struct dec_entry *entry, bool *seen)
{
    static const uint8_t counts[] = {
        [SPLIT_PREFIX] = 4, [SPLIT_REP] = 3, [SPLIT_MODE64] = 2, [SPLIT_REX_B] = 2, [SPLIT_W] = 2,
        [SPLIT_RAW_W] = 2,  [SPLIT_L] = 2,   [SPLIT_MOD] = 2,    [SPLIT_REG] = 8,   [SPLIT_RM] = 8,
    };

    if (entry->kind == ENTRY_UNDEFINED)
        return;
    if (entry->kind == ENTRY_INSN) {
        cr_assert_lt(entry->op, DEC_OP_COUNT);
        for (int i = 0; i < DEC_MAX_OPERANDS; i++)
            cr_assert_lt(entry->operand[i], SPEC_COUNT);
        seen[entry->op] = true;
        return;
    }
    cr_assert_leq(entry->kind, SPLIT_RM);
    cr_assert_not_null(entry->table);
    for (int i = 0; i < counts[entry->kind]; i++)
        walk(&entry->table[i], seen);
}

Test(decode, tables_and_catalogue_name_the_same_operations)
{
    static const struct dec_entry *const tables[] = {
        dec_table_one,    dec_table_0f,       dec_table_0f38,     dec_table_0f3a,
        dec_table_vex_0f, dec_table_vex_0f38, dec_table_vex_0f3a,
    };
    bool seen[DEC_OP_COUNT] = {false};

    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (int opcode = 0; opcode < 256; opcode++)
            walk(&tables[t][opcode], seen);
    }
    for (int op = 0; op < DEC_OP_COUNT; op++)
        cr_expect(seen[op], "%s is in no table", dec_info(op)->name);
}

/* ------------------------------------------------------------------ single instructions */

struct sample {
    enum dec_mode mode;
    enum dec_status status;
    const char *bytes; /* hexadecimal */
    int op;            /* where status is DEC_OK; then the instruction takes all the bytes */
    int operand_size;
};

#define M16 DEC_MODE_16
#define M32 DEC_MODE_32
#define M64 DEC_MODE_64
#define UNDEFINED(mode, bytes)                                                                     \
    {                                                                                              \
        mode, DEC_UNDEFINED, bytes, 0, 0                                                           \
    }
#define OK(mode, bytes, op, size)                                                                  \
    {                                                                                              \
        mode, DEC_OK, bytes, DEC_OP_##op, size                                                     \
    }

static const struct sample samples[] = {
    /* Operand sizes and prefixes. */
    OK(M64, "4801c8", ADD, 8),
    OK(M64, "6601c8", ADD, 2),
    OK(M64, "00c8", ADD, 1),
    OK(M16, "01c8", ADD, 2),
    OK(M16, "6601c8", ADD, 4),
    OK(M64, "486601c8", ADD, 2), /* the REX is not last */
    OK(M64, "664801c8", ADD, 8),
    OK(M64, "404801c8", ADD, 8),
    OK(M64, "50", PUSH, 8),
    OK(M64, "6650", PUSH, 2),
    OK(M64, "66e800000000", CALL, 8), /* 66 has no effect on near branches */
    OK(M32, "66e80000", CALL, 2),
    OK(M64, "48ef", OUT, 4),
    OK(M64, "48b88877665544332211", MOV, 8),
    OK(M64, "a18877665544332211", MOV, 4),
    OK(M64, "67a188776655", MOV, 4),
    OK(M32, "40", INC, 4),
    UNDEFINED(M64, "06"),
    UNDEFINED(M64, "82c000"),
    /* What a prefix chooses. */
    OK(M64, "90", NOP, 4),
    OK(M64, "f390", PAUSE, 4),
    OK(M64, "4190", XCHG, 4),
    OK(M64, "0fbcc0", BSF, 4),
    OK(M64, "f20fbcc0", BSF, 4),
    OK(M64, "f30fbcc0", TZCNT, 4),
    OK(M64, "66f30fbcc0", TZCNT, 2),
    OK(M64, "0ffcc1", PADDB, 4),
    OK(M64, "660ffcc1", PADDB, 16),
    OK(M64, "66f20f58c1", ADDSD, 16), /* F2 wins over 66 */
    OK(M64, "f2f30f58c1", ADDSS, 16), /* the last of F2 and F3 wins */
    UNDEFINED(M64, "f30ffcc1"),
    OK(M64, "f30f1efa", ENDBR64, 4),
    OK(M64, "0f1efa", NOP, 4),
    OK(M64, "660f38f108", MOVBE, 2),
    UNDEFINED(M64, "660f38f1c0"),
    OK(M64, "66f20f38f1c0", CRC32, 2),
    /* LOCK. */
    OK(M64, "f00108", ADD, 4),
    UNDEFINED(M64, "f001c8"),
    UNDEFINED(M64, "f00308"),
    UNDEFINED(M64, "f08908"),
    UNDEFINED(M64, "f03908"),
    /* Registers that do not exist. */
    OK(M64, "0f20d8", MOV_CR, 8),
    OK(M64, "0f2018", MOV_CR, 8), /* mod is ignored */
    UNDEFINED(M64, "0f20c8"),
    OK(M64, "440f20c0", MOV_CR, 8),
    UNDEFINED(M64, "440f23c0"),
    UNDEFINED(M64, "8ec8"),
    UNDEFINED(M64, "8cf0"),
    /* LES, LDS, BOUND against VEX and EVEX. */
    OK(M32, "c400", LES, 4),
    OK(M32, "c5f877", VZEROUPPER, 16),
    OK(M32, "6200", BOUND, 4),
    UNDEFINED(M32, "62f17c4858c1"),
    UNDEFINED(M64, "62f17c4858c1"),
    UNDEFINED(M64, "66c5f877"),
    UNDEFINED(M64, "48c5f877"),
    /* VEX fields. */
    OK(M64, "c5f058c2", VADDPS, 16),
    OK(M64, "c5f458c2", VADDPS, 32),
    OK(M64, "c5fc77", VZEROALL, 32),
    UNDEFINED(M64, "c5f028c1"),      /* vvvv unused and not 1111 */
    UNDEFINED(M64, "c5f46ec0"),      /* VMOVD with L */
    OK(M64, "c5f658c2", VADDSS, 16), /* L ignored */
    UNDEFINED(M64, "c4e2fd18c1"),    /* VBROADCASTSS with W */
    OK(M64, "c4e1f96ec0", VMOVQ, 16),
    OK(M32, "c4e1f96ec0", VMOVD, 16),
    OK(M64, "c4e2f0f2c2", ANDN, 8),
    UNDEFINED(M64, "c4e0f0f2c2"), /* no such map */
    /* Gathers: a SIB, and three different registers. */
    OK(M64, "c4e2719004a0", VPGATHERDD, 16),
    UNDEFINED(M64, "c4e2799004a0"),
    UNDEFINED(M64, "c4e2719008"),
    /* What is not offered. */
    UNDEFINED(M64, "c7f800000000"),
    UNDEFINED(M64, "0f01c1"),
    UNDEFINED(M64, "0f0fc0bf"),
    UNDEFINED(M64, "8fe87801c0"),
    {M64, DEC_TOO_LONG, "66666666666666666666666666666690", 0, 0},
    {M64, DEC_TRUNCATED, "6666", 0, 0},
    {M64, DEC_TRUNCATED, "81c0000000", 0, 0},
};

static size_t parse_hex(const char *text, uint8_t *bytes)
{
    size_t size = 0;
    for (; text[0] && text[1]; text += 2)
        sscanf(text, "%2hhx", &bytes[size++]);
    return size;
}

Test(decode, samples)
{
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        const struct sample *sample = &samples[i];
        uint8_t bytes[16];
        struct dec_insn insn;
        size_t size = parse_hex(sample->bytes, bytes);
        enum dec_status status = dec_decode(bytes, size, sample->mode, &insn);

        cr_expect_eq(status, sample->status, "%s: status %d", sample->bytes, status);
        if (status != DEC_OK || sample->status != DEC_OK)
            continue;
        cr_expect_eq(insn.length, size, "%s: length %u", sample->bytes, insn.length);
        cr_expect_eq(insn.op, sample->op, "%s: %s", sample->bytes, dec_info(insn.op)->name);
        cr_expect_eq(insn.operand_size, sample->operand_size, "%s: operand size %u", sample->bytes,
                     insn.operand_size);
    }
}

static struct dec_insn decoded(enum dec_mode mode, const char *text)
{
    uint8_t bytes[16];
    struct dec_insn insn = {0};
    size_t size = parse_hex(text, bytes);
    cr_assert_eq(dec_decode(bytes, size, mode, &insn), DEC_OK, "%s", text);
    return insn;
}

Test(decode, memory_operands)
{
    struct dec_insn insn = decoded(M64, "648b84c8f0ffffff"); /* mov eax, fs:[rax+rcx*8-16] */
    cr_expect_eq(insn.mem.base, REG_RAX);
    cr_expect_eq(insn.mem.index, REG_RCX);
    cr_expect_eq(insn.mem.scale, 8);
    cr_expect_eq(insn.mem.disp, -16);
    cr_expect_eq(insn.mem.segment, SEG_FS);
    cr_expect_eq(insn.operand[1].kind, DEC_OPERAND_MEM);
    cr_expect_eq(insn.operand[1].size, 4);
    cr_expect_eq(insn.operand[1].access, DEC_READ);

    insn = decoded(M64, "8b0510000000"); /* mov eax, [rip+16] */
    cr_expect_eq(insn.mem.base, DEC_BASE_RIP);
    insn = decoded(M64, "8b042510000000"); /* mov eax, [16] */
    cr_expect_eq(insn.mem.base, DEC_NO_REG);
    cr_expect_eq(insn.mem.index, DEC_NO_REG);
    insn = decoded(M64, "418b4500"); /* mov eax, [r13+0]: DS */
    cr_expect_eq(insn.mem.base, 13);
    cr_expect_eq(insn.mem.segment, SEG_DS);
    insn = decoded(M64, "2e8b4500"); /* mov eax, cs:[rbp+0]: CS is ignored */
    cr_expect_eq(insn.mem.segment, SEG_SS);
    insn = decoded(M64, "428b0420"); /* mov eax, [rax+r12] */
    cr_expect_eq(insn.mem.index, 12);
    insn = decoded(M16, "8b42fe"); /* mov ax, [bp+si-2] */
    cr_expect_eq(insn.mem.base, REG_RBP);
    cr_expect_eq(insn.mem.index, REG_RSI);
    cr_expect_eq(insn.mem.disp, -2);
    cr_expect_eq(insn.mem.segment, SEG_SS);
    insn = decoded(M16, "268b063412"); /* mov ax, es:[1234h] */
    cr_expect_eq(insn.mem.base, DEC_NO_REG);
    cr_expect_eq(insn.mem.disp, 0x1234);
    cr_expect_eq(insn.mem.segment, SEG_ES);
    insn = decoded(M64, "64a4"); /* movs byte es:[rdi], fs:[rsi] */
    cr_expect_eq(insn.mem.segment, SEG_FS);
    cr_expect_eq(insn.operand_count, 0);
    insn = decoded(M64, "c4e2719004a0"); /* vpgatherdd xmm0, [rax+xmm4*4], xmm1 */
    cr_expect_eq(insn.mem.index, 4);
    cr_expect(insn.mem.vsib);
}

Test(decode, registers_and_immediates)
{
    struct dec_insn insn = decoded(M64, "88e0"); /* mov al, ah */
    cr_expect_eq(insn.operand[1].kind, DEC_OPERAND_GPR_HIGH);
    cr_expect_eq(insn.operand[1].reg, 0);
    insn = decoded(M64, "4088e0"); /* mov al, spl */
    cr_expect_eq(insn.operand[1].kind, DEC_OPERAND_GPR);
    cr_expect_eq(insn.operand[1].reg, REG_RSP);

    insn = decoded(M64, "83c0ff"); /* add eax, -1 */
    cr_expect_eq(insn.imm, UINT64_MAX);
    cr_expect_eq(insn.imm_size, 1);
    cr_expect_eq(insn.operand[1].size, 4);
    insn = decoded(M64, "05ffffffff"); /* add eax, 0xffffffff */
    cr_expect_eq(insn.imm, UINT32_MAX);
    insn = decoded(M64, "4805ffffffff"); /* add rax, -1 */
    cr_expect_eq(insn.imm, UINT64_MAX);
    insn = decoded(M64, "b0ff"); /* mov al, 0xff */
    cr_expect_eq(insn.imm, 0xff);
    insn = decoded(M64, "d1e0"); /* shl eax, 1 */
    cr_expect_eq(insn.imm, 1);
    cr_expect_eq(insn.imm_size, 0);
    insn = decoded(M64, "c8341205"); /* enter 0x1234, 5 */
    cr_expect_eq(insn.imm, 0x1234);
    cr_expect_eq(insn.imm2, 5);
    insn = decoded(M32, "ea785634122301"); /* jmp 0x123:0x12345678 */
    cr_expect_eq(insn.operand[0].kind, DEC_OPERAND_FAR);
    cr_expect_eq(insn.imm, 0x12345678);
    cr_expect_eq(insn.imm2, 0x123);
    insn = decoded(M64, "75fe"); /* jne self */
    cr_expect_eq(insn.cond, 5);
    cr_expect_eq(insn.imm, (uint64_t)-2);

    insn = decoded(M64, "c4e3714ac230"); /* vblendvps xmm0, xmm1, xmm2, xmm3 */
    cr_expect_eq(insn.operand_count, 4);
    cr_expect_eq(insn.operand[1].reg, 1);
    cr_expect_eq(insn.operand[3].kind, DEC_OPERAND_VEC);
    cr_expect_eq(insn.operand[3].reg, 3);
    insn = decoded(M64, "f30f5801"); /* addss xmm0, [rcx] */
    cr_expect_eq(insn.operand[0].size, 16);
    cr_expect_eq(insn.operand[0].access, DEC_READ | DEC_WRITE);
    cr_expect_eq(insn.operand[1].size, 4);
    cr_expect_eq(insn.pp, DEC_PP_F3);
    cr_expect_eq(insn.prefixes, 0);
    insn = decoded(M64, "f3a4"); /* rep movs */
    cr_expect_eq(insn.prefixes, DEC_PREFIX_REP);
    cr_expect_eq(insn.pp, DEC_PP_NONE);
}

/* ------------------------------------------------------------------ classes and features */

static void expect_feature(const char *text, enum dec_class op_class, enum dec_feature feature)
{
    struct dec_insn insn = decoded(M64, text);
    cr_expect_eq(dec_insn_class(&insn), op_class, "%s", text);
    cr_expect_eq(dec_insn_feature(&insn), feature, "%s", text);
}

Test(decode, features_follow_the_form)
{
    expect_feature("0ffcc1", DEC_CLASS_MMX, DEC_FEATURE_MMX);          /* paddb mm0, mm1 */
    expect_feature("660ffcc1", DEC_CLASS_SSE, DEC_FEATURE_SSE2);       /* paddb xmm0, xmm1 */
    expect_feature("0f3800c1", DEC_CLASS_MMX, DEC_FEATURE_SSSE3);      /* pshufb mm0, mm1 */
    expect_feature("660f3a15c100", DEC_CLASS_SSE, DEC_FEATURE_SSE4_1); /* pextrw ecx, xmm0, 0 */
    expect_feature("c5f1fcc2", DEC_CLASS_AVX, DEC_FEATURE_AVX);        /* vpaddb xmm0, xmm1, xmm2 */
    expect_feature("c5f5fcc2", DEC_CLASS_AVX, DEC_FEATURE_AVX2);       /* vpaddb ymm0, ymm1, ymm2 */
    expect_feature("c5fd6fc1", DEC_CLASS_AVX, DEC_FEATURE_AVX);
    expect_feature("c4e27d17c1", DEC_CLASS_AVX, DEC_FEATURE_AVX);  /* vptest ymm0, ymm1 */
    expect_feature("c4e27918c1", DEC_CLASS_AVX, DEC_FEATURE_AVX2); /* vbroadcastss xmm0, xmm1 */
    expect_feature("c4e2791801", DEC_CLASS_AVX, DEC_FEATURE_AVX);  /* vbroadcastss xmm0, [rcx] */
    expect_feature("c4e271dcc2", DEC_CLASS_AVX, DEC_FEATURE_AES);  /* vaesenc xmm0, xmm1, xmm2 */
    expect_feature("c4e275dcc2", DEC_CLASS_AVX, DEC_FEATURE_VAES);
    expect_feature("c4e2f0f2c2", DEC_CLASS_INTEGER, DEC_FEATURE_BMI1);
}

/* ------------------------------------------------------------------ random bytes */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Bytes that start with what leads to the other maps more often than chance would. */
static void random_bytes(uint64_t *state, uint8_t *bytes, size_t size)
{
    static const uint8_t likely[] = {0x66, 0xf2, 0xf3, 0xf0, 0x67, 0x48, 0x41, 0x0f, 0x0f,
                                     0x0f, 0x38, 0x3a, 0xc4, 0xc5, 0xe2, 0x7d, 0xf8, 0xc1};
    for (size_t i = 0; i < size; i++) {
        uint64_t random = next_random(state);
        bytes[i] = i < 6 && (random & 0x300) ? likely[(random >> 10) % sizeof(likely)] : random;
    }
}

Test(decode, random_bytes_keep_the_rules)
{
    /* The bytes end where the memory does, so that reading past them faults. */
    uint8_t *pages =
        mmap(NULL, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq((void *)pages, MAP_FAILED);
    cr_assert_eq(mprotect(pages + PAGE_SIZE, PAGE_SIZE, PROT_NONE), 0);
    uint64_t seed = (uint64_t)time(NULL) * 2 + 1, state = seed;
    cr_log_info("seed %llu", (unsigned long long)seed);

    for (int i = 0; i < 600000; i++) {
        enum dec_mode mode = i % 3;
        uint8_t bytes[DEC_MAX_LENGTH];
        struct dec_insn insn, again;

        random_bytes(&state, bytes, sizeof(bytes));
        if (dec_decode(bytes, sizeof(bytes), mode, &insn) != DEC_OK)
            continue;
        cr_assert(insn.length >= 1 && insn.length <= DEC_MAX_LENGTH);
        cr_assert_lt(insn.op, DEC_OP_COUNT);
        uint16_t attributes = dec_info(insn.op)->attributes;
        cr_assert(!(attributes & (mode == DEC_MODE_64 ? DEC_ATTR_NO64 : DEC_ATTR_ONLY64)),
                  "%s in mode %d, seed %llu", dec_info(insn.op)->name, mode,
                  (unsigned long long)seed);
        for (unsigned n = 0; n < insn.operand_count; n++)
            cr_assert_neq(insn.operand[n].kind, DEC_OPERAND_NONE);

        uint8_t *at = pages + PAGE_SIZE - insn.length;
        memcpy(at, bytes, insn.length);
        cr_assert_eq(dec_decode(at, insn.length, mode, &again), DEC_OK);
        cr_assert_arr_eq(&insn, &again, sizeof(insn), "seed %llu", (unsigned long long)seed);
        at = pages + PAGE_SIZE - (insn.length - 1);
        memcpy(at, bytes, insn.length - 1);
        cr_assert_eq(dec_decode(at, insn.length - 1, mode, &again), DEC_TRUNCATED, "seed %llu",
                     (unsigned long long)seed);
    }
    munmap(pages, 2 * PAGE_SIZE);
}
