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

TestSuite(exception, .init = setup, .fini = teardown);

static void expect_long_frame(unsigned first, uint64_t rip, uint16_t cs, uint64_t rsp, uint16_t ss)
{
    cr_expect_eq(guest_stack(&guest, first, 8), rip, "RIP %#lx", guest_stack(&guest, first, 8));
    cr_expect_eq(guest_stack(&guest, first + 1, 8), cs);
    cr_expect_eq(guest_stack(&guest, first + 3, 8), rsp);
    cr_expect_eq(guest_stack(&guest, first + 4, 8), ss);
}

Test(exception, long_fault_at_same_level)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_IF | FLAG_CF;
    guest.cpu->gpr[REG_RSP] = GUEST_STACK + 8; /* the frame is aligned to 16 */
    cr_assert_eq(GUEST_RUN(&guest, 0x90, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_UD);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 40);
    expect_long_frame(0, GUEST_CODE + 1, SEL_CODE64, GUEST_STACK + 8, SEL_DATA);
    cr_expect_eq(guest_stack(&guest, 2, 8), FLAGS_FIXED | FLAG_IF | FLAG_CF | FLAG_RF);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_CF);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, SEL_DATA);
}

Test(exception, long_page_fault_from_user)
{
    guest_enter_long(&guest, 3);
    guest.cpu->gpr[REG_RBX] = GUEST_UNMAPPED + 5;
    /* mov [rbx], al */
    cr_assert_eq(GUEST_RUN(&guest, 0x88, 0x03), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_PF);
    cr_expect_eq(guest.cpu->cr2, GUEST_UNMAPPED + 5);
    cr_expect_eq(guest.cpu->cpl, 0);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 48);
    cr_expect_eq(guest_stack(&guest, 0, 8), PF_W | PF_U);
    expect_long_frame(1, GUEST_CODE, SEL_USER_CODE64 | 3, GUEST_STACK, SEL_USER_DATA | 3);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, 0);
    cr_expect_eq(guest.cpu->seg[SEG_CS].selector, SEL_CODE64);
}

Test(exception, long_ist)
{
    guest_enter_long(&guest, 0);
    guest_set_gate(&guest, VECTOR_UD, SEL_CODE64, GUEST_HANDLERS + VECTOR_UD * 16,
                   SYSTEM_TRAP_GATE32, 0, 1);
    guest.cpu->rflags |= FLAG_IF;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK_IST - 40);
    cr_expect(guest.cpu->rflags & FLAG_IF, "a trap gate leaves IF");
    expect_long_frame(0, GUEST_CODE, SEL_CODE64, GUEST_STACK, SEL_DATA);
}

Test(exception, software_interrupt_is_a_trap)
{
    guest_enter_long(&guest, 3);
    guest_set_gate(&guest, 0x80, SEL_CODE64, GUEST_HANDLERS + 0x800, SYSTEM_INTERRUPT_GATE32, 3, 0);
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x80), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x80);
    expect_long_frame(0, GUEST_CODE + 2, SEL_USER_CODE64 | 3, GUEST_STACK, SEL_USER_DATA | 3);
    cr_expect_eq(guest_stack(&guest, 2, 8), FLAGS_FIXED);
}

Test(exception, software_interrupt_checks_the_gate)
{
    guest_enter_long(&guest, 3);
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x80), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, 8), 0x80 * 8 + 2, "EXT is clear for INT n");
    cr_expect_eq(guest_stack(&guest, 1, 8), GUEST_CODE);
}

Test(exception, fault_in_delivery_has_ext)
{
    guest_enter_long(&guest, 0);
    guest_write(&guest, GUEST_IDT + VECTOR_UD * 16 + 5, 0x0e, 1); /* not present */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_NP);
    cr_expect_eq(guest_stack(&guest, 0, 8), VECTOR_UD * 8 + 3);
}

Test(exception, two_contributory_faults_are_a_double_fault)
{
    guest_enter_long(&guest, 0);
    guest_write(&guest, GUEST_IDT + VECTOR_GP * 16 + 2, 0, 2); /* null code selector */
    /* mov cr8, rax with a reserved bit */
    guest.cpu->gpr[REG_RAX] = 16;
    cr_assert_eq(GUEST_RUN(&guest, 0x44, 0x0f, 0x22, 0xc0), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_DF);
    cr_expect_eq(guest_stack(&guest, 0, 8), 0);
    cr_expect_eq(guest_stack(&guest, 1, 8), GUEST_CODE);
}

Test(exception, page_fault_in_page_fault_delivery)
{
    guest_enter_long(&guest, 3);
    guest_write(&guest, GUEST_TSS + 4, GUEST_UNMAPPED + 0x1000, 8);
    guest_set_gate(&guest, VECTOR_DF, SEL_CODE64, GUEST_HANDLERS + VECTOR_DF * 16,
                   SYSTEM_INTERRUPT_GATE32, 0, 1);
    guest.cpu->gpr[REG_RBX] = GUEST_UNMAPPED;
    cr_assert_eq(GUEST_RUN(&guest, 0x8a, 0x03), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_DF);
    cr_expect_eq(guest.cpu->cr2, GUEST_UNMAPPED + 0xff8);
}

Test(exception, triple_fault_shuts_down)
{
    guest_enter_long(&guest, 0);
    guest.cpu->idtr.limit = 0;
    cr_expect_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_SHUTDOWN);
}

Test(exception, triple_fault_in_real_mode)
{
    guest.cpu->idtr.limit = 0;
    cr_expect_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_SHUTDOWN);
}

Test(exception, stack_fault_of_a_bad_stack_pointer)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RSP] = 0x8000000000000000;
    guest_set_gate(&guest, VECTOR_SS, SEL_CODE64, GUEST_HANDLERS + VECTOR_SS * 16,
                   SYSTEM_INTERRUPT_GATE32, 0, 1);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_SS);
    cr_expect_eq(guest_stack(&guest, 0, 8), 1);
}

Test(exception, non_canonical_handler)
{
    guest_enter_long(&guest, 0);
    guest_set_gate(&guest, VECTOR_UD, SEL_CODE64, 0x0000800000000000, SYSTEM_INTERRUPT_GATE32, 0,
                   0);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, 8), 1);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 48, "only one frame");
}

Test(exception, interrupt_and_nmi)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_IF;
    cpu_deliver_interrupt(guest.cpu, 0x31);
    cr_expect_eq(guest.cpu->rip, GUEST_HANDLERS + 0x310);
    expect_long_frame(0, GUEST_CODE, SEL_CODE64, GUEST_STACK, SEL_DATA);
    cr_expect_eq(guest_stack(&guest, 2, 8), FLAGS_FIXED | FLAG_IF, "RF is for faults");

    cpu_request(guest.cpu, CPU_REQUEST_NMI);
    cr_assert_eq(GUEST_RUN(&guest, 0x90), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_NMI);
    cr_expect(guest.cpu->nmi_blocked);
    cr_assert_eq(GUEST_RUN(&guest, 0x48, 0xcf), CPU_EXIT_HALT); /* iretq */
    cr_expect_not(guest.cpu->nmi_blocked);
}

Test(exception, interrupt_with_an_exceptions_vector_has_no_error_code)
{
    guest_enter_long(&guest, 0);
    cpu_deliver_interrupt(guest.cpu, VECTOR_DF);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 40);
}

Test(exception, real_mode_int_and_iret)
{
    guest.cpu->rflags |= FLAG_IF | FLAG_CF;
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x21), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x21);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], 0xffea);
    cr_expect_eq(guest_stack(&guest, 0, 2), GUEST_CODE + 2);
    cr_expect_eq(guest_stack(&guest, 1, 2), 0);
    cr_expect_eq(guest_stack(&guest, 2, 2), FLAGS_FIXED | FLAG_IF | FLAG_CF);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_CF);
    guest_write(&guest, GUEST_CODE + 2, 0xf4, 1);
    guest_write(&guest, GUEST_HANDLERS + 0x210, 0xcf, 1);
    guest.cpu->rip = GUEST_HANDLERS + 0x210;
    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_expect_eq(guest.cpu->rflags, FLAGS_FIXED | FLAG_IF | FLAG_CF);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], 0xfff0);
}

Test(exception, real_mode_fault_has_no_error_code)
{
    guest.cpu->gpr[REG_RBX] = 0xffff;
    /* mov ax, [bx]: crosses the limit */
    cr_assert_eq(GUEST_RUN(&guest, 0x8b, 0x07), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], 0xffea);
}

Test(exception, protected_gate_to_inner_level)
{
    guest_enter_protected(&guest, 3);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_UD);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 20);
    cr_expect_eq(guest.cpu->seg[SEG_SS].selector, SEL_DATA);
    cr_expect_eq(guest_stack(&guest, 0, 4), GUEST_CODE);
    cr_expect_eq(guest_stack(&guest, 1, 4), SEL_USER_CODE32 | 3);
    cr_expect_eq(guest_stack(&guest, 3, 4), GUEST_STACK);
    cr_expect_eq(guest_stack(&guest, 4, 4), SEL_USER_DATA | 3);
}

Test(exception, protected_16_bit_trap_gate)
{
    guest_enter_protected(&guest, 0);
    guest_set_gate(&guest, 0x40, SEL_CODE32, GUEST_HANDLERS + 0x400, SYSTEM_TRAP_GATE16, 0, 0);
    guest.cpu->rflags |= FLAG_IF;
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x40), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x40);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK - 6);
    cr_expect_eq(guest_stack(&guest, 0, 2), GUEST_CODE + 2);
    cr_expect(guest.cpu->rflags & FLAG_IF);
}

Test(exception, from_virtual_8086_mode)
{
    guest_enter_vm86(&guest);
    guest.cpu->seg[SEG_GS].selector = 0x1234;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x0b), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_UD);
    cr_expect_eq(guest.cpu->gpr[REG_RSP], GUEST_STACK0 - 36);
    cr_expect(guest_stack(&guest, 2, 4) & FLAG_VM);
    cr_expect_not(guest.cpu->rflags & FLAG_VM);
    cr_expect_eq(guest_stack(&guest, 3, 4), 0xfff0);
    cr_expect_eq(guest_stack(&guest, 8, 4), 0x1234);
    cr_expect_eq(guest.cpu->seg[SEG_GS].selector, 0);
}

Test(exception, int_in_virtual_8086_mode_needs_iopl_3)
{
    guest_enter_vm86(&guest);
    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x21), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, 4), 0);
}

Test(exception, task_gate)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_IDT + 0x50 * 8, (uint64_t)SEL_TSS2 << 16 | 0x8500ull << 32, 8);
    guest_write(&guest, GUEST_TSS2 + 32, GUEST_HANDLERS + 0x500, 4);
    guest_write(&guest, GUEST_TSS2 + 36, FLAGS_FIXED, 4);
    guest_write(&guest, GUEST_TSS2 + 56, GUEST_STACK0, 4);
    for (unsigned i = 0; i < 6; i++)
        guest_write(&guest, GUEST_TSS2 + 72 + 4 * i, i == SEG_CS ? SEL_CODE32 : SEL_DATA, 2);
    guest_write(&guest, GUEST_HANDLERS + 0x501, 0xcf, 1); /* iret */
    guest_write(&guest, GUEST_GDT + SEL_TSS + 5, 0x8b, 1);
    guest.cpu->gpr[REG_RBX] = 0x1234;

    cr_assert_eq(GUEST_RUN(&guest, 0xcd, 0x50, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), 0x50);
    cr_expect_eq(guest.cpu->tr.selector, SEL_TSS2);
    cr_expect(guest.cpu->rflags & FLAG_NT);
    cr_expect(guest.cpu->cr0 & CR0_TS);
    cr_expect_eq(guest_read(&guest, GUEST_TSS2, 2), SEL_TSS);
    cr_expect_eq(guest_read(&guest, GUEST_TSS + 32, 4), GUEST_CODE + 2);
    cr_expect_eq(guest_read(&guest, GUEST_GDT + SEL_TSS2 + 5, 1), 0x8b);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], 0);

    guest.cpu->halted = false;
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_expect_eq(guest.cpu->tr.selector, SEL_TSS);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], 0x1234);
    cr_expect_eq(guest_read(&guest, GUEST_GDT + SEL_TSS2 + 5, 1), 0x89);
}

Test(exception, single_step_is_a_trap)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    cr_assert_eq(GUEST_RUN(&guest, 0x90, 0x90), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_DB);
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE + 1);
    cr_expect_eq(guest_stack(&guest, 2, 8), FLAGS_FIXED | FLAG_TF);
    cr_expect_eq(guest.cpu->dr[6], 0xffff4ff0);
    cr_expect_not(guest.cpu->rflags & FLAG_TF);
}

Test(exception, debug_registers_are_guarded)
{
    guest_enter_long(&guest, 0);
    guest.cpu->dr[7] |= BIT(13);
    /* mov rax, dr0 */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x21, 0xc0), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), VECTOR_DB);
    cr_expect_eq(guest_stack(&guest, 0, 8), GUEST_CODE);
    cr_expect(guest.cpu->dr[6] & BIT(13));
    cr_expect_not(guest.cpu->dr[7] & BIT(13));
}

/* FERR# and IGNNE#, as a board would wire them. */
struct error_pins {
    unsigned rises;
    bool ferr;
};

static void set_ferr(void *opaque, unsigned input, bool asserted)
{
    struct error_pins *pins = opaque;
    (void)input;
    pins->rises += asserted && !pins->ferr;
    pins->ferr = asserted;
}

Test(exception, x87_error_by_ferr)
{
    struct error_pins pins = {0};
    guest_enter_protected(&guest, 0);
    struct cpu *cpu = guest.cpu;
    cpu->cr0 &= ~CR0_NE;
    cpu->ferr = (struct irq_line){set_ferr, &pins, 0};
    cpu->fx.ftw = 0;
    cpu->fx.fcw = 0x37f & ~4; /* divisions by zero are not masked */
    cpu_update_mode(cpu);
    /* fld1; fldz; fdivp; fnstsw ax; inc ecx; fwait; inc ecx; hlt */
    static const uint8_t code[] = {0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9,
                                   0xdf, 0xe0, 0x41, 0x9b, 0x41, 0xf4};
    cr_assert_eq(guest_run(&guest, code, sizeof(code)), CPU_EXIT_HALT);
    cr_expect_eq(cpu->rip, GUEST_CODE + 9, "it waits before the waiting instruction");
    cr_expect_eq(cpu->gpr[REG_RCX], 1);
    cr_expect(pins.ferr);
    cr_expect_eq(pins.rises, 1);

    /* An NMI comes through, and its handler returns to the wait. */
    cpu_request(cpu, CPU_REQUEST_NMI);
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_NMI);
    cr_expect_eq(guest_stack(&guest, 0, 4), GUEST_CODE + 9);

    /* IGNNE#: the exception is passed over. */
    cpu_set_ignne(cpu, true);
    cpu->halted = false;
    cpu->rip = GUEST_CODE + 9;
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALT);
    cr_expect_eq(cpu->rip, GUEST_CODE + sizeof(code));
    cr_expect_eq(cpu->gpr[REG_RCX], 2);
    cr_expect(pins.ferr);
    cr_expect_eq(pins.rises, 1);

    /* fnclex; fwait; hlt: FERR# ends with the exception. */
    cpu_set_ignne(cpu, false);
    cr_assert_eq(GUEST_RUN(&guest, 0xdb, 0xe2, 0x9b, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(cpu->rip, GUEST_CODE + 4);
    cr_expect_not(pins.ferr);
}
