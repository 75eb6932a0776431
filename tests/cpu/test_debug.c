/* Debug registers, single steps, and what RF does. */
#include "cpu/breakpoint.h"
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

TestSuite(debug, .init = setup, .fini = teardown);

enum { ON_EXECUTE, ON_WRITE, ON_PORT, ON_ACCESS };
enum { LEN_1, LEN_2, LEN_8, LEN_4 };

static void arm(unsigned n, uint64_t address, unsigned condition, unsigned len)
{
    struct cpu *cpu = guest.cpu;
    cpu->dr[n] = address;
    cpu->dr[7] |= 2ull << (2 * n) | (uint64_t)(condition | len << 2) << (16 + 4 * n);
    breakpoints_update(cpu);
    cpu_update_mode(cpu);
}

/* Runs into #DB with these bits of DR6 at this RIP, RFLAGS.RF as given. */
static void expect_debug(const uint8_t *code, size_t size, uint64_t dr6, uint64_t rip, bool rf)
{
    guest.cpu->dr[6] = DR6_FIXED;
    cr_assert_eq(guest_run(&guest, code, size), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_DB, "vector %d", guest_vector(&guest));
    cr_expect_eq(guest.cpu->dr[6], DR6_FIXED | dr6, "DR6 %#lx", guest.cpu->dr[6]);
    cr_expect_eq(guest_stack(&guest, 0, 8), rip, "RIP %#lx", guest_stack(&guest, 0, 8));
    cr_expect_eq(!!(guest_stack(&guest, 2, 8) & FLAG_RF), rf);
}

#define EXPECT_DEBUG(dr6, rip, rf, ...)                                                            \
    expect_debug((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), dr6, rip, \
                 rf)

Test(debug, write_breakpoint)
{
    guest_enter_long(&guest, 0);
    arm(1, GUEST_DATA + 8, ON_WRITE, LEN_4);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    /* mov eax, [rbx+8]; mov [rbx], eax; mov [rbx+0xc], eax; mov [rbx+0xb], al; nop; hlt */
    EXPECT_DEBUG(BIT(1), GUEST_CODE + 12, false, 0x8b, 0x43, 0x08, 0x89, 0x03, 0x90, 0x89, 0x43,
                 0x0c, 0x88, 0x43, 0x0b, 0x90, 0xf4);
}

Test(debug, access_breakpoint)
{
    guest_enter_long(&guest, 0);
    arm(3, GUEST_DATA + 8, ON_ACCESS, LEN_8);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    /* mov al, [rbx+0x10]; mov rax, [rbx+1]; nop; hlt: touches its first byte */
    EXPECT_DEBUG(BIT(3), GUEST_CODE + 7, false, 0x8a, 0x43, 0x10, 0x48, 0x8b, 0x43, 0x01, 0x90,
                 0xf4);
    /* lock inc dword [rbx+0xc] hits, and is done */
    guest_write(&guest, GUEST_DATA + 12, 41, 4);
    EXPECT_DEBUG(BIT(3), GUEST_CODE + 4, false, 0xf0, 0xff, 0x43, 0x0c, 0xf4);
    cr_expect_eq(guest_read(&guest, GUEST_DATA + 12, 4), 42);
}

Test(debug, breakpoints_that_are_off_do_nothing)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_DATA, ON_ACCESS, LEN_8);
    cr_expect(guest.cpu->watching);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    guest.cpu->gpr[REG_RAX] = 0x400;
    /* mov dr7, rax; mov [rbx], eax; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x23, 0xf8, 0x89, 0x03, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 6);
    cr_expect_not(guest.cpu->watching, "and the TLB has the page again");
}

Test(debug, several_at_once_and_with_a_step)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_DATA, ON_ACCESS, LEN_1);
    arm(2, GUEST_DATA + 2, ON_WRITE, LEN_2);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    EXPECT_DEBUG(BIT(0) | BIT(2) | DR6_BS, GUEST_CODE + 2, false, 0x89, 0x03, 0xf4);
}

Test(debug, a_fault_comes_first)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_DATA, ON_ACCESS, LEN_1);
    guest.cpu->gpr[REG_RSI] = GUEST_DATA;
    guest.cpu->gpr[REG_RDI] = GUEST_UNMAPPED;
    guest.cpu->dr[6] = DR6_FIXED;
    /* movsb reads what is watched, and cannot write */
    cr_assert_eq(GUEST_RUN(&guest, 0xa4, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_PF);
    cr_expect_eq(guest.cpu->dr[6], DR6_FIXED);
}

Test(debug, repeated_strings_trap_after_the_iteration)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_DATA + 5, ON_WRITE, LEN_1);
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 100;
    EXPECT_DEBUG(BIT(0), GUEST_CODE, true, 0xf3, 0xaa, 0xf4);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 94);
    cr_expect_eq(guest.cpu->gpr[REG_RDI], GUEST_DATA + 6);
}

Test(debug, step_across_rep)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 2;
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    EXPECT_DEBUG(DR6_BS, GUEST_CODE, true, 0xf3, 0xaa, 0xf4);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 1);
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    EXPECT_DEBUG(DR6_BS, GUEST_CODE + 2, false, 0xf3, 0xaa, 0xf4);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0);
}

Test(debug, instruction_breakpoint_leaves_rf_to_the_handler)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_CODE + 1, ON_EXECUTE, LEN_1);
    EXPECT_DEBUG(BIT(0), GUEST_CODE + 1, false, 0x90, 0x90, 0xf4);
    /* With RF set in the frame it is passed. */
    guest_set_gate(&guest, VECTOR_DB, SEL_CODE64, GUEST_DATA, SYSTEM_INTERRUPT_GATE32, 0, 0);
    /* bts dword [rsp+16], 16; iretq */
    static const uint8_t handler[] = {0x0f, 0xba, 0x6c, 0x24, 0x10, 0x10, 0x48, 0xcf};
    cr_assert(phys_write(guest.phys, GUEST_DATA, handler, sizeof(handler)));
    cr_assert_eq(GUEST_RUN(&guest, 0x90, 0x90, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_expect_not(guest.cpu->rflags & FLAG_RF);
}

Test(debug, mov_ss_delays_debug_exceptions)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_DATA, ON_ACCESS, LEN_2);
    guest_write(&guest, GUEST_DATA, SEL_DATA, 2);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    /* mov ss, [rbx]; nop; nop: the trap comes one instruction later */
    EXPECT_DEBUG(BIT(0), GUEST_CODE + 3, false, 0x8e, 0x13, 0x90, 0x90, 0xf4);
    guest.cpu->rflags |= FLAG_TF;
    guest.cpu->gpr[REG_RAX] = SEL_DATA;
    cpu_update_mode(guest.cpu);
    EXPECT_DEBUG(DR6_BS, GUEST_CODE + 3, false, 0x8e, 0xd0, 0x90, 0x90, 0xf4);
}

Test(debug, sti_does_not)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    EXPECT_DEBUG(DR6_BS, GUEST_CODE + 1, false, 0xfb, 0x90, 0xf4);
}

Test(debug, port_breakpoint)
{
    guest_enter_long(&guest, 0);
    arm(2, 0x81, ON_PORT, LEN_1);
    /* in al, 0x81; hlt: not without CR4.DE */
    cr_assert_eq(GUEST_RUN(&guest, 0xe4, 0x81, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_assert(cpu_write_cr4(guest.cpu, guest.cpu->cr4 | CR4_DE));
    /* in al, 0x80; in ax, 0x80; nop; hlt */
    EXPECT_DEBUG(BIT(2), GUEST_CODE + 5, false, 0xe4, 0x80, 0x66, 0xe5, 0x80, 0x90, 0xf4);
    /* out 0x81, al */
    EXPECT_DEBUG(BIT(2), GUEST_CODE + 2, false, 0xe6, 0x81, 0x90, 0xf4);
    /* rep outsb, one byte at a time */
    guest.cpu->gpr[REG_RDX] = 0x81;
    guest.cpu->gpr[REG_RSI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 3;
    EXPECT_DEBUG(BIT(2), GUEST_CODE, true, 0xf3, 0x6e, 0xf4);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 2);
    /* A port is not a linear address. */
    guest.cpu->gpr[REG_RBX] = 0x81;
    cr_assert_eq(GUEST_RUN(&guest, 0x8a, 0x03, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
}

Test(debug, general_detect)
{
    guest_enter_long(&guest, 0);
    guest.cpu->dr[7] |= DR7_GD;
    EXPECT_DEBUG(DR6_BD, GUEST_CODE, true, 0x0f, 0x21, 0xf8, 0xf4);
    cr_expect_not(guest.cpu->dr[7] & DR7_GD, "the handler may use them");
}

Test(debug, aliases_and_fixed_bits)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0xffffffff;
    /* mov dr6, rax; mov rbx, dr4; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x23, 0xf0, 0x0f, 0x21, 0xe3, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], DR6_FIXED | DR6_WRITABLE);
    guest.cpu->gpr[REG_RAX] = 0;
    /* mov dr7, rax; mov rbx, dr5; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x23, 0xf8, 0x0f, 0x21, 0xeb, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], DR7_FIXED);
    cr_assert(cpu_write_cr4(guest.cpu, guest.cpu->cr4 | CR4_DE));
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x21, 0xeb, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(debug, int1_is_a_trap_without_a_cause)
{
    guest_enter_long(&guest, 0);
    EXPECT_DEBUG(0, GUEST_CODE + 1, false, 0xf1, 0xf4);
}

Test(debug, frame_of_a_fault_hits)
{
    guest_enter_long(&guest, 0);
    arm(0, GUEST_STACK - 40, ON_WRITE, LEN_8);
    /* ud2: its frame is watched; the trap comes before the handler's first instruction */
    EXPECT_DEBUG(BIT(0), GUEST_HANDLERS + VECTOR_UD * 16, false, 0x0f, 0x0b);
}

/* A watched vector of #DB hits for ever, as on real processors; the run must end none the less. */
Test(debug, breakpoint_on_its_own_delivery_can_be_left)
{
    arm(0, 4 * VECTOR_DB, ON_ACCESS, LEN_4);
    /* mov al, [4] */
    guest_write(&guest, GUEST_CODE, 0xf40004a0, 4);
    guest.cpu->rip = GUEST_CODE;
    cr_expect_eq(cpu_run_for(guest.cpu, 1000), CPU_EXIT_BUDGET);
    cr_expect(guest.cpu->breakpoints_hit & 1);
    cpu_request(guest.cpu, CPU_REQUEST_EXIT);
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_REQUEST);
}
