/* The A20 gate: bit 20 of physical addresses. */
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

TestSuite(a20, .init = setup, .fini = teardown);

/* In real mode: loads AX from FFFF:0010 plus offset. */
static uint16_t load_high(uint16_t offset)
{
    guest.cpu->seg[SEG_DS].selector = 0xffff;
    guest.cpu->seg[SEG_DS].base = 0xffff0;
    /* mov ax, [imm16]; hlt */
    uint16_t at = (uint16_t)(offset + 16);
    cr_assert_eq(GUEST_RUN(&guest, 0xa1, at & 0xff, at >> 8, 0xf4), CPU_EXIT_HALT);
    cr_assert_eq(guest.cpu->rip, GUEST_CODE + 4);
    return (uint16_t)guest.cpu->gpr[REG_RAX];
}

Test(a20, real_mode_wraps_at_1_mib)
{
    guest_write(&guest, GUEST_DATA, 0x1111, 2);
    guest_write(&guest, 0x100000 + GUEST_DATA, 0x2222, 2);
    cr_expect_eq(load_high(GUEST_DATA), 0x2222, "open at first");
    cpu_mask_a20(guest.cpu, true);
    cr_expect_eq(load_high(GUEST_DATA), 0x1111);
    cpu_reset(guest.cpu);
    cr_expect_eq(guest.cpu->physical_mask, ~BIT(20), "a pin, not a register");
}

Test(a20, masks_stores_and_opens_again)
{
    guest_enter_protected(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0x12345678;
    cpu_mask_a20(guest.cpu, true);
    /* mov [0x30c000], eax; hlt: only bit 20 is masked */
    cr_assert_eq(GUEST_RUN(&guest, 0xa3, 0x00, 0xc0, 0x30, 0x00, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_read(&guest, 0x20c000, 4), 0x12345678);
    cr_expect_eq(guest_read(&guest, 0x30c000, 4), 0);
    cpu_mask_a20(guest.cpu, false);
    cr_assert_eq(GUEST_RUN(&guest, 0xa3, 0x00, 0xc0, 0x30, 0x00, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest_read(&guest, 0x30c000, 4), 0x12345678);
}

Test(a20, masks_code)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_DATA, 0xf490, 2);            /* nop; hlt */
    guest_write(&guest, 0x100000 + GUEST_DATA, 0xf440, 2); /* inc eax; hlt */
    guest.cpu->gpr[REG_RCX] = 0x100000 + GUEST_DATA;
    /* jmp ecx */
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0xe1), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 1);
    cpu_mask_a20(guest.cpu, true);
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0xe1), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 1, "the other page's code");
    cpu_mask_a20(guest.cpu, false);
    cr_assert_eq(GUEST_RUN(&guest, 0xff, 0xe1), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 2);
}

Test(a20, masks_page_tables_and_frames)
{
    guest_enter_long(&guest, 0);
    /* The page directory is found where bit 20 of its address is masked. */
    guest_write(&guest, 0x100000 + GUEST_DATA, 0x2222, 2);
    guest_write(&guest, GUEST_DATA, 0x1111, 2);
    guest_write(&guest, GUEST_PDPT, (0x100000 + GUEST_PD) | 7, 8);
    guest.cpu->gpr[REG_RBX] = 0x100000 + GUEST_DATA;
    cpu_mask_a20(guest.cpu, true);
    /* mov eax, [rbx]; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x8b, 0x03, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_expect_eq((uint16_t)guest.cpu->gpr[REG_RAX], 0x1111);
}
