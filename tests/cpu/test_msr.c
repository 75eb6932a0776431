#include "cpu/msr.h"
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

TestSuite(msr, .init = setup, .fini = teardown);

static bool holds(uint32_t index, uint64_t value)
{
    uint64_t read;
    return cpu_write_msr(guest.cpu, index, value) && cpu_read_msr(guest.cpu, index, &read) &&
           read == value;
}

Test(msr, unknown)
{
    uint64_t value;
    const uint32_t unknown[] = {0x2, 0x11, 0x3a, 0xc0000104, 0xffffffff, 0x7ff, 0x900};
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        cr_expect_not(cpu_read_msr(guest.cpu, unknown[i], &value), "%#x", unknown[i]);
        cr_expect_not(cpu_write_msr(guest.cpu, unknown[i], 0), "%#x", unknown[i]);
    }
}

Test(msr, addresses_must_be_canonical)
{
    const uint32_t addresses[] = {0x175,      0x176,      0xc0000082, 0xc0000083,
                                  0xc0000100, 0xc0000101, 0xc0000102};
    for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
        cr_expect(holds(addresses[i], 0xffff800000001000), "%#x", addresses[i]);
        cr_expect_not(cpu_write_msr(guest.cpu, addresses[i], 0x800000000000), "%#x", addresses[i]);
    }
    cr_expect_eq(guest.cpu->seg[SEG_FS].base, 0xffff800000001000);
}

Test(msr, reserved_bits)
{
    cr_expect(holds(0x48, 7));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x48, 8));
    cr_expect(holds(0x1fc, 2));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x1fc, 1));
    cr_expect(holds(0xc0000103, 0xffffffff));
    cr_expect_not(cpu_write_msr(guest.cpu, 0xc0000103, BIT(32)));
    cr_expect_not(cpu_write_msr(guest.cpu, 0xda0, 1));
    cr_expect(cpu_write_msr(guest.cpu, 0x49, 1));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x49, 2));
}

Test(msr, efer)
{
    cr_expect(holds(MSR_EFER, EFER_SCE | EFER_LME | EFER_NXE));
    cr_expect_not(cpu_write_msr(guest.cpu, MSR_EFER, BIT(12)));
    guest_enter_long(&guest, 0);
    cr_expect_not(cpu_write_msr(guest.cpu, MSR_EFER, EFER_SCE), "LME while paging");
    cr_expect(cpu_write_msr(guest.cpu, MSR_EFER, EFER_LME));
    cr_expect_eq(guest.cpu->msr.efer, EFER_LME | EFER_LMA, "LMA is not written");
}

Test(msr, memory_types)
{
    cr_expect(holds(0x277, 0x0007040600070406));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x277, 2));
    cr_expect(holds(0x250, 0x0606060606060606));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x250, 7), "UC- is PAT's alone");
    cr_expect(holds(0x26f, 5));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x26f, 3));
    cr_expect(holds(0x200, 0x80000006));
    cr_expect(holds(0x201, 0xff80000800));
    cr_expect_not(cpu_write_msr(guest.cpu, 0x201, BIT(guest.model.physical_bits)));
    cr_expect_eq(guest.cpu->msr.mtrr_phys_base[0], 0x80000006);
    cr_expect_eq(guest.cpu->msr.mtrr_phys_mask[0], 0xff80000800);
}

Test(msr, tsc)
{
    uint64_t value;
    clock_start(guest.clock);
    clock_step(guest.clock, 1000);
    cr_assert(cpu_read_msr(guest.cpu, 0x10, &value));
    cr_expect_eq(value, 1000);
    cr_assert(cpu_write_msr(guest.cpu, 0x10, 5000));
    clock_step(guest.clock, 7);
    cr_expect_eq(cpu_tsc(guest.cpu), 5007);
    cr_assert(cpu_read_msr(guest.cpu, 0x3b, &value));
    cr_expect_eq(value, 4000);
}

Test(msr, no_speculation_flaws)
{
    uint64_t value;
    cr_assert(cpu_read_msr(guest.cpu, MSR_ARCH_CAPABILITIES, &value));
    const uint64_t wanted = BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(20);
    cr_expect_eq(value & wanted, wanted);
    cr_expect_not(cpu_write_msr(guest.cpu, MSR_ARCH_CAPABILITIES, 0));
}

Test(msr, without_an_apic)
{
    uint64_t value;
    cr_expect_not(cpu_read_msr(guest.cpu, MSR_APIC_BASE, &value));
    cr_expect_not(cpu_read_msr(guest.cpu, MSR_X2APIC + 2, &value));
    cr_expect_not(cpu_write_msr(guest.cpu, MSR_TSC_DEADLINE, 1));
}

struct apic {
    uint64_t deadline;
    unsigned moves;
};

static bool apic_read(void *opaque, uint32_t index, uint64_t *value)
{
    struct apic *apic = opaque;
    *value = index == MSR_TSC_DEADLINE ? apic->deadline : APIC_BASE_ENABLE;
    return true;
}

static bool apic_write(void *opaque, uint32_t index, uint64_t value)
{
    struct apic *apic = opaque;
    apic->deadline = value;
    return index == MSR_TSC_DEADLINE;
}

static void apic_tsc_moved(void *opaque)
{
    struct apic *apic = opaque;
    apic->moves++;
}

Test(msr, apic_is_told_when_the_tsc_moves)
{
    static const struct intc_ops ops = {
        .read_msr = apic_read, .write_msr = apic_write, .tsc_moved = apic_tsc_moved};
    struct apic apic = {0};
    guest.cpu->intc = (struct intc){&ops, &apic};
    cr_assert(cpu_write_msr(guest.cpu, 0x10, 1000100));
    cr_expect_eq(apic.moves, 1);
    cr_assert(cpu_write_msr(guest.cpu, 0x3b, 77));
    cr_expect_eq(apic.moves, 2);
    uint64_t value;
    cr_assert(cpu_write_msr(guest.cpu, MSR_TSC_DEADLINE, 1000500));
    cr_expect_eq(apic.deadline, 1000500, "in units of the TSC");
    cr_assert(cpu_read_msr(guest.cpu, MSR_TSC_DEADLINE, &value));
    cr_expect_eq(value, 1000500);
    cr_expect(cpu_cpuid(guest.cpu, 1, 0).edx & BIT(9));
}

Test(msr, instructions)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RCX] = 0xffffffffc0000102;
    guest.cpu->gpr[REG_RAX] = 0xffffffff00001234;
    guest.cpu->gpr[REG_RDX] = 0x7f;
    /* wrmsr; xor eax, eax; xor edx, edx; rdmsr; hlt */
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x30, 0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x32, 0xf4),
                 CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->msr.kernel_gs_base, 0x7f00001234);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0x1234);
    cr_expect_eq(guest.cpu->gpr[REG_RDX], 0x7f);
    guest.cpu->gpr[REG_RCX] = 0x12345;
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0x32), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_GP);
}

/* --- KVM's clock. */

#define WALL_AT 0xc010u
#define PAGE_AT 0xcff0u /* across two pages */
enum { WALL_CLOCK = 0x4b564d00, SYSTEM_TIME };

static uint64_t read_physical(gpa_t gpa, unsigned size)
{
    uint8_t bytes[8];
    cr_assert(phys_read(guest.phys, gpa, bytes, size));
    return load_le(bytes, size);
}

/* Guest time, as a guest computes it. */
static uint64_t time_by_page(void)
{
    uint64_t delta = cpu_tsc(guest.cpu) - read_physical(PAGE_AT + 8, 8);
    delta <<= read_physical(PAGE_AT + 28, 1);
    return read_physical(PAGE_AT + 16, 8) +
           (uint64_t)((unsigned __int128)delta * read_physical(PAGE_AT + 24, 4) >> 32);
}

Test(msr, pvclock_page)
{
    clock_step(guest.clock, 1000);
    cr_assert(cpu_write_msr(guest.cpu, SYSTEM_TIME, PAGE_AT | 1));
    cr_expect_eq(read_physical(PAGE_AT, 4) % 2, 0);
    cr_expect_eq(read_physical(PAGE_AT + 29, 1), 1, "stable");
    cr_expect_eq(time_by_page(), clock_now(guest.clock));
    clock_step(guest.clock, 123456789);
    cr_expect_eq(time_by_page(), clock_now(guest.clock));
    uint64_t version = read_physical(PAGE_AT, 4);
    cr_assert(cpu_write_msr(guest.cpu, 0x10, 5));
    cr_expect_eq(read_physical(PAGE_AT, 4), version + 2);
    clock_step(guest.clock, 77);
    cr_expect_eq(time_by_page(), clock_now(guest.clock), "whatever the TSC says");
}

Test(msr, pvclock_tells_of_stops)
{
    cr_assert(cpu_write_msr(guest.cpu, SYSTEM_TIME, PAGE_AT | 1));
    cpu_note_stop(guest.cpu);
    cr_expect_eq(read_physical(PAGE_AT + 29, 1), 3);
    cr_assert(cpu_write_msr(guest.cpu, 0x10, 5));
    cr_expect_eq(read_physical(PAGE_AT + 29, 1), 3, "until the guest clears it");
    uint8_t cleared = 1;
    phys_write(guest.phys, PAGE_AT + 29, &cleared, 1);
    cr_assert(cpu_write_msr(guest.cpu, 0x10, 6));
    cr_expect_eq(read_physical(PAGE_AT + 29, 1), 1);
    uint64_t version = read_physical(PAGE_AT, 4);
    cr_assert(cpu_write_msr(guest.cpu, SYSTEM_TIME, 0));
    cpu_note_stop(guest.cpu);
    cr_expect_eq(read_physical(PAGE_AT, 4), version, "it has been turned off");
}

Test(msr, pvclock_wall_clock)
{
    uint64_t value;
    clock_set_epoch(guest.clock, 1772323190 * NS_PER_SECOND + 5);
    cr_assert(cpu_write_msr(guest.cpu, WALL_CLOCK, WALL_AT));
    cr_expect_eq(read_physical(WALL_AT, 4) % 2, 0);
    cr_expect_eq(read_physical(WALL_AT + 4, 4), 1772323190);
    cr_expect_eq(read_physical(WALL_AT + 8, 4), 5);
    cr_expect(cpu_read_msr(guest.cpu, WALL_CLOCK, &value) && value == WALL_AT);
    cr_expect_not(cpu_write_msr(guest.cpu, WALL_CLOCK, WALL_AT | 2));
    cr_expect_not(cpu_write_msr(guest.cpu, SYSTEM_TIME, PAGE_AT | 2));
    cr_expect(cpu_write_msr(guest.cpu, WALL_CLOCK, 1ull << 50), "there is no memory");
}
