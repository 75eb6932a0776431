/* Every MMX, SSE and AVX encoding that the decoder knows, run by the interpreter and by the host on
 * the same random registers and memory. */
#include "vector_guest.h"

#include "cpu/encode.h"
#include "cpu/gates.h"
#include "cpu/xstate.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 0x5eed0001u

/* The part of the encoding that chooses the operation. */
struct form {
    bool vex;
    uint8_t map, pp, opcode, l, w;
};

enum { PADDED_LENGTH = 24 };

/* A random instruction of this form: [RBX], or VSIB from RBX, or registers. */
static void make_bytes(struct vector_guest *guest, const struct form *f, bool memory, bool vsib,
                       uint8_t bytes[PADDED_LENGTH])
{
    static const uint8_t mandatory[] = {0, 0x66, 0xf3, 0xf2};
    uint8_t *p = bytes;
    uint64_t random = random_64(guest);
    uint8_t r = random & 1, x = random >> 1 & 1, b = memory ? 0 : random >> 2 & 1;
    uint8_t modrm = (uint8_t)(random >> 8 & 0x3f) | (memory ? 0 : 0xc0);
    if (memory)
        modrm = (modrm & 0x38) | (vsib ? 4 : REG_RBX);
    if (f->vex) {
        uint8_t vvvv = random & BIT(3) ? random >> 16 & 15 : 0;
        *p++ = 0xc4;
        *p++ = (uint8_t)(!r << 7 | !x << 6 | !b << 5 | f->map);
        *p++ = (uint8_t)(f->w << 7 | (~vvvv & 15) << 3 | f->l << 2 | f->pp);
    } else {
        if (f->pp)
            *p++ = mandatory[f->pp];
        *p++ = (uint8_t)(0x40 | f->w << 3 | r << 2 | x << 1 | b);
        *p++ = 0x0f;
        if (f->map == DEC_MAP_0F38)
            *p++ = 0x38;
        if (f->map == DEC_MAP_0F3A)
            *p++ = 0x3a;
    }
    *p++ = f->opcode;
    *p++ = modrm;
    if (memory && vsib)
        *p++ = (uint8_t)((random >> 24 & 0xf8) | REG_RBX);
    for (uint64_t rest = random_64(guest); p < bytes + PADDED_LENGTH; rest >>= 4)
        *p++ = (uint8_t)rest;
}

static bool is_vector(const struct dec_insn *insn)
{
    enum dec_class op_class = dec_info(insn->op)->op_class;
    return op_class == DEC_CLASS_MMX || op_class == DEC_CLASS_SSE || op_class == DEC_CLASS_AVX;
}

/* Gathers take indices that stay in the data. */
static void limit_indices(struct vector_guest *guest, const struct dec_insn *insn)
{
    union vec *index = &guest->cpu->vec[insn->mem.index];
    for (unsigned i = 0; i < 8; i++)
        index->u32[i] = i & 1 ? 0 : index->u32[i] & 63;
    host_runner_state(guest->host)->vec[insn->mem.index] = *index;
}

static enum host_outcome outcome_of(int vector)
{
    switch (vector) {
    case -1:
        return HOST_OK;
    case VECTOR_UD:
        return HOST_SIGILL;
    case VECTOR_XM:
    case VECTOR_MF:
        return HOST_SIGFPE;
    default:
        return HOST_SIGSEGV;
    }
}

#define MXCSR_OE 0x0008u
#define MXCSR_UE 0x0010u
#define MXCSR_PE 0x0020u
#define MXCSR_FLAGS 0x003fu

/* Where #XM was raised, PE beside OE or UE may differ (interp_vector.c), and dot products, which
 * work in steps, may have gone further. */
static void forgive_flags(struct vector_guest *guest, const struct dec_insn *insn)
{
    uint32_t host = host_runner_state(guest->host)->mxcsr;
    uint32_t different = guest->cpu->mxcsr ^ host, forgiven = 0;
    if (host & (MXCSR_OE | MXCSR_UE))
        forgiven = MXCSR_PE;
    if (insn->op == DEC_OP_DPPS || insn->op == DEC_OP_DPPD || insn->op == DEC_OP_VDPPS ||
        insn->op == DEC_OP_VDPPD)
        forgiven = MXCSR_FLAGS;
    if (!(different & ~forgiven))
        guest->cpu->mxcsr = host;
}

/* Runs one on both. mxcsr: exceptions may be unmasked. */
static bool compare(struct vector_guest *guest, const uint8_t *bytes, const struct dec_insn *insn,
                    bool unmask)
{
    uint64_t random = random_64(guest);
    bool aligned = dec_info(insn->op)->attributes & DEC_ATTR_ALIGNED && random % 8;
    randomise(guest, DATA_ADDRESS + (random >> 8 & (aligned ? 0x1e0 : 0x1ff)), true);
    randomise_data(guest);
    if (insn->mem.vsib)
        limit_indices(guest, insn);
    struct host_state *state = host_runner_state(guest->host);
    if (unmask)
        guest->cpu->mxcsr = state->mxcsr &= ~(uint32_t)(random >> 32 & 0x1f80);

    struct dec_insn decoded;
    enum host_outcome host = host_run(guest->host, bytes, insn->length);
    int vector = guest_run(guest, bytes, insn->length, &decoded);
    bool same = outcome_of(vector) == host;
    if (!same)
        fprintf(stderr, "guest exception %d, host outcome %d:\n", vector, host);
    if (vector == VECTOR_XM)
        forgive_flags(guest, insn);
    return states_equal(guest, bytes, insn->length, FLAGS_STATUS) && same;
}

struct counts {
    unsigned run, failed, forms;
    bool op_seen[DEC_OP_COUNT];
};

static void try_form(struct vector_guest *guest, const struct form *f, bool memory, bool vsib,
                     unsigned repeat, bool unmask, struct counts *counts)
{
    bool seen = false;
    for (unsigned i = 0; i < repeat; i++) {
        uint8_t bytes[PADDED_LENGTH];
        struct dec_insn insn;
        make_bytes(guest, f, memory, vsib, bytes);
        if (dec_decode(bytes, DEC_MAX_LENGTH, DEC_MODE_64, &insn) != DEC_OK || !is_vector(&insn))
            continue;
        if (!guest->model.features[dec_insn_feature(&insn)] || (vsib && !insn.mem.vsib))
            continue;
        if (unmask && !(dec_info(insn.op)->attributes & DEC_ATTR_MXCSR))
            continue;
        counts->run++;
        counts->forms += !seen;
        seen = counts->op_seen[insn.op] = true;
        if (!compare(guest, bytes, &insn, unmask))
            counts->failed++;
    }
}

static void try_all(struct vector_guest *guest, unsigned repeat, bool unmask, struct counts *counts)
{
    for (unsigned i = 0; i < 2 * 3 * 4 * 256 * 4; i++) {
        struct form f = {.opcode = (uint8_t)i,
                         .pp = i >> 8 & 3,
                         .l = i >> 10 & 1,
                         .w = i >> 11 & 1,
                         .map = (uint8_t)(1 + (i >> 12) % 3),
                         .vex = i >> 12 >= 3};
        bool escape = f.map == DEC_MAP_0F && (f.opcode == 0x38 || f.opcode == 0x3a);
        if (!f.vex && (f.l || escape))
            continue;
        try_form(guest, &f, false, false, repeat, unmask, counts);
        try_form(guest, &f, true, false, repeat, unmask, counts);
        if (f.vex)
            try_form(guest, &f, true, true, repeat, unmask, counts);
    }
    fprintf(stderr, "%u instructions in %u forms\n", counts->run, counts->forms);
}

/* How often each form runs: more with DOPPEL_TEST_REPEAT in the environment. */
static unsigned repeats(void)
{
    const char *text = getenv("DOPPEL_TEST_REPEAT");
    return text ? (unsigned)atoi(text) : 8;
}

Test(vector, masked_like_the_host)
{
    struct vector_guest *guest = vector_guest_create(SEED);
    static struct counts counts;
    try_all(guest, repeats(), false, &counts);
    cr_expect_eq(counts.failed, 0, "%u of %u differ", counts.failed, counts.run);
    cr_expect_gt(counts.forms, 1000u);
    vector_guest_destroy(guest);
}

Test(vector, every_operation_runs)
{
    struct vector_guest *guest = vector_guest_create(SEED + 1);
    static struct counts counts;
    try_all(guest, 16, false, &counts);
    for (unsigned op = 0; op < DEC_OP_COUNT; op++) {
        const struct dec_info *info = dec_info((enum dec_op)op);
        bool vector = info->op_class == DEC_CLASS_MMX || info->op_class == DEC_CLASS_SSE ||
                      info->op_class == DEC_CLASS_AVX;
        if (vector && guest->model.features[info->feature])
            cr_expect(counts.op_seen[op], "%s was never run", info->name);
    }
    vector_guest_destroy(guest);
}

Test(vector, unmasked_like_the_host)
{
    struct vector_guest *guest = vector_guest_create(SEED + 2);
    static struct counts counts;
    try_all(guest, 4 * repeats(), true, &counts);
    cr_expect_eq(counts.failed, 0, "%u of %u differ", counts.failed, counts.run);
    vector_guest_destroy(guest);
}

Test(vector, stubs_survive_a_flush)
{
    struct vector_guest *guest = vector_guest_create(SEED + 3);
    static const uint8_t paddd[] = {0x66, 0x0f, 0xfe, 0xca}; /* paddd xmm1, xmm2 */
    struct dec_insn insn;
    stub_fn *first, *second;
    cr_assert_eq(dec_decode(paddd, sizeof(paddd), DEC_MODE_64, &insn), DEC_OK);
    cr_assert_eq(stub_get(guest->cpu->stubs, &insn, &first), STUB_OK);
    cr_assert_eq(stub_get(guest->cpu->stubs, &insn, &second), STUB_OK);
    cr_expect_eq(first, second);
    stub_flush(guest->cpu->stubs);
    randomise(guest, DATA_ADDRESS, false);
    randomise_data(guest);
    cr_expect(compare(guest, paddd, &insn, false));
    vector_guest_destroy(guest);
}

static int run(struct vector_guest *guest, const uint8_t *bytes, unsigned length)
{
    struct dec_insn insn;
    return guest_run(guest, bytes, length, &insn);
}

/* Four elements of 4 bytes at 0x1ff8, of which two are within the limit. */
Test(vector, elements_that_are_masked_off_do_not_fault)
{
    static const uint8_t load[] = {0xc4, 0xe2, 0x71, 0x2c, 0x03};  /* vmaskmovps xmm0,xmm1,[ebx] */
    static const uint8_t store[] = {0xc4, 0xe2, 0x71, 0x2e, 0x03}; /* vmaskmovps [ebx],xmm1,xmm0 */
    struct vector_guest *guest = vector_guest_create(SEED + 6);
    struct cpu *cpu = guest->cpu;
    guest->model.features[DEC_FEATURE_AVX] = true;
    randomise(guest, 0x1ff8, false);
    randomise_data(guest);
    enter_32_bit_mode(guest, 0x1fff);
    cpu->vec[1] = (union vec){.u32 = {1u << 31, 1u << 31, 0, 0}};
    store_le(guest->guest_data + 0x1ff8, 0x1111111122222222, 8);
    cpu->vec[0].u64[3] = 5;
    cr_expect_eq(run(guest, load, sizeof(load)), -1);
    cr_expect_eq(cpu->vec[0].u64[0], 0x1111111122222222);
    cr_expect_eq(cpu->vec[0].u64[1] | cpu->vec[0].u64[2] | cpu->vec[0].u64[3], 0);
    cpu->vec[0].u64[0] = 0x3333333344444444;
    cr_expect_eq(run(guest, store, sizeof(store)), -1);
    cr_expect_eq(load_le(guest->guest_data + 0x1ff8, 8), 0x3333333344444444);

    cpu->vec[1].u32[2] = 1u << 31;
    cpu->vec[0].u64[0] = 0x5555555566666666;
    cr_expect_eq(run(guest, load, sizeof(load)), VECTOR_GP);
    cr_expect_eq(cpu->vec[0].u64[0], 0x5555555566666666);
    cr_expect_eq(run(guest, store, sizeof(store)), VECTOR_GP);
    cr_expect_eq(load_le(guest->guest_data + 0x1ff8, 8), 0x3333333344444444);
    vector_guest_destroy(guest);
}

Test(vector, a_gather_that_faults_can_go_on)
{
    static const uint8_t gather[] = {0xc4, 0xe2, 0x69, 0x90, 0x04, 0x0b};
    struct vector_guest *guest =
        vector_guest_create(SEED + 7); /* vpgatherdd xmm0,[ebx+xmm1],xmm2 */
    struct cpu *cpu = guest->cpu;
    guest->model.features[DEC_FEATURE_AVX2] = true;
    randomise(guest, 0, false);
    randomise_data(guest);
    enter_32_bit_mode(guest, 0x0fff);
    for (unsigned i = 0; i < 4; i++)
        store_le(guest->guest_data + 16 * i, 0x100 + i, 4);
    store_le(guest->guest_data + 0x1000, 0x102, 4);
    cpu->vec[0] = (union vec){.u32 = {9, 9, 9, 9, 9, 9, 9, 9}};
    cpu->vec[1] = (union vec){.u32 = {0, 16, 0x1000, 48}};
    cpu->vec[2] = (union vec){.u32 = {~0u, 0, ~0u, ~0u, 7}};
    cr_expect_eq(run(guest, gather, sizeof(gather)), VECTOR_GP);
    cr_expect_eq(cpu->vec[0].u32[0], 0x100);
    cr_expect_eq(cpu->vec[0].u32[1], 9);
    cr_expect_eq(cpu->vec[2].u32[0], 0);
    cr_expect_eq(cpu->vec[2].u32[2], ~0u);
    enter_32_bit_mode(guest, 0x1fff);
    cr_expect_eq(run(guest, gather, sizeof(gather)), -1);
    const union vec expected = {.u32 = {0x100, 9, 0x102, 0x103}}, zero = {0};
    cr_expect_arr_eq(&cpu->vec[0], &expected, sizeof(expected));
    cr_expect_arr_eq(&cpu->vec[2], &zero, sizeof(zero));
    vector_guest_destroy(guest);
}

/* Outside 64-bit mode W does not make lengths wider: -1 is one element, not very many. */
Test(vector, lengths_of_strings_in_32_bit_code)
{
    static const uint8_t vpcmpestrm[] = {0xc4, 0xe3, 0xf9, 0x60, 0xc1, 0x08}; /* xmm0, xmm1 */
    struct vector_guest *guest = vector_guest_create(SEED + 12);
    struct cpu *cpu = guest->cpu;
    guest->model.features[DEC_FEATURE_AVX] = true;
    randomise(guest, 0, false);
    enter_32_bit_mode(guest, 0x0fff);
    cpu->vec[0] = (union vec){.u8 = "abcd"};
    cpu->vec[1] = (union vec){.u8 = "axyz"};
    cpu->gpr[REG_RAX] = cpu->gpr[REG_RDX] = UINT32_MAX;
    cr_expect_eq(run(guest, vpcmpestrm, sizeof(vpcmpestrm)), -1);
    cr_expect_eq(cpu->vec[0].u64[0], 0xffff, "%lx", cpu->vec[0].u64[0]); /* the rest is no part */
    vector_guest_destroy(guest);
}

/* Outside 64-bit mode there are eight registers, and W does not widen. */
Test(vector, code_of_32_bits)
{
    static const uint8_t vzeroupper[] = {0xc5, 0xf8, 0x77};
    static const uint8_t vmovd[] = {0xc4, 0xe1, 0xf9, 0x6e, 0xc1}; /* W1: vmovd xmm0, ecx */
    struct vector_guest *guest = vector_guest_create(SEED + 8);
    struct cpu *cpu = guest->cpu;
    bool avx = guest->model.features[DEC_FEATURE_AVX];
    guest->model.features[DEC_FEATURE_AVX] = true;
    randomise(guest, 0, false);
    enter_32_bit_mode(guest, 0xffff);
    cpu->vec[7].u64[2] = cpu->vec[8].u64[2] = 1;
    cr_expect_eq(run(guest, vzeroupper, sizeof(vzeroupper)), -1);
    cr_expect_eq(cpu->vec[7].u64[2], 0);
    cr_expect_eq(cpu->vec[8].u64[2], 1);
    if (avx) {
        cpu->gpr[REG_RCX] = 0x1122334455667788;
        cr_expect_eq(run(guest, vmovd, sizeof(vmovd)), -1);
        cr_expect_eq(cpu->vec[0].u64[0], 0x55667788);
    }
    vector_guest_destroy(guest);
}

Test(vector, gates)
{
    static const uint8_t paddb_mm[] = {0x0f, 0xfc, 0xc1}, paddb_xmm[] = {0x66, 0x0f, 0xfc, 0xc1},
                         vpaddb[] = {0xc5, 0xf9, 0xfc, 0xc1}, fchs[] = {0xd9, 0xe0},
                         fwait[] = {0x9b};
    struct vector_guest *guest = vector_guest_create(SEED + 9);
    bool avx = guest->model.features[DEC_FEATURE_AVX];
    uint32_t mode = guest->cpu->mode;
    const struct {
        uint32_t bits;
        int mm, xmm, ymm, x87, wait;
    } cases[] = {
        {MODE_X87_TRAP, -1, -1, -1, VECTOR_NM, -1},
        {MODE_MMX_TRAP, VECTOR_NM, VECTOR_NM, VECTOR_NM, -1, -1},
        {MODE_MMX_UD, VECTOR_UD, VECTOR_UD, -1, -1, -1},
        {MODE_MMX_UD | MODE_MMX_TRAP, VECTOR_UD, VECTOR_UD, VECTOR_NM, -1, -1},
        {MODE_SSE_OFF, -1, VECTOR_UD, -1, -1, -1},
        {MODE_AVX_OFF, -1, -1, VECTOR_UD, -1, -1},
        {MODE_WAIT_TRAP, -1, -1, -1, -1, VECTOR_NM},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        guest->cpu->mode = mode | cases[i].bits;
        cr_expect_eq(run(guest, paddb_mm, sizeof(paddb_mm)), cases[i].mm, "case %u", i);
        cr_expect_eq(run(guest, paddb_xmm, sizeof(paddb_xmm)), cases[i].xmm, "case %u", i);
        if (avx)
            cr_expect_eq(run(guest, vpaddb, sizeof(vpaddb)), cases[i].ymm, "case %u", i);
        cr_expect_eq(run(guest, fchs, sizeof(fchs)), cases[i].x87, "case %u", i);
        cr_expect_eq(run(guest, fwait, sizeof(fwait)), cases[i].wait, "case %u", i);
    }
    guest->cpu->mode = mode & ~MODE_PROTECTED;
    cr_expect_eq(run(guest, vpaddb, sizeof(vpaddb)), VECTOR_UD);
    guest->cpu->mode = mode;
    guest->model.features[DEC_FEATURE_SSE2] = false;
    cr_expect_eq(run(guest, paddb_xmm, sizeof(paddb_xmm)), VECTOR_UD);
    cr_expect_eq(run(guest, paddb_mm, sizeof(paddb_mm)), -1);
    vector_guest_destroy(guest);
}

/* REP BSF, REP BSR and PREFETCHW run on models that have no newer meaning for them. */
Test(vector, older_meanings)
{
    static const uint8_t tzcnt[] = {0xf3, 0x0f, 0xbc, 0xc1}, lzcnt[] = {0xf3, 0x0f, 0xbd, 0xc1};
    struct cpu_model model = {.features = {[DEC_FEATURE_BASE] = true}};
    struct dec_insn insn;
    cr_assert_eq(dec_decode(tzcnt, sizeof(tzcnt), DEC_MODE_64, &insn), DEC_OK);
    interp_degrade(&insn, &model);
    cr_expect_eq(insn.op, DEC_OP_BSF);
    cr_assert_eq(dec_decode(lzcnt, sizeof(lzcnt), DEC_MODE_64, &insn), DEC_OK);
    interp_degrade(&insn, &model);
    cr_expect_eq(insn.op, DEC_OP_BSR);
    cr_assert_eq(dec_decode(lzcnt, sizeof(lzcnt), DEC_MODE_64, &insn), DEC_OK);
    model.features[DEC_FEATURE_LZCNT] = true;
    interp_degrade(&insn, &model);
    cr_expect_eq(insn.op, DEC_OP_LZCNT);
}

/* An MMX instruction meets a pending x87 exception first; SSE does not care. */
Test(vector, pending_x87_exceptions)
{
    static const uint8_t paddb_mm[] = {0x0f, 0xfc, 0xc1}, paddb_xmm[] = {0x66, 0x0f, 0xfc, 0xc1};
    struct vector_guest *guest = vector_guest_create(SEED + 10);
    guest->cpu->fx.fcw = 0x340;
    guest->cpu->fx.fsw = 0x8081;
    cr_expect_eq(run(guest, paddb_mm, sizeof(paddb_mm)), VECTOR_MF);
    cr_expect_eq(run(guest, paddb_xmm, sizeof(paddb_xmm)), -1);
    vector_guest_destroy(guest);
}

/* Without CR4.OSXMMEXCPT an unmasked exception is #UD. */
Test(vector, exceptions_that_the_system_does_not_want)
{
    static const uint8_t divps[] = {0x0f, 0x5e, 0xc1}; /* divps xmm0, xmm1 */
    struct vector_guest *guest = vector_guest_create(SEED + 11);
    struct cpu *cpu = guest->cpu;
    cpu->vec[0] = (union vec){.u32 = {0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000}};
    cpu->mxcsr = 0x1d80; /* ZM clear */
    cr_expect_eq(run(guest, divps, sizeof(divps)), VECTOR_XM);
    cr_expect_eq(cpu->mxcsr, 0x1d84);
    cr_expect_eq(cpu->vec[0].u32[0], 0x3f800000);
    cpu->cr4 &= ~CR4_OSXMMEXCPT;
    cr_expect_eq(run(guest, divps, sizeof(divps)), VECTOR_UD);
    vector_guest_destroy(guest);
}

/* Unmasked underflow is for tiny results that are exact, too. */
Test(vector, exact_denormal_results)
{
    static const uint8_t mulss[] = {0xf3, 0x0f, 0x59, 0xc1}; /* mulss xmm0, xmm1 */
    static const uint8_t to_half[] = {0xc4, 0xe3, 0x79,
                                      0x1d, 0xc0, 0x04}; /* vcvtps2ph xmm0, xmm0 */
    struct vector_guest *guest = vector_guest_create(SEED + 12);
    struct host_state *host = host_runner_state(guest->host);
    for (unsigned i = 0; i < 2; i++) {
        const uint8_t *bytes = i ? to_half : mulss;
        unsigned length = i ? sizeof(to_half) : sizeof(mulss);
        if (i && !guest->model.features[DEC_FEATURE_F16C])
            break;
        randomise(guest, DATA_ADDRESS, false);
        guest->cpu->vec[0].u32[0] = host->vec[0].u32[0] = i ? 0x33800000 : 0x00800000; /* least */
        guest->cpu->vec[1].u32[0] = host->vec[1].u32[0] = 0x3f000000;                  /* 1/2 */
        guest->cpu->mxcsr = host->mxcsr = 0x1780; /* UM clear */
        cr_expect_eq(host_run(guest->host, bytes, length), HOST_SIGFPE);
        cr_expect_eq(run(guest, bytes, length), VECTOR_XM);
        cr_expect(states_equal(guest, bytes, length, FLAGS_STATUS));
    }
    vector_guest_destroy(guest);
}

/* Stubs run out in the end; then, and only then, the cache says so. */
Test(vector, a_full_cache_says_so)
{
    struct vector_guest *guest = vector_guest_create(SEED + 4);
    struct dec_insn insn;
    stub_fn *fn;
    enum stub_status status = STUB_OK;
    for (unsigned i = 0; i < 1 << 17 && status == STUB_OK; i++) {
        uint8_t rex = (uint8_t)(0x40 | (i >> 6 & 1) << 2 | (i >> 7 & 1));
        uint8_t pshufd[] = {0x66, rex, 0x0f, 0x70, (uint8_t)(0xc0 | (i & 63)), (uint8_t)(i >> 8)};
        uint8_t pshuflw[] = {0xf2, rex, 0x0f, 0x70, (uint8_t)(0xc0 | (i & 63)), (uint8_t)(i >> 8)};
        const uint8_t *bytes = i >> 16 ? pshuflw : pshufd;
        cr_assert_eq(dec_decode(bytes, 6, DEC_MODE_64, &insn), DEC_OK);
        status = stub_get(guest->cpu->stubs, &insn, &fn);
    }
    cr_expect_eq(status, STUB_FULL);
    stub_flush(guest->cpu->stubs);
    cr_expect_eq(stub_get(guest->cpu->stubs, &insn, &fn), STUB_OK);
    vector_guest_destroy(guest);
}

/* The decoder, asked for the new encoding, must see the registers that encode.h promises. */
Test(encode, round_trip)
{
    struct vector_guest *guest = vector_guest_create(SEED + 5);
    unsigned tried = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t bytes[DEC_MAX_LENGTH];
        struct dec_insn insn;
        struct encoded out;
        uint64_t random = random_64(guest);
        store_le(bytes, random_64(guest), 8);
        store_le(bytes + 7, random_64(guest), 8);
        bytes[0] = random & 1 ? 0xc4 : 0x0f;
        if (random & 1)
            bytes[1] = (bytes[1] & 0xe0) | (1 + (random >> 8) % 3);
        enum dec_mode mode = random & 2 ? DEC_MODE_64 : DEC_MODE_32;
        if (dec_decode(bytes, sizeof(bytes), mode, &insn) != DEC_OK || !is_vector(&insn))
            continue;
        if (insn.mem.vsib || !vector_needs_code(&insn))
            continue;
        tried++;
        cr_assert(encode_for_host(&insn, &out), "%s", dec_info(insn.op)->name);
        cr_assert_eq(out.insn.op, insn.op);
        cr_assert_leq(out.length, DEC_MAX_LENGTH);
        for (unsigned j = 0; j < insn.operand_count; j++) {
            const struct dec_operand *operand = &out.insn.operand[j];
            unsigned reg = operand->reg;
            if (operand->kind == DEC_OPERAND_VEC || operand->kind == DEC_OPERAND_GPR)
                cr_assert(reg == 0 || (reg >= ENCODE_REG && reg <= ENCODE_IS4));
            if (operand->kind == DEC_OPERAND_MEM) {
                cr_assert_eq(out.insn.mem.base, ENCODE_BASE);
                cr_assert_eq(out.insn.mem.disp, 0);
                cr_assert_eq(out.insn.mem.index, DEC_NO_REG);
            }
        }
    }
    cr_expect_gt(tried, 1000u);
    vector_guest_destroy(guest);
}
