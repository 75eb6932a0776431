/* Random bytes as vector, x87 and state instructions in all modes: whatever comes, the state stays
 * one that a CPU can have, and the host's own floating-point state is clean. */
#include "vector_guest.h"

#include "cpu/fpu.h"

#include <criterion/criterion.h>

#define SEED 0x5eedf022u

/* Bytes that are likely to be of interest: prefixes, then an escape or VEX. */
static void random_bytes(struct vector_guest *guest, uint8_t bytes[DEC_MAX_LENGTH])
{
    static const uint8_t prefixes[] = {0x66, 0xf2, 0xf3, 0x67, 0x48, 0x4f, 0x64, 0x36};
    static const uint8_t starts[] = {0x0f, 0x0f, 0x0f, 0xc4, 0xc5, 0xd8, 0xd9,
                                     0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0x9b};
    uint64_t random = random_64(guest);
    store_le(bytes, random_64(guest), 8);
    store_le(bytes + 7, random_64(guest), 8);
    unsigned at = random % 3;
    for (unsigned i = 0; i < at; i++)
        bytes[i] = prefixes[(random >> (8 + 8 * i)) % ARRAY_SIZE(prefixes)];
    bytes[at] = starts[(random >> 32) % ARRAY_SIZE(starts)];
    if (bytes[at] == 0x0f && random & BIT(40))
        bytes[at + 1] = random & BIT(41) ? 0x38 : random & BIT(42) ? 0x3a : 0xae;
    if (bytes[at] == 0xc4)
        bytes[at + 1] = (bytes[at + 1] & 0xe0) | (1 + (random >> 44) % 3);
}

static bool is_ours(const struct dec_insn *insn)
{
    enum dec_class op_class = dec_info(insn->op)->op_class;
    return op_class >= DEC_CLASS_X87 && op_class <= DEC_CLASS_STATE;
}

static uint32_t host_mxcsr(void)
{
    uint32_t value;
    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

static uint16_t host_fcw(void)
{
    uint16_t value;
    __asm__ volatile("fnstcw %0" : "=m"(value));
    return value;
}

static void check_state(const struct cpu *cpu, const char *name)
{
    struct fx_image fx = cpu->fx;
    fpu_summarise(&fx);
    cr_assert_eq(fx.fsw, cpu->fx.fsw, "%s: ES and B", name);
    fpu_set_fcw(&fx, fx.fcw);
    cr_assert_eq(fx.fcw, cpu->fx.fcw, "%s: FCW", name);
    cr_assert_eq(cpu->fx.fop & ~FOP_MASK, 0, "%s: FOP", name);
    cr_assert_eq(cpu->fx.mxcsr, MXCSR_DEFAULT, "%s: the host's MXCSR in the image", name);
    cr_assert_eq(cpu->mxcsr & ~MXCSR_VALID, 0, "%s: MXCSR", name);
    cr_assert_eq(host_mxcsr() & ~0x3fu, MXCSR_DEFAULT, "%s: the host's MXCSR", name);
    cr_assert_eq(host_fcw(), FCW_DEFAULT, "%s: the host's FCW", name);
}

/* Some pages of the guest's addresses are in memory, most are not. */
static void random_state(struct vector_guest *guest)
{
    struct cpu *cpu = guest->cpu;
    uint64_t random = random_64(guest);
    randomise(guest, DATA_ADDRESS + (random & 0x1ff), true);
    fpu_summarise(&cpu->fx);
    for (unsigned i = 0; i < 16; i++) {
        if (random >> i & 1)
            cpu->gpr[i] = DATA_ADDRESS + (random_64(guest) & 0xff0);
    }
    if (random & BIT(20)) {
        cpu->mxcsr &= ~(uint32_t)(random >> 24 & 0x1f80);
        fpu_set_fcw(&cpu->fx, (uint16_t)(random >> 40));
        fpu_summarise(&cpu->fx);
    }
    cpu->cr0 = CR0_PE | (random & BIT(56) ? CR0_NE : 0);
}

Test(vector, random_bytes_in_all_modes)
{
    struct vector_guest *guest = vector_guest_create(SEED);
    uint32_t mode_64 = guest->cpu->mode;
    unsigned run = 0, completed = 0;
    for (unsigned i = 0; i < 300000; i++) {
        uint8_t bytes[DEC_MAX_LENGTH];
        struct dec_insn insn;
        random_bytes(guest, bytes);
        if (i % 3)
            enter_32_bit_mode(guest, 0xffff);
        if (i % 3 == 2)
            guest->cpu->mode = (guest->cpu->mode & ~(uint32_t)MODE_CODE) | DEC_MODE_16;
        else if (i % 3 == 0)
            guest->cpu->mode = mode_64;
        if (dec_decode(bytes, sizeof(bytes), mode_code(guest->cpu->mode), &insn) != DEC_OK ||
            !is_ours(&insn))
            continue;
        run++;
        random_state(guest);
        int vector = guest_run(guest, bytes, insn.length, &insn);
        completed += vector == -1;
        cr_assert(vector == -1 || vector == VECTOR_UD || vector == VECTOR_GP ||
                      vector == VECTOR_SS || vector == VECTOR_MF || vector == VECTOR_XM,
                  "%s: exception %d", dec_info(insn.op)->name, vector);
        check_state(guest->cpu, dec_info(insn.op)->name);
    }
    cr_expect_gt(run, 50000u);
    cr_expect_gt(completed, run / 4);
    vector_guest_destroy(guest);
}
