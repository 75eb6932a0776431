/* REP MOVS and REP STOS: the interpreter's results, at pages' ends, on overlaps, into code,
 * downwards and where they fault. */
#include "../differential/random.h"
#include "guest.h"

#include <criterion/criterion.h>
#include <string.h>

#define SEED 0x5eed5
#define CASES 3000

static const struct jit_config defaults = {.without = JIT_PATIENCE};

struct registers {
    uint64_t rsi, rdi, rcx, rflags;
};

/* Mostly near a page's end, now and then in a page with code or in none. */
static uint64_t random_place(struct random *random)
{
    if (random_chance(random, 10))
        return GUEST_CODE + PAGE_SIZE - 20 + random_below(random, 40);
    uint64_t page = GUEST_DATA + random_below(random, 4) * PAGE_SIZE;
    return page - random_below(random, random_chance(random, 50) ? 40 : PAGE_SIZE);
}

static void start(struct guest *guest, const struct registers *registers)
{
    guest_start(guest, GUEST_CODE);
    guest->cpu->gpr[REG_RSI] = registers->rsi;
    guest->cpu->gpr[REG_RDI] = registers->rdi;
    guest->cpu->gpr[REG_RCX] = registers->rcx;
    guest->cpu->gpr[REG_RAX] = 0x8877665544332211;
    guest->cpu->rflags |= registers->rflags;
}

static void compare(struct guest guest[2], unsigned number)
{
    enum cpu_exit expected = cpu_run(guest[0].cpu);
    cr_assert_eq(cpu_run(guest[1].cpu), expected, "case %u", number);
    for (unsigned i = 0; i < 16; i++)
        cr_assert_eq(guest[0].cpu->gpr[i], guest[1].cpu->gpr[i], "case %u, register %u", number, i);
    cr_assert_eq(guest[0].cpu->rip, guest[1].cpu->rip, "case %u", number);
    cr_assert_eq(guest[0].cpu->cr2, guest[1].cpu->cr2, "case %u", number);
    cr_assert_arr_eq(guest_data(&guest[0]), guest_data(&guest[1]), GUEST_DATA_SIZE, "case %u",
                     number);
    cr_assert_arr_eq(guest_code(&guest[0]), guest_code(&guest[1]), GUEST_CODE_SIZE, "case %u",
                     number);
}

/* stc; rep movs or rep stos; setc dl; hlt, and hlt in the page behind. */
static void set_code(struct guest *guest, bool moves, unsigned shift)
{
    uint8_t code[] = {0xf9, 0x90, 0x90, 0xf3, 0x90, 0x0f, 0x92, 0xc2, 0xf4};
    uint8_t *at = &code[4];
    if (shift == 1) {
        code[2] = 0x66;
    } else if (shift == 3) {
        at[-1] = 0x48;
        at[-2] = 0xf3;
    }
    *at = (uint8_t)((moves ? 0xa4 : 0xaa) | (shift != 0));
    guest_set_code(guest, 0, code, sizeof(code));
    guest_set_code(guest, PAGE_SIZE, "\xf4", 1);
}

Test(jit_strings, as_the_interpreter)
{
    struct random random = {SEED};
    struct guest guest[2];
    for (unsigned i = 0; i < 2; i++) {
        guest_create(&guest[i], i ? &defaults : NULL);
        for (unsigned j = 0; j < GUEST_DATA_SIZE; j++)
            guest_data(&guest[i])[j] = (uint8_t)(j * 7 + j / 256);
    }
    for (unsigned number = 0; number < CASES; number++) {
        bool moves = random_chance(&random, 60);
        unsigned shift = (unsigned)random_below(&random, 4);
        struct registers registers = {
            .rsi = random_place(&random),
            .rdi = random_place(&random),
            .rcx = random_below(&random, random_chance(&random, 70) ? 40 : PAGE_SIZE),
            .rflags = random_chance(&random, 10) ? FLAG_DF : 0,
        };
        if (random_chance(&random, 20)) /* overlapping */
            registers.rdi = registers.rsi + random_below(&random, 32) - 16;
        for (unsigned i = 0; i < 2; i++) {
            set_code(&guest[i], moves, shift);
            start(&guest[i], &registers);
        }
        compare(guest, number);
    }
    guest_destroy(&guest[0]);
    guest_destroy(&guest[1]);
}
