/* FXSAVE, FXRSTOR, the XSAVE family, MXCSR and EMMS against the host, and against the manual where
 * the host cannot be asked. */
#include "vector_guest.h"

#include "cpu/exception.h"
#include "cpu/fpu.h"
#include "cpu/xstate.h"
#include "host/features.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SEED 0x5eed5a7eu

/* What the host must have to be asked. */
enum host_need { NEEDS_NOTHING, NEEDS_XSAVE, NEEDS_XSAVEOPT, NEEDS_XSAVEC };

/* With and without REX.W, at [RBX]. */
struct state_insn {
    const char *name;
    uint8_t bytes[4];
    uint8_t length;
    uint8_t needs;  /* enum host_need */
    bool from_area; /* reads a whole area, which must be plausible */
};

static const struct state_insn insns[] = {
    {"fxsave", {0x0f, 0xae, 0x03}, 3, NEEDS_NOTHING, false},
    {"fxsave64", {0x48, 0x0f, 0xae, 0x03}, 4, NEEDS_NOTHING, false},
    {"fxrstor", {0x0f, 0xae, 0x0b}, 3, NEEDS_NOTHING, true},
    {"fxrstor64", {0x48, 0x0f, 0xae, 0x0b}, 4, NEEDS_NOTHING, true},
    {"xsave", {0x0f, 0xae, 0x23}, 3, NEEDS_XSAVE, false},
    {"xsave64", {0x48, 0x0f, 0xae, 0x23}, 4, NEEDS_XSAVE, false},
    {"xsaveopt64", {0x48, 0x0f, 0xae, 0x33}, 4, NEEDS_XSAVEOPT, false},
    {"xsavec64", {0x48, 0x0f, 0xc7, 0x23}, 4, NEEDS_XSAVEC, false},
    {"xrstor", {0x0f, 0xae, 0x2b}, 3, NEEDS_XSAVE, true},
    {"xrstor64", {0x48, 0x0f, 0xae, 0x2b}, 4, NEEDS_XSAVE, true},
    {"ldmxcsr", {0x0f, 0xae, 0x13}, 3, NEEDS_NOTHING, false},
    {"stmxcsr", {0x0f, 0xae, 0x1b}, 3, NEEDS_NOTHING, false},
    {"emms", {0x0f, 0x77}, 2, NEEDS_NOTHING, false},
};

/* An area for the restoring ones: random, valid in most ways, in either format. */
static void make_area(struct vector_guest *guest, uint8_t *area)
{
    uint64_t random = random_64(guest);
    uint8_t *header = area + XSTATE_HEADER_OFFSET;
    store_le(area + 24, random >> 32 & (random % 8 ? 0xffff : 0x1ffff), 4);
    store_le(area + 8, random_64(guest) & 0x7fffffffffff, 8);
    store_le(area + 16, random_64(guest) & 0x7fffffffffff, 8);
    memset(header, 0, XSTATE_HEADER_SIZE);
    uint64_t components = random >> 8 & XSTATE_ALL;
    if (random & BIT(12)) {
        store_le(header + 8, components | XCOMP_COMPACTED, 8);
        components &= random >> 16;
    }
    store_le(header, components, 8);
    if (random % 16 == 1) /* a reserved bit, not one of a component that the host may have */
        header[(random >> 20 & 63) | 3] ^= 1 << (random >> 28 & 7);
}

static bool host_has(enum host_need need)
{
    struct host_features host;
    host_features_read(&host);
    switch (need) {
    case NEEDS_XSAVE:
        return host.xcr0;
    case NEEDS_XSAVEOPT:
        return host.leafd1_eax & BIT(0);
    case NEEDS_XSAVEC:
        return host.leafd1_eax & BIT(1);
    default:
        return true;
    }
}

static enum host_outcome outcome_of(int vector)
{
    if (vector == -1)
        return HOST_OK;
    return vector == VECTOR_UD ? HOST_SIGILL : vector == VECTOR_MF ? HOST_SIGFPE : HOST_SIGSEGV;
}

static bool compare(struct vector_guest *guest, const struct state_insn *insn)
{
    uint64_t random = random_64(guest);
    struct host_state *host = host_runner_state(guest->host);
    randomise(guest, DATA_ADDRESS + (random % 16 ? 0 : 8), true);
    randomise_data(guest);
    guest->cpu->fx.fip = random_64(guest) & 0x7fffffffffff;
    guest->cpu->fx.fdp = random_64(guest) & 0x7fffffffffff;
    guest->cpu->fx.fop = random_64(guest) & FOP_MASK;
    fpu_summarise(&guest->cpu->fx);
    host->fx = guest->cpu->fx;
    if (insn->from_area)
        make_area(guest, guest->host_data);
    else if (random & BIT(8)) /* a plausible LDMXCSR, and an XSTATE_BV to be kept in part */
        store_le(guest->host_data, random >> 16 & 0xffff, 4);
    memcpy(guest->guest_data, guest->host_data, DATA_SIZE);
    guest->cpu->gpr[REG_RAX] = host->gpr[REG_RAX] = random >> 32 & XSTATE_ALL;
    guest->cpu->gpr[REG_RDX] = host->gpr[REG_RDX] = 0;

    struct dec_insn decoded;
    enum host_outcome outcome = host_run(guest->host, insn->bytes, insn->length);
    int vector = guest_run(guest, insn->bytes, insn->length, &decoded);
    bool same = outcome == outcome_of(vector);
    if (!same)
        fprintf(stderr, "%s: guest exception %d, host outcome %d\n", insn->name, vector, outcome);
    return states_equal(guest, insn->bytes, insn->length, 0) && same;
}

Test(state, like_the_host)
{
    struct vector_guest *guest = vector_guest_create(SEED);
    for (unsigned i = 0; i < ARRAY_SIZE(insns); i++) {
        if (!host_has((enum host_need)insns[i].needs))
            continue;
        unsigned failed = 0;
        for (unsigned j = 0; j < 500; j++)
            failed += !compare(guest, &insns[i]);
        cr_expect_eq(failed, 0, "%s: %u of 500 differ", insns[i].name, failed);
    }
    vector_guest_destroy(guest);
}

static const uint8_t xsave64[] = {0x48, 0x0f, 0xae, 0x23}, xsavec64[] = {0x48, 0x0f, 0xc7, 0x23},
                     xsaves64[] = {0x48, 0x0f, 0xc7, 0x2b}, xrstors64[] = {0x48, 0x0f, 0xc7, 0x1b},
                     xsaveopt64[] = {0x48, 0x0f, 0xae, 0x33};

static int run(struct vector_guest *guest, const uint8_t bytes[4])
{
    struct dec_insn insn;
    return guest_run(guest, bytes, 4, &insn);
}

Test(state, initial_components_are_left_out)
{
    struct vector_guest *guest = vector_guest_create(SEED + 1);
    struct cpu *cpu = guest->cpu;
    uint8_t *area = guest->guest_data;
    cpu->gpr[REG_RAX] = XSTATE_ALL;
    cpu->gpr[REG_RBX] = DATA_ADDRESS;
    cpu->vec[3].u8[20] = 1;
    memset(area, 0xcc, DATA_SIZE);
    memset(area + XSTATE_HEADER_OFFSET, 0, XSTATE_HEADER_SIZE);

    cr_assert_eq(run(guest, xsaveopt64), -1);
    cr_expect_eq(load_le(area + 512, 8), XSTATE_AVX);
    cr_expect_eq(area[0], 0xcc);
    cr_expect_eq(load_le(area + 24, 4), MXCSR_DEFAULT);
    cr_expect_eq(area[160], 0xcc);
    cr_expect_eq(area[576 + 3 * 16 + 4], 1);

    memset(area, 0xcc, DATA_SIZE);
    cr_assert_eq(run(guest, xsavec64), -1);
    cr_expect_eq(load_le(area + 512, 8), XSTATE_AVX);
    cr_expect_eq(load_le(area + 520, 8), XSTATE_ALL | XCOMP_COMPACTED);
    cr_expect_eq(area[24], 0xcc, "MXCSR goes with the SSE component");

    cpu->mxcsr = 0x1f81;
    cr_assert_eq(run(guest, xsavec64), -1);
    cr_expect_eq(load_le(area + 512, 8), XSTATE_AVX | XSTATE_SSE);
    cr_expect_eq(load_le(area + 24, 4), 0x1f81);
    vector_guest_destroy(guest);
}

Test(state, supervisor_forms_need_privilege_and_compaction)
{
    struct vector_guest *guest = vector_guest_create(SEED + 2);
    struct cpu *cpu = guest->cpu;
    randomise(guest, DATA_ADDRESS, true);
    cpu->gpr[REG_RAX] = XSTATE_ALL;
    cpu->gpr[REG_RDX] = 0;
    union vec saved[16];
    memcpy(saved, cpu->vec, sizeof(saved));

    cr_assert_eq(run(guest, xsaves64), -1);
    memset(cpu->vec, 0, sizeof(cpu->vec));
    cr_assert_eq(run(guest, xrstors64), -1);
    cr_expect_arr_eq(cpu->vec, saved, sizeof(saved));

    cpu->cpl = 3;
    cr_expect_eq(run(guest, xsaves64), VECTOR_GP);
    cr_expect_eq(run(guest, xrstors64), VECTOR_GP);
    cpu->cpl = 0;
    cr_assert_eq(run(guest, xsave64), -1);
    store_le(guest->guest_data + 520, 0, 8);
    cr_expect_eq(run(guest, xrstors64), VECTOR_GP);
    vector_guest_destroy(guest);
}

Test(state, xsave_is_gated)
{
    struct vector_guest *guest = vector_guest_create(SEED + 3);
    randomise(guest, DATA_ADDRESS, false);
    guest->cpu->cr0 |= CR0_TS;
    cr_expect_eq(run(guest, xsave64), VECTOR_NM);
    guest->cpu->cr4 &= ~CR4_OSXSAVE;
    cr_expect_eq(run(guest, xsave64), VECTOR_UD);
    vector_guest_destroy(guest);
}

/* Outside 64-bit mode there are eight vector registers. */
Test(state, code_of_32_bits)
{
    static const uint8_t fxsave[] = {0x0f, 0xae, 0x03, 0}, fxrstor[] = {0x0f, 0xae, 0x0b, 0};
    struct vector_guest *guest = vector_guest_create(SEED + 4);
    struct cpu *cpu = guest->cpu;
    randomise(guest, 0, true);
    enter_32_bit_mode(guest, DATA_SIZE - 1);
    memset(guest->guest_data, 0xcc, DATA_SIZE);
    cr_assert_eq(run(guest, fxsave), -1);
    cr_expect_arr_eq(guest->guest_data + 160 + 7 * 16, &cpu->vec[7], 16);
    for (unsigned i = 288; i < 512; i++)
        cr_assert_eq(guest->guest_data[i], 0xcc);

    union vec seven = cpu->vec[7], eight = cpu->vec[8];
    cpu->vec[7].u64[0]++;
    cr_assert_eq(run(guest, fxrstor), -1);
    cr_expect_arr_eq(&cpu->vec[7], &seven, 16);
    cr_expect_arr_eq(&cpu->vec[8], &eight, sizeof(eight));
    vector_guest_destroy(guest);
}

/* A fault at the end of the area comes before anything is written at its beginning. */
Test(state, saves_are_all_or_nothing)
{
    static const uint8_t fxsave[] = {0x0f, 0xae, 0x03, 0}, xsave[] = {0x0f, 0xae, 0x23, 0},
                         fnsave[] = {0xdd, 0x33, 0, 0};
    const uint8_t *insn[] = {fxsave, xsave, fnsave};
    struct vector_guest *guest = vector_guest_create(SEED + 5);
    struct cpu *cpu = guest->cpu;
    for (unsigned i = 0; i < ARRAY_SIZE(insn); i++) {
        randomise(guest, 0x1000, true);
        enter_32_bit_mode(guest, 0x1000 + 90);
        cpu->gpr[REG_RAX] = XSTATE_ALL;
        memset(guest->guest_data, 0xcc, DATA_SIZE);
        struct fx_image before = cpu->fx;
        cr_expect_eq(run(guest, insn[i]), VECTOR_GP);
        for (unsigned j = 0; j < DATA_SIZE; j++)
            cr_assert_eq(guest->guest_data[j], 0xcc, "instruction %u", i);
        cr_expect_arr_eq(&cpu->fx, &before, sizeof(before));
    }
    vector_guest_destroy(guest);
}
