/* Every x87 encoding, by the interpreter and by the host on the same random state. */
#include "vector_guest.h"

#include "cpu/fpu.h"
#include "cpu/x87_env.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 0x5eed8700u

static const char *name_of(const uint8_t *bytes)
{
    struct dec_insn insn;
    return dec_decode(bytes, 15, DEC_MODE_64, &insn) == DEC_OK ? dec_info(insn.op)->name : "?";
}

/* Exceptions may be unmasked, and pending. */
static void unmask(struct vector_guest *guest)
{
    struct fx_image *fx = &guest->cpu->fx;
    fx->fcw &= (uint16_t) ~(random_64(guest) & FSW_EXCEPTIONS);
    if (random_64(guest) % 4)
        fx->fsw &= (uint16_t) ~(~fx->fcw & FSW_EXCEPTIONS);
    fpu_summarise(fx);
    host_runner_state(guest->host)->fx = *fx;
}

static bool compare(struct vector_guest *guest, const uint8_t *bytes, unsigned length,
                    bool may_unmask)
{
    randomise(guest, DATA_ADDRESS + (random_64(guest) & 0x1ff), true);
    randomise_data(guest);
    struct fx_image *fx = &guest->cpu->fx;
    fx->fip = random_64(guest) & 0x7fffffffffff;
    fx->fdp = random_64(guest) & 0x7fffffffffff;
    fx->fop = random_64(guest) & FOP_MASK;
    fpu_summarise(fx);
    host_runner_state(guest->host)->fx = *fx;
    if (may_unmask)
        unmask(guest);

    struct dec_insn insn;
    enum host_outcome host = host_run(guest->host, bytes, length);
    int vector = guest_run(guest, bytes, length, &insn);
    bool same = (vector == -1 && host == HOST_OK) || (vector == VECTOR_MF && host == HOST_SIGFPE) ||
                (vector == VECTOR_UD && host == HOST_SIGILL);
    if (!same)
        fprintf(stderr, "%s: guest exception %d, host outcome %d\n", name_of(bytes), vector, host);
    return states_equal(guest, bytes, length, FLAGS_STATUS) && same;
}

/* All of D8 to DF: 8 memory forms at [RBX] and 64 register forms each; with prefix 66 too, which
 * the environment's formats look at. */
static void try_all(struct vector_guest *guest, unsigned repeat, bool may_unmask)
{
    unsigned failed = 0, run = 0;
    for (unsigned i = 0; i < 2 * 8 * 72 * repeat; i++) {
        unsigned form = i / repeat % 72;
        uint8_t modrm = form < 8 ? (uint8_t)(form << 3 | REG_RBX) : (uint8_t)(0xc0 + form - 8);
        uint8_t escape = (uint8_t)(0xd8 + i / repeat / 72 % 8);
        bool prefix = i / repeat / 72 / 8;
        uint8_t bytes[15] = {0x66, escape, modrm};
        struct dec_insn insn;
        if (dec_decode(bytes + !prefix, 15 - !prefix, DEC_MODE_64, &insn) != DEC_OK)
            continue;
        run++;
        failed += !compare(guest, bytes + !prefix, insn.length, may_unmask);
    }
    fprintf(stderr, "%u instructions\n", run);
    cr_expect_eq(failed, 0, "%u of %u differ", failed, run);
    cr_expect_gt(run, 700 * repeat);
}

static unsigned repeats(void)
{
    const char *text = getenv("DOPPEL_TEST_REPEAT");
    return text ? (unsigned)atoi(text) : 8;
}

Test(x87, masked_like_the_host)
{
    struct vector_guest *guest = vector_guest_create(SEED);
    try_all(guest, repeats(), false);
    vector_guest_destroy(guest);
}

Test(x87, unmasked_like_the_host)
{
    struct vector_guest *guest = vector_guest_create(SEED + 1);
    try_all(guest, 2 * repeats(), true);
    vector_guest_destroy(guest);
}

Test(x87, pointers_are_the_guests)
{
    static const uint8_t fadd[] = {0xd8, 0x03};   /* fadd dword [rbx] */
    static const uint8_t fchs[] = {0xd9, 0xe0};   /* fchs */
    static const uint8_t fld1[] = {0xd9, 0xe8};   /* fld1 */
    static const uint8_t fnstcw[] = {0xd9, 0x3b}; /* fnstcw [rbx] */
    struct vector_guest *guest = vector_guest_create(SEED + 2);
    struct fx_image *fx = &guest->cpu->fx;
    struct dec_insn insn;
    randomise(guest, DATA_ADDRESS + 16, false);
    fx->ftw = 0;
    fpu_set_fcw(fx, FCW_DEFAULT);
    fx->fop = 0x123;
    fx->fdp = 0x456;
    cr_assert_eq(guest_run(guest, fadd, sizeof(fadd), &insn), -1); /* of an empty register */
    cr_expect_eq(fx->fip, 0x1000);
    cr_expect_eq(fx->fdp, 0x456, "no unmasked exception: as it was");
    cr_expect_eq(fx->fop, 0x123);
    fx->fsw = 0;
    fx->ftw = 0;
    fpu_set_fcw(fx, FCW_DEFAULT & ~FSW_IE);
    cr_assert_eq(guest_run(guest, fadd, sizeof(fadd), &insn), -1);
    cr_expect_eq(fx->fdp, DATA_ADDRESS + 16);
    cr_expect_eq(fx->fop, 0x003);
    fx->fsw = 0;
    fx->ftw = 0xff;
    cr_assert_eq(guest_run(guest, fld1, sizeof(fld1), &insn), -1);
    cr_expect_eq(fx->fop, 0x1e8);
    cr_expect_eq(fx->fdp, DATA_ADDRESS + 16, "no memory operand: as it was");
    fx->fsw = 0;
    cr_assert_eq(guest_run(guest, fchs, sizeof(fchs), &insn), -1);
    cr_assert_eq(guest_run(guest, fnstcw, sizeof(fnstcw), &insn), -1);
    cr_expect_eq(fx->fop, 0x1e8, "a control instruction");
    cr_expect_eq(fx->mxcsr, MXCSR_DEFAULT);
    vector_guest_destroy(guest);
}

/* Without CR0.NE a pending exception does not stop the program, and stays pending. */
Test(x87, ignored_exceptions_stay_pending)
{
    static const uint8_t fld1[] = {0xd9, 0xe8};
    struct vector_guest *guest = vector_guest_create(SEED + 3);
    struct fx_image *fx = &guest->cpu->fx;
    struct dec_insn insn;
    randomise(guest, DATA_ADDRESS, false);
    guest->cpu->cr0 &= ~CR0_NE;
    fx->fcw = 0x0360;
    fx->fsw = 0x0004;
    fpu_summarise(fx);
    cr_assert_eq(guest_run(guest, fld1, sizeof(fld1), &insn), -1);
    cr_expect_eq(fx->fsw, 0x8084 | 7 << FSW_TOP_SHIFT);
    cr_expect_eq(fx->ftw, 0x80);
    vector_guest_destroy(guest);
}

/* The 16- and 32-bit formats of real mode, which the host cannot show (SDM vol. 1, figures 8-10 and
 * 8-12). */
Test(x87, environments_of_real_mode)
{
    struct fx_image fx = {.fcw = 0x37f, .fsw = 0x3800, .ftw = 0x80, .fop = 0x5a5};
    fx.fip = 0x12345;
    fx.fdp = 0xabcde;
    uint8_t env[X87_ENV_MAX];
    cr_expect_eq(x87_env_store(&fx, X87_ENV_REAL_16, env), 14);
    static const uint16_t expected_16[] = {0x037f, 0x3800, 0x7fff, 0x2345, 0x15a5, 0xbcde, 0xa000};
    cr_expect_arr_eq(env, expected_16, sizeof(expected_16));
    cr_expect_eq(x87_env_store(&fx, X87_ENV_REAL_32, env), 28);
    static const uint32_t expected_32[] = {0xffff037f, 0xffff3800, 0xffff7fff, 0xffff2345,
                                           0x000015a5, 0xffffbcde, 0x0000a000};
    cr_expect_arr_eq(env, expected_32, sizeof(expected_32));

    struct fx_image loaded = {0};
    x87_env_load(&loaded, X87_ENV_REAL_32, env);
    cr_expect_eq(loaded.fip, 0x12345);
    cr_expect_eq(loaded.fdp, 0xabcde);
    cr_expect_eq(loaded.fop, 0x5a5);
    cr_expect_eq(loaded.ftw, 0x80);
    cr_expect_eq(loaded.fsw, 0x3800);
}
