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

TestSuite(segment, .init = setup, .fini = teardown);

enum { TO_ES = 0xc0, TO_SS = 0xd0, TO_DS = 0xd8, TO_FS = 0xe0, TO_GS = 0xe8 };

/* MOV segment, AX; HLT in the mode entered. -1: it was loaded; otherwise the fault's vector. */
static int load(uint8_t modrm, uint16_t selector)
{
    guest.cpu->gpr[REG_RAX] = selector;
    cr_assert_eq(GUEST_RUN(&guest, 0x8e, modrm, 0xf4), CPU_EXIT_HALT);
    return guest_vector(&guest);
}

static void expect_fault(uint8_t modrm, uint16_t selector, int vector, uint32_t error)
{
    guest_enter_protected(&guest, guest.cpu->cpl);
    cr_expect_eq(load(modrm, selector), vector, "%#x", selector);
    cr_expect_eq(guest_stack(&guest, 0, 4), error, "%#x", selector);
}

Test(segment, real_mode)
{
    guest.cpu->gpr[REG_RAX] = 0x1234;
    cr_expect_eq(load(TO_DS, 0x1234), -1);
    cr_expect_eq(guest.cpu->seg[SEG_DS].base, 0x12340);
    cr_expect_eq(guest.cpu->seg[SEG_DS].limit, 0xffff);
}

Test(segment, real_mode_keeps_a_large_limit)
{
    guest.cpu->seg[SEG_FS].limit = 0xffffffff;
    cr_expect_eq(load(TO_FS, 0x10), -1);
    cr_expect_eq(guest.cpu->seg[SEG_FS].limit, 0xffffffff);
    cr_expect_eq(guest.cpu->seg[SEG_FS].base, 0x100);
}

Test(segment, loads_and_marks_accessed)
{
    guest_enter_protected(&guest, 0);
    cr_expect_eq(load(TO_ES, SEL_DATA16), -1);
    const struct segment *es = &guest.cpu->seg[SEG_ES];
    cr_expect_eq(es->selector, SEL_DATA16);
    cr_expect_eq(es->limit, 0xffff);
    cr_expect_eq(es->attributes, 0x93);
    cr_expect_eq(guest_read(&guest, GUEST_GDT + SEL_DATA16 + 5, 1), 0x93);
    cr_expect_not(guest.cpu->mode & MODE_FLAT);
}

Test(segment, granularity_and_base)
{
    guest_enter_protected(&guest, 0);
    guest_set_descriptor(&guest, SEL_DATA16, guest_raw(0x12345678, 0x12, 0xc093));
    cr_expect_eq(load(TO_GS, SEL_DATA16), -1);
    cr_expect_eq(guest.cpu->seg[SEG_GS].base, 0x12345678);
    cr_expect_eq(guest.cpu->seg[SEG_GS].limit, 0x12fff);
}

Test(segment, faults_at_level_0)
{
    expect_fault(TO_DS, SEL_ABSENT, VECTOR_NP, SEL_ABSENT);
    expect_fault(TO_DS, SEL_BEYOND, VECTOR_GP, SEL_BEYOND);
    expect_fault(TO_DS, SEL_EXECUTE_ONLY, VECTOR_GP, SEL_EXECUTE_ONLY);
    expect_fault(TO_DS, SEL_TSS, VECTOR_GP, SEL_TSS);
    expect_fault(TO_DS, SEL_DATA | 3, VECTOR_GP, SEL_DATA);
    expect_fault(TO_DS, SEL_DATA | 4, VECTOR_GP, SEL_DATA | 4); /* the LDT is null */
    expect_fault(TO_SS, 0, VECTOR_GP, 0);
    expect_fault(TO_SS, SEL_READ_ONLY, VECTOR_GP, SEL_READ_ONLY);
    expect_fault(TO_SS, SEL_USER_DATA | 3, VECTOR_GP, SEL_USER_DATA);
    expect_fault(TO_SS, SEL_DATA | 1, VECTOR_GP, SEL_DATA);
    expect_fault(TO_SS, SEL_ABSENT, VECTOR_SS, SEL_ABSENT);
}

Test(segment, faults_at_level_3)
{
    guest.cpu->cpl = 3;
    guest_enter_protected(&guest, 3);
    cr_expect_eq(load(TO_DS, SEL_DATA), VECTOR_GP);
    guest_enter_protected(&guest, 3);
    cr_expect_eq(load(TO_DS, SEL_CODE32), VECTOR_GP);
    guest_enter_protected(&guest, 3);
    /* conforming code may be read from everywhere; the HLT after it is what faults */
    cr_expect_eq(load(TO_DS, SEL_CONFORMING), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 1, 4), GUEST_CODE + 2);
    cr_expect_eq(guest.cpu->seg[SEG_DS].selector, SEL_CONFORMING);
}

Test(segment, null_data_segment_faults_on_use)
{
    guest_enter_protected(&guest, 0);
    cr_expect_eq(load(TO_DS, 3), -1);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    cr_assert_eq(GUEST_RUN(&guest, 0x8a, 0x03), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

Test(segment, null_stack_in_64_bit_mode)
{
    guest_enter_long(&guest, 0);
    cr_expect_eq(load(TO_SS, 0), -1);
    guest_enter_long(&guest, 0);
    cr_expect_eq(load(TO_SS, 3), VECTOR_GP);
}

Test(segment, ldt)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_LDT + 8, guest_raw(0x5000, 0xfff, 0x93), 8);
    guest.cpu->gpr[REG_RAX] = SEL_LDT;
    guest.cpu->gpr[REG_RCX] = 8 | 4;
    /* lldt ax; mov es, ecx; sldt edx; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x00, 0xd0, 0x8e, 0xc1, 0x0f, 0x00, 0xc2, 0xf4),
                 CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), -1);
    cr_expect_eq(guest.cpu->seg[SEG_ES].base, 0x5000);
    cr_expect_eq(guest.cpu->gpr[REG_RDX], SEL_LDT);
}

Test(segment, ltr_in_long_mode)
{
    guest_enter_long(&guest, 0);
    guest_write(&guest, GUEST_GDT + SEL_TSS + 8, 0xffff8000, 8);
    guest.cpu->gpr[REG_RAX] = SEL_TSS;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x00, 0xd8, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest_vector(&guest), -1);
    cr_expect_eq(guest.cpu->tr.base, 0xffff800000000000 | GUEST_TSS);
    cr_expect_eq(guest_read(&guest, GUEST_GDT + SEL_TSS + 5, 1), 0x8b);

    guest_enter_long(&guest, 0); /* it is busy now */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x00, 0xd8, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
    cr_expect_eq(guest_stack(&guest, 0, 8), SEL_TSS);
}

Test(segment, far_pointers)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_DATA, 0x11223344, 4);
    guest_write(&guest, GUEST_DATA + 4, SEL_DATA16, 2);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    /* les ecx, [ebx]; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0xc4, 0x0b, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0x11223344);
    cr_expect_eq(guest.cpu->seg[SEG_ES].selector, SEL_DATA16);

    guest_write(&guest, GUEST_DATA + 4, SEL_ABSENT, 2);
    guest.cpu->gpr[REG_RCX] = 0;
    cr_assert_eq(GUEST_RUN(&guest, 0xc4, 0x0b, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_NP);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0, "nothing changes before the fault");
}

Test(segment, access_rights_and_limits)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RCX] = SEL_USER_CODE64;
    /* lar eax, ecx; lsl edx, ecx; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xd1, 0xf4), CPU_EXIT_HALT);
    cr_expect(guest.cpu->rflags & FLAG_ZF);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0x00affb00);
    cr_expect_eq(guest.cpu->gpr[REG_RDX], 0xffffffff);

    guest.cpu->gpr[REG_RCX] = SEL_BEYOND;
    guest.cpu->gpr[REG_RAX] = 5;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x02, 0xc1, 0xf4), CPU_EXIT_HALT);
    cr_expect_not(guest.cpu->rflags & FLAG_ZF);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 5);
}

Test(segment, verification)
{
    static const struct {
        uint16_t selector;
        bool readable, writable;
    } cases[] = {
        {SEL_DATA, true, true},           {SEL_READ_ONLY, true, false},
        {SEL_EXECUTE_ONLY, false, false}, {SEL_CODE64, true, false},
        {SEL_TSS, false, false},          {0, false, false},
        {SEL_DATA | 3, false, false},     {SEL_USER_DATA | 3, true, true},
    };
    guest_enter_long(&guest, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        guest.cpu->gpr[REG_RCX] = cases[i].selector;
        cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x00, 0xe1, 0xf4), CPU_EXIT_HALT);
        cr_expect_eq(!!(guest.cpu->rflags & FLAG_ZF), cases[i].readable, "%zu", i);
        cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x00, 0xe9, 0xf4), CPU_EXIT_HALT);
        cr_expect_eq(!!(guest.cpu->rflags & FLAG_ZF), cases[i].writable, "%zu", i);
    }
}

Test(segment, arpl)
{
    guest_enter_protected(&guest, 0);
    guest.cpu->gpr[REG_RCX] = 0x100;
    guest.cpu->gpr[REG_RAX] = 0x203;
    cr_assert_eq(GUEST_RUN(&guest, 0x63, 0xc1, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RCX], 0x103);
    cr_expect(guest.cpu->rflags & FLAG_ZF);
    cr_assert_eq(GUEST_RUN(&guest, 0x63, 0xc1, 0xf4), CPU_EXIT_HALT);
    cr_expect_not(guest.cpu->rflags & FLAG_ZF);
}

Test(segment, tables)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    guest_write(&guest, GUEST_DATA, 0x1ff, 2);
    guest_write(&guest, GUEST_DATA + 2, 0xffff800000005000, 8);
    /* lgdt [rbx]; sgdt [rbx + 16]; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0x13, 0x0f, 0x01, 0x43, 0x10, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gdtr.base, 0xffff800000005000);
    cr_expect_eq(guest_read(&guest, GUEST_DATA + 16, 2), 0x1ff);
    cr_expect_eq(guest_read(&guest, GUEST_DATA + 18, 8), 0xffff800000005000);

    guest.cpu->gdtr.base = GUEST_GDT;
    guest_write(&guest, GUEST_DATA + 2, 0x800000005000, 8);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0x13, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

Test(segment, umip)
{
    guest_enter_long(&guest, 3);
    cr_assert(cpu_write_cr4(guest.cpu, guest.cpu->cr4 | CR4_UMIP));
    guest.cpu->gpr[REG_RBX] = GUEST_DATA;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x01, 0x03), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}
