/* Jumps between translated blocks, where the target changes under them: mappings, code, returns. */
#include "guest.h"

#include <criterion/criterion.h>

#define FAR (GUEST_CODE + PAGE_SIZE) /* what is remapped */
#define COLLIDING (GUEST_CODE + 0x8000)
#define OTHER (GUEST_CODE_GPA + 2 * PAGE_SIZE) /* to here */

static const struct jit_config defaults = {.without = JIT_PATIENCE};
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

/* A page that a block's last instruction crosses into is remapped: what leads to that instruction
 * must not be tied to its old half. mov edx, imm with the immediate in the page at FAR; hlt. */
Test(jit_jumps, instruction_across_a_page_that_is_remapped)
{
    guest_set_code(&guest, PAGE_SIZE - 3, "\xeb\x00\xba\x01\0\0\0\xf4", 8);
    guest_set_code(&guest, 2 * PAGE_SIZE, "\x02\0\0\0\xf4", 5);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(FAR - 3), 1);
    guest_map(&guest, FAR, OTHER, 0);
    mmu_invlpg(guest.cpu, FAR);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(FAR - 3), 2);
}

#define LARGE 0xa00000ull                   /* a page of 2 MiB over the guest's memory */
#define LARGE_CODE (LARGE + GUEST_CODE_GPA) /* where the code area shows in it */

/* Jumps between pages of a large page that becomes a table of small ones, with the second page of
 * the code elsewhere. */
static void jump_in_large_page(const char *code, unsigned size, uint64_t flags)
{
    guest_map_large(&guest, LARGE, 0, flags);
    guest_set_code(&guest, 0, code, size);
    set_far_code();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 1);
    guest_set_code(&guest, PAGE_SIZE + 1, "\x05", 1);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 5, "the link's target was written to");
    guest_split_large(&guest, LARGE, 0, flags);
    guest_map(&guest, LARGE_CODE + PAGE_SIZE, OTHER, flags);
    mmu_invlpg(guest.cpu, LARGE + 5 * PAGE_SIZE);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 2);
    guest_map_large(&guest, LARGE, 0, flags);
    mmu_invlpg(guest.cpu, LARGE_CODE + PAGE_SIZE);
    mmu_invlpg(guest.cpu, LARGE_CODE);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 5);
}

Test(jit_jumps, jump_in_a_large_page)
{
    jump_in_large_page("\xe9\xfb\x0f\0\0", 5, 0);
}

Test(jit_jumps, jump_in_a_global_large_page)
{
    jump_in_large_page("\xe9\xfb\x0f\0\0", 5, GUEST_GLOBAL);
}

/* stc; jc */
Test(jit_jumps, conditional_jump_in_a_large_page)
{
    jump_in_large_page("\xf9\x0f\x82\xf9\x0f\0\0", 7, 0);
}

Test(jit_jumps, call_in_a_large_page)
{
    jump_in_large_page("\xe8\xfb\x0f\0\0", 5, 0);
}

/* Flags cross the border of two pages: stc in one; setc dl; movzx edx, dl; hlt in the next. */
Test(jit_jumps, flags_pass_through_a_large_page)
{
    guest_map_large(&guest, LARGE, 0, 0);
    guest_set_code(&guest, 0, "\xf9\xe9\xfa\x0f\0\0", 6);
    guest_set_code(&guest, PAGE_SIZE, "\x0f\x92\xc2\x0f\xb6\xd2\xf4", 7);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 1);
    guest_set_code(&guest, 0, "\xf8", 1);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(LARGE_CODE), 0);
}

/* The callee returns to elsewhere than behind the call, to where no call was, and twice. */
Test(jit_jumps, returns_that_match_no_call)
{
    /* 00: call 0x20; mov edx, 1; hlt   20: add qword [rsp], 0x40 - 5; ret   40: mov edx, 2; hlt */
    guest_set_code(&guest, 0, "\xe8\x1b\0\0\0\xba\x01\0\0\0\xf4", 11);
    guest_set_code(&guest, 0x20, "\x48\x83\x04\x24\x3b\xc3", 6);
    guest_set_code(&guest, 0x40, "\xba\x02\0\0\0\xf4", 6);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 2);
    guest_set_code(&guest, 0x24, "\x00", 1);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 1);
    /* 80: push rax; ret to FAR */
    guest_set_code(&guest, 0x80, "\x50\xc3", 2);
    set_far_code();
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE + 0x80), 1);
}

/* As longjmp() does: 00: mov rbx, rsp; call 0x20; hlt   20: call 0x40; hlt
 * 40: mov rsp, rbx; inc edx; cmp edx, 50; jb 0; call 0x60; hlt   60: ret */
Test(jit_jumps, calls_that_never_return)
{
    guest_set_code(&guest, 0, "\x48\x89\xe3\xe8\x18\0\0\0\xf4", 9);
    guest_set_code(&guest, 0x20, "\xe8\x1b\0\0\0\xf4", 6);
    guest_set_code(&guest, 0x40, "\x48\x89\xdc\xff\xc2\x83\xfa\x32\x72\xb6\xe8\x11\0\0\0\xf4", 16);
    guest_set_code(&guest, 0x60, "\xc3", 1);
    guest.cpu->gpr[REG_RDX] = 0;
    cr_assert_eq(run_at(GUEST_CODE), 50);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 0x50);
}

/* The code behind a call is rewritten by its callee, and the page that it lies in is remapped. */
Test(jit_jumps, code_behind_a_call_changes)
{
    /* 00: call FAR; mov edx, 1; hlt   FAR: add dword [GUEST_CODE + 6], 1; ret */
    guest_set_code(&guest, 0, "\xe8\xfb\x0f\0\0\xba\x01\0\0\0\xf4", 11);
    guest_set_code(&guest, PAGE_SIZE, "\x83\x05\xff\xef\xff\xff\x01\xc3", 8);
    for (uint32_t i = 2; i < 6; i++)
        cr_assert_eq(run_at(GUEST_CODE), i);
    guest_set_code(&guest, PAGE_SIZE, "\x90\x90\x90\x90\x90\x90\x90\xc3", 8);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 5);
    guest_set_code(&guest, 2 * PAGE_SIZE, "\xe8\xfb\x0f\0\0\xba\x09\0\0\0\xf4", 11);
    guest_map(&guest, GUEST_CODE, OTHER, 0);
    mmu_invlpg(guest.cpu, GUEST_CODE);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(run_at(GUEST_CODE), 9);
}

/* 00: call 0x10; hlt   10: dec ecx; jz; call 0x10;
 * inc edx; ret */
Test(jit_jumps, deep_recursion)
{
    guest_set_code(&guest, 0, "\xe8\x0b\0\0\0\xf4", 6);
    guest_set_code(&guest, 0x10, "\xff\xc9\x74\x05\xe8\xf7\xff\xff\xff\xff\xc2\xc3", 12);
    for (unsigned i = 0; i < 4; i++) {
        guest.cpu->gpr[REG_RCX] = 100;
        guest.cpu->gpr[REG_RDX] = 0;
        cr_assert_eq(run_at(GUEST_CODE), 100);
    }
}

/* loop, loope, loopne, jrcxz and their forms with ECX; the flags stay. */
Test(jit_jumps, loops_by_count)
{
    static const struct {
        const char *code;
        unsigned size;
        uint64_t rcx, edx, left;
    } cases[] = {
        {"\x8d\x52\x01\xe2\xfb\xf4", 6, 5, 5, 0},
        {"\x8d\x52\x01\x67\xe2\xfa\xf4", 7, 0x100000003, 3, 0},
        {"\xff\xc2\x83\xfa\x07\xe0\xf9\xf4", 8, 100, 7, 93},
        {"\xff\xc2\x83\xfa\x01\xe1\xf9\xf4", 8, 100, 2, 98},
        {"\xe3\x01\xf4\xba\x0b\0\0\0\xf4", 9, 0, 11, 0},
        {"\xe3\x01\xf4\xba\x0b\0\0\0\xf4", 9, 1, 0, 1},
        {"\x67\xe3\x01\xf4\xba\x0b\0\0\0\xf4", 10, 1ull << 32, 11, 1ull << 32},
        {"\xf9\x8d\x52\x01\xe2\xfb\x83\xd2\x00\xf4", 10, 5, 6, 0}, /* stc ... adc edx, 0 */
    };
    for (unsigned i = 0; i < 3 * ARRAY_SIZE(cases); i++) {
        unsigned n = i / 3;
        guest_set_code(&guest, 0x100 * n, cases[n].code, cases[n].size);
        guest.cpu->gpr[REG_RCX] = cases[n].rcx;
        guest.cpu->gpr[REG_RDX] = 0;
        cr_expect_eq(run_at(GUEST_CODE + 0x100 * n), cases[n].edx, "case %u", n);
        cr_expect_eq(guest.cpu->gpr[REG_RCX], cases[n].left, "case %u", n);
    }
}

/* Addresses that fall on one entry of the jump table: 00: call rbx; call rcx; inc edx;
 * cmp edx, 50; jb 00; hlt   100, and 108 in the page at COLLIDING: ret */
Test(jit_jumps, two_targets_with_one_jump_entry)
{
    guest_map(&guest, COLLIDING, OTHER, 0);
    guest_set_code(&guest, 0, "\xff\xd3\xff\xd1\xff\xc2\x83\xfa\x32\x72\xf5\xf4", 12);
    guest_set_code(&guest, 0x100, "\xc3", 1);
    guest_set_code(&guest, 2 * PAGE_SIZE + 0x108, "\xc3", 1);
    guest.cpu->gpr[REG_RBX] = GUEST_CODE + 0x100;
    guest.cpu->gpr[REG_RCX] = COLLIDING + 0x108;
    for (unsigned i = 0; i < 2; i++) {
        guest.cpu->gpr[REG_RDX] = 0;
        cr_assert_eq(run_at(GUEST_CODE), 50);
    }
    cr_expect_lt(jit_stats(guest.cpu)->exits[JIT_EXIT_MISS], 16);
}
