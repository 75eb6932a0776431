#include "system_guest.h"

#include <criterion/criterion.h>

static struct guest guest;

static void setup(void)
{
    guest_create(&guest);
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(far, .init = setup, .fini = teardown);

/* Far returns: builds the frame and expects to arrive at GUEST_DATA, where HLT is (#GP at level 3).
 */
static void push_frame(unsigned size, const uint64_t *items, unsigned count)
{
    for (unsigned i = count; i-- > 0;) {
        guest.cpu->gpr[REG_RSP] -= size;
        guest_write(&guest, guest.cpu->gpr[REG_RSP], items[i], size);
    }
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
}
#define PUSH_FRAME(size, ...)                                                                      \
    push_frame(size, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

Test(far, iret_to_level_3)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE64 | 3, FLAG_IF | FLAG_CF, GUEST_STACK - 0x100,
               SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 8, SEL_USER_CODE64 | 3, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_IF | FLAG_CF | FLAG_RF);
    cr_expect_eq(guest.cpu->seg[SEG_DS].selector, 0, "level 0's data segments are dropped");
}

Test(far, iret_to_compatibility_mode)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE32 | 3, 0, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 8, SEL_USER_CODE32 | 3, GUEST_STACK - 0x100, SEL_USER_DATA | 3);
}

Test(far, iret_at_the_same_level_pops_the_stack)
{
    guest_enter_long(&guest, 0);
    PUSH_FRAME(8, GUEST_DATA, SEL_CODE64, FLAG_DF, GUEST_STACK - 0x200, 0);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 0x200);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, 0);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_DF);
}

Test(far, iret_faults_leave_the_stack)
{
    static const struct {
        uint64_t rip, cs, ss;
        int vector;
        uint64_t error;
    } cases[] = {
        {GUEST_DATA, 0, SEL_DATA, VECTOR_GP, 0},
        {GUEST_DATA, SEL_DATA, SEL_DATA, VECTOR_GP, SEL_DATA},
        {GUEST_DATA, SEL_BEYOND, SEL_DATA, VECTOR_GP, SEL_BEYOND},
        {GUEST_DATA, SEL_USER_CODE64, SEL_DATA, VECTOR_GP, SEL_USER_CODE64},
        {GUEST_DATA, SEL_USER_CODE64 | 3, SEL_DATA, VECTOR_GP, SEL_DATA},
        {GUEST_DATA, SEL_USER_CODE64 | 3, 0, VECTOR_GP, 0},
        {GUEST_DATA, SEL_CODE64, SEL_ABSENT, VECTOR_SS, SEL_ABSENT},
        {0x800000000000, SEL_CODE64, SEL_DATA, VECTOR_GP, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_long(&guest, 0);
        PUSH_FRAME(8, cases[i].rip, cases[i].cs, 0, GUEST_STACK, cases[i].ss);
        uint64_t rsp = guest.cpu->gpr[REG_RSP];
        cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].vector, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 0, 8), cases[i].error, "%zu: %#lx", i,
                     guest_stack(&guest, 0, 8));
        cr_expect_eq(guest_stack(&guest, 1, 8), GUEST_CODE, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 4, 8), rsp, "%zu", i);
    }
}

Test(far, iret_with_nt_in_long_mode)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_NT;
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

Test(far, iret_to_virtual_8086_mode)
{
    guest_enter_protected(&guest, 0);
    PUSH_FRAME(4, GUEST_DATA, 0, FLAG_VM, 0xfff0, 0x100, 0x200, 0x300, 0x400, 0x500);
    cr_assert_eq(GUEST_RUN(&guest, 0xcf), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 4, 0, 0xfff0, 0x100);
    cr_expect_eq(guest_stack(&guest, 6, 4), 0x200);
    cr_expect_eq(guest_stack(&guest, 7, 4), 0x300);
    cr_expect_eq(guest_stack(&guest, 8, 4), 0x400);
    cr_expect_eq(guest_stack(&guest, 9, 4), 0x500);
}

Test(far, user_code_cannot_change_if_and_iopl)
{
    guest_enter_long(&guest, 3);
    PUSH_FRAME(8, GUEST_DATA, SEL_USER_CODE64 | 3, FLAG_IF | FLAG_IOPL | FLAG_ID, GUEST_STACK,
               SEL_USER_DATA | 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT);
    guest_expect_level_3(&guest, 8, SEL_USER_CODE64 | 3, GUEST_STACK, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 3, 8), FLAGS_FIXED | FLAG_ID | FLAG_RF);
}

Test(far, far_jump_out_of_64_bit_mode_and_back)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    guest_write(&guest, GUEST_DATA, GUEST_CODE + 2, 4);
    guest_write(&guest, GUEST_DATA + 4, SEL_CODE32, 2);
    /* jmp far [rbx]; in 32-bit code: inc eax, not REX; jmp far 08:+8; in 64-bit code: hlt */
    guest.cpu->gpr[REG_RAX] = 1;
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0x2b, 0x40, 0xea, 0x0a, 0x80, 0, 0, SEL_CODE64, 0, 0x48,
                           0xff, 0xc0, 0xf4),
                 CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 14);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 3);
    cr_expect_eq(guest.cpu->seg[SEG_CS].selector, SEL_CODE64);
}

Test(far, far_call_and_return)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_DATA, 0xcb, 1); /* retf */
    /* call far 30:GUEST_DATA; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0, 0xc0, 0, 0, SEL_CODE32, 0, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 8);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK);
    cr_expect_eq(guest_read(&guest, GUEST_STACK - 8, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_read(&guest, GUEST_STACK - 4, 4), SEL_CODE32);
}

Test(far, far_jump_faults)
{
    static const struct {
        uint16_t selector;
        int vector;
        uint32_t error;
    } cases[] = {
        {0, VECTOR_GP, 0},
        {SEL_DATA, VECTOR_GP, SEL_DATA},
        {SEL_BEYOND, VECTOR_GP, SEL_BEYOND},
        {SEL_USER_CODE32, VECTOR_GP, SEL_USER_CODE32},
        {SEL_CODE32 | 3, VECTOR_GP, SEL_CODE32},
        {SEL_CODE16, VECTOR_GP, 0}, /* beyond its limit */
        {SEL_LDT, VECTOR_GP, SEL_LDT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest_enter_protected(&guest, 0);
        cr_assert_eq(GUEST_RUN(&guest, 0xea, 0, 0xc0, 1, 0, (uint8_t)cases[i].selector, 0),
                     CPU_EXIT_HALT);
        cr_expect_eq(guest_vector(&guest), cases[i].vector, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 0, 4), cases[i].error, "%zu", i);
        cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_CODE, "%zu", i);
    }
}

Test(far, call_gate_to_inner_level_and_back)
{
    guest_enter_protected(&guest, 3);
    guest_set_descriptor(&guest, SEL_GATE,
                         (uint64_t)SEL_CODE32 << 16 | (GUEST_DATA & 0xffff) | 0xec02ull << 32);
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest_write(&guest, GUEST_DATA + 1, 0x0008ca, 3); /* retf 8 */
    guest.cpu->gpr[REG_RSP] = GUEST_STACK - 8;
    guest_write(&guest, GUEST_STACK - 8, 0x1111, 4);
    guest_write(&guest, GUEST_STACK - 4, 0x2222, 4);
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0, 0, 0, 0, SEL_GATE | 3, 0, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->cpl, 0);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 24);
    cr_expect_eq(guest_stack(&guest, 0, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_stack(&guest, 1, 4), SEL_USER_CODE32 | 3);
    cr_expect_eq(guest_stack(&guest, 2, 4), 0x1111);
    cr_expect_eq(guest_stack(&guest, 3, 4), 0x2222);
    cr_expect_eq(guest_stack(&guest, 4, 4), GUEST_STACK - 8);
    cr_expect_eq(guest_stack(&guest, 5, 4), SEL_USER_DATA | 3);

    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP, "the HLT after the call");
    cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_CODE + 7);
    cr_expect_eq(guest_stack(&guest, 4, 4), GUEST_STACK, "both stacks release the parameters");
}

Test(far, call_gate_in_long_mode)
{
    guest_enter_long(&guest, 3);
    guest_set_descriptor(&guest, SEL_GATE,
                         (uint64_t)SEL_CODE64 << 16 | (GUEST_DATA & 0xffff) | 0xec00ull << 32);
    guest_write(&guest, GUEST_GDT + SEL_GATE + 8, 0, 8);
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest_write(&guest, GUEST_DATA + 0x100, 0, 4);
    guest_write(&guest, GUEST_DATA + 0x104, SEL_GATE | 3, 2);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA + 0x100;
    /* call far [rbx] */
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0x1b), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 32);
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE + 2);
    cr_expect_eq(guest_stack(&guest, 1, 8), SEL_USER_CODE64 | 3);
    cr_expect_eq(guest_stack(&guest, 2, 8), GUEST_STACK);
    cr_expect_eq(guest_stack(&guest, 3, 8), SEL_USER_DATA | 3);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, 0);
}

Test(far, real_mode_far_call)
{
    guest_write(&guest, GUEST_DATA + 0x10, 0xcb, 1);
    /* call 0c00:0010; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x9a, 0x10, 0, 0, 0x0c, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 6);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], 0xfff0);
    cr_expect_eq(guest_read(&guest, 0xffee, 2), 0);
    cr_expect_eq(guest_read(&guest, 0xffec, 2), GUEST_CODE + 5);
}

Test(far, task_jump_and_back)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_TSS2 + 32, GUEST_DATA, 4);
    guest_write(&guest, GUEST_TSS2 + 56, GUEST_STACK0, 4);
    guest_write(&guest, GUEST_TSS2 + 44, 0xabcd, 4); /* ECX */
    for (unsigned i = 0; i < 6; i++)
        guest_write(&guest, GUEST_TSS2 + 72 + 4 * i, i == SEG_CS ? SEL_CODE32 : SEL_DATA, 2);
    guest_write(&guest, GUEST_GDT + SEL_TSS + 5, 0x8b, 1);
    guest_write(&guest, GUEST_DATA, 0xf4, 1);
    guest_write(&guest, GUEST_DATA + 1, (uint64_t)SEL_TSS << 40 | 0xea, 7);
    /* jmp 90:0; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xea, 0, 0, 0, 0, SEL_TSS2, 0, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_DATA + 1);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0xabcd);
    cr_expect_not(guest.cpu->rflags & FLAG_NT, "a jump does not nest");
    cr_expect_eq(guest_read(&guest, GUEST_GDT + SEL_TSS + 5, 1), 0x89);

    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 8);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK);
}

Test(far, task_with_a_bad_segment)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_TSS2 + 32, GUEST_DATA, 4);
    guest_write(&guest, GUEST_TSS2 + 56, GUEST_STACK0, 4);
    for (unsigned i = 0; i < 6; i++)
        guest_write(&guest, GUEST_TSS2 + 72 + 4 * i, i == SEG_CS ? SEL_CODE32 : SEL_DATA, 2);
    guest_write(&guest, GUEST_TSS2 + 72 + 4 * SEG_FS, SEL_BEYOND, 2);
    cr_assert_eq(GUEST_RUN(&guest, 0xea, 0, 0, 0, 0, SEL_TASK_GATE, 0), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_TS);
    cr_expect_eq(guest_stack(&guest, 0, 4), SEL_BEYOND);
    cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_DATA);
    cr_expect_eq(guest.cpu->tr.selector, SEL_TSS2);
}

Test(far, busy_task)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_GDT + SEL_TSS2 + 5, 0x8b, 1);
    cr_assert_eq(GUEST_RUN(&guest, 0xea, 0, 0, 0, 0, SEL_TSS2, 0), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, 4), SEL_TSS2);
}
