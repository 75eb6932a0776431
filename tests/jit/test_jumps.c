/* Jumps between translated blocks, where the target changes under them: mappings, code, returns. */
#include "guest.h"

#include <criterion/criterion.h>

#define FAR (GUEST_CODE + PAGE_SIZE)           /* what is remapped */
#define OTHER (GUEST_CODE_GPA + 2 * PAGE_SIZE) /* to here */

static const struct jit_config defaults = {0};
static struct guest guest;

static void set_up(void)
{
    guest_create(&guest, &defaults);
    guest_start(&guest, GUEST_CODE);
    guest.cpu->cr4 |= CR4_PGE;
}

static void tear_down(void)
{
    guest_destroy(&guest);
}

TestSuite(jit_jumps, .init = set_up, .fini = tear_down);

/* Runs to the next HLT, without a flush; returns EDX. */
static uint32_t run_at(gva_t rip)
{
    guest.cpu->rip = rip;
    guest.cpu->halted = false;
    guest.cpu->gpr[REG_RAX] = FAR;
    guest.cpu->gpr[REG_RSP] = GUEST_DATA + PAGE_SIZE;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    return (uint32_t)guest.cpu->gpr[REG_RDX];
}

/* mov edx, value; hlt in the page at FAR and in the one it is remapped to. */
static void set_far_code(void)
{
    guest_set_code(&guest, PAGE_SIZE, "\xba\x01\0\0\0\xf4", 6);
    guest_set_code(&guest, 2 * PAGE_SIZE, "\xba\x02\0\0\0\xf4", 6);
}

static void switch_space(void)
{
    cr_assert(cpu_write_cr3(guest.cpu, guest.cpu->cr3));
}

static void jump_to_page_that_is_remapped(const char *code, unsigned size)
{
    guest_set_code(&guest, 0, code, size);
    set_far_code();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 1);
    guest_map(&guest, FAR, OTHER, 0);
    mmu_invlpg(guest.cpu, FAR);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 2);
    guest_map(&guest, FAR, GUEST_CODE_GPA + PAGE_SIZE, 0);
    switch_space();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 1);
}

Test(jit_jumps, indirect_jump_to_a_page_that_is_remapped)
{
    jump_to_page_that_is_remapped("\xff\xe0", 2);
}

Test(jit_jumps, direct_jump_to_a_page_that_is_remapped)
{
    jump_to_page_that_is_remapped("\xe9\xfb\x0f\0\0", 5);
}

Test(jit_jumps, call_to_a_page_that_is_remapped)
{
    jump_to_page_that_is_remapped("\xe8\xfb\x0f\0\0", 5);
}

/* A global translation stays when CR3 is loaded, and goes with INVLPG. */
Test(jit_jumps, global_page_that_is_remapped)
{
    guest_set_code(&guest, 0, "\xff\xe0", 2);
    set_far_code();
    guest_map(&guest, FAR, GUEST_CODE_GPA + PAGE_SIZE, GUEST_GLOBAL);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(run_at(GUEST_CODE), 1);
        switch_space();
    }
    guest_map(&guest, FAR, OTHER, GUEST_GLOBAL);
    mmu_invlpg(guest.cpu, FAR);
    cr_assert_eq(run_at(GUEST_CODE), 2);
    guest_map(&guest, FAR, GUEST_CODE_GPA + PAGE_SIZE, 0);
    mmu_flush_all(guest.cpu);
    cr_assert_eq(run_at(GUEST_CODE), 1);
    guest_map(&guest, FAR, OTHER, 0);
    switch_space();
    cr_assert_eq(run_at(GUEST_CODE), 2, "it is no longer global");
}

/* Code that has been found once is not looked for again in other spaces, if it is global. */
Test(jit_jumps, global_code_is_found_in_all_spaces)
{
    guest_set_code(&guest, 0, "\xff\xe0", 2);
    set_far_code();
    guest_map(&guest, GUEST_CODE, GUEST_CODE_GPA, GUEST_GLOBAL);
    guest_map(&guest, FAR, GUEST_CODE_GPA + PAGE_SIZE, GUEST_GLOBAL);
    cr_assert_eq(run_at(GUEST_CODE), 1);
    uint64_t misses = guest.cpu->stats.jump_cache_misses;
    uint64_t exits = jit_stats(guest.cpu)->exits[JIT_EXIT_MISS];
    for (unsigned i = 0; i < 10; i++) {
        switch_space();
        cr_assert_eq(run_at(GUEST_CODE), 1);
    }
    cr_expect_eq(guest.cpu->stats.jump_cache_misses, misses);
    cr_expect_eq(jit_stats(guest.cpu)->exits[JIT_EXIT_MISS], exits);
}
