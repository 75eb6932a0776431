/* MONITOR and MWAIT, where no guest program can see to it. */
#include "cpu/msr.h"
#include "system_guest.h"

#include <criterion/criterion.h>

#define LINE (GUEST_DATA + 0x80)

static struct guest guest;
static unsigned wakes;

static void count_wake(void *opaque)
{
    (void)opaque;
    wakes++;
}

static void setup(void)
{
    guest_create(&guest);
    guest.cpu->wake = (struct cpu_wake){count_wake, NULL};
    wakes = 0;
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(monitor, .init = setup, .fini = teardown);

/* monitor; mwait; mov ebx, 1; hlt, in whatever mode. */
static enum cpu_exit run_wait(uint64_t address)
{
    guest.cpu->gpr[REG_RAX] = address;
    guest.cpu->gpr[REG_RBX] = guest.cpu->gpr[REG_RCX] = 0;
    return GUEST_RUN(&guest, 0x0f, 0x01, 0xc8, 0x0f, 0x01, 0xc9, 0xbb, 1, 0, 0, 0, 0xf4);
}

static bool waits(void)
{
    return guest.cpu->gpr[REG_RBX] == 0 && guest.cpu->halted && !cpu_has_work(guest.cpu);
}

static void expect_to_go_on(void)
{
    cr_expect_eq(wakes, 1);
    cr_expect(cpu_has_work(guest.cpu));
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], 1);
    cr_expect_not(cpu_has_work(guest.cpu));
}

Test(monitor, a_device_writes)
{
    guest_enter_long(&guest, 0);
    cr_expect_eq(run_wait(LINE + 5), CPU_EXIT_HALT);
    cr_expect(waits());
    const uint8_t zero = 0;
    phys_write(guest.phys, LINE - 1, &zero, 1);
    phys_write(guest.phys, LINE + 64, &zero, 1);
    cr_expect(waits());
    phys_write(guest.phys, LINE + 63, &zero, 1);
    expect_to_go_on();
}

/* In place, as disks do. */
Test(monitor, a_device_writes_through_a_pointer)
{
    guest_enter_long(&guest, 0);
    run_wait(LINE);
    cr_expect(waits());
    const struct dma dma = phys_dma(guest.phys);
    dma.ops->written(dma.opaque, LINE - PAGE_SIZE, 2 * PAGE_SIZE);
    expect_to_go_on();
}

Test(monitor, real_mode_and_16_bit_addresses)
{
    cr_expect_eq(run_wait(0x123400000000 + LINE), CPU_EXIT_HALT);
    cr_expect(waits());
    guest_write(&guest, LINE, 1, 1);
    expect_to_go_on();
}

Test(monitor, devices_and_absent_memory_are_not_monitored)
{
    guest_enter_long(&guest, 0);
    guest_write(&guest, GUEST_PD + 8, 0xffe00083, 8);
    cr_expect_eq(run_wait(GUEST_UNMAPPED), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RBX], 1);
}

Test(monitor, init_ends_it)
{
    guest_enter_long(&guest, 0);
    run_wait(LINE);
    cr_expect(waits());
    cpu_request(guest.cpu, CPU_REQUEST_INIT);
    cr_expect(cpu_has_work(guest.cpu));
    cpu_run_for(guest.cpu, 0);
    cpu_init_signal(guest.cpu);
    cr_expect_eq(guest.cpu->halted, HALT_NONE);
    cr_expect_not(phys_is_monitoring(guest.phys));
}

Test(monitor, blocks_that_go_leave_it_armed)
{
    guest_enter_long(&guest, 0);
    run_wait(GUEST_CODE + 0x100);
    cr_expect(waits());
    guest_write(&guest, GUEST_CODE, 0x90, 1); /* all blocks of the page */
    cpu_request(guest.cpu, CPU_REQUEST_NMI);
    guest.cpu->nmi_blocked = true;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect(waits());
    guest_write(&guest, GUEST_CODE + 0x100, 1, 1);
    expect_to_go_on();
}

Test(monitor, does_not_exist_in_virtual_8086_mode)
{
    guest_enter_vm86(&guest);
    run_wait(LINE);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(monitor, misc_enable)
{
    const uint64_t fixed = MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS;
    uint64_t value;
    guest.cpu->gpr[REG_RAX] = 0x1122334455667788;
    cr_expect(cpu_read_msr(guest.cpu, 0x1a0, &value));
    cr_expect_eq(value, fixed | MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_MONITOR);
    cr_expect(cpu_write_msr(guest.cpu, 0x1a0, 0));
    cr_expect(cpu_read_msr(guest.cpu, 0x1a0, &value));
    cr_expect_eq(value, fixed);
    cr_expect_not(cpu_write_msr(guest.cpu, 0x1a0, BIT(1)));
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0x1122334455667788);
    guest.model.features[DEC_FEATURE_MONITOR] = false;
    cr_expect_not(cpu_write_msr(guest.cpu, 0x1a0, MISC_ENABLE_MONITOR));
}
