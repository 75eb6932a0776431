/* System-management mode. */
#include "cpu/smm.h"
#include "system_guest.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define HANDLER (SMBASE_AT_RESET + 0x8000)
#define MAP (SMBASE_AT_RESET + 0xfe00)

static struct guest guest;

static void setup(void)
{
    guest_create(&guest);
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(smm, .init = setup, .fini = teardown);

static void put_handler(const uint8_t *code, size_t size)
{
    cr_assert(phys_write(guest.phys, HANDLER, code, size));
}

#define PUT_HANDLER(...)                                                                           \
    put_handler((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

Test(smm, state_on_entry)
{
    guest_enter_long(&guest, 3);
    struct cpu *cpu = guest.cpu;
    for (unsigned i = 0; i < 16; i++)
        cpu->gpr[i] = 0x1111111111111111ull * i;
    cpu->seg[SEG_FS].base = 0x123456789a;
    PUT_HANDLER(0xf4);
    cpu_request(cpu, CPU_REQUEST_SMI);
    cr_assert_eq(cpu_run(cpu), CPU_EXIT_HALT);
    cr_expect(cpu->smm && cpu->nmi_blocked);
    cr_expect_eq(cpu->rip, 0x8001);
    cr_expect_eq(cpu->cpl, 0);
    cr_expect_eq(cpu->rflags, FLAGS_FIXED);
    cr_expect_eq(cpu->cr0 & (CR0_PE | CR0_PG), 0);
    cr_expect_eq(cpu->cr4, 0);
    cr_expect_eq(cpu->msr.efer, 0);
    cr_expect_eq(cpu->seg[SEG_CS].selector, 0x3000);
    cr_expect_eq(cpu->seg[SEG_CS].base, SMBASE_AT_RESET);
    cr_expect_eq(cpu->seg[SEG_DS].limit, UINT32_MAX);
    for (unsigned i = 0; i < 16; i++)
        cr_expect_eq(guest_read(&guest, MAP + 0x1f8 - 8 * i, 8), 0x1111111111111111ull * i);
    cr_expect_eq(guest_read(&guest, MAP + 0x178, 8), GUEST_CODE, "RIP");
    cr_expect_eq(guest_read(&guest, MAP + 0x10, 2), SEL_USER_CODE64 | 3, "CS");
    cr_expect_eq(guest_read(&guest, MAP + 0x48, 8), 0x123456789a, "FS base");
    cr_expect_eq(guest_read(&guest, MAP + 0xfc, 4), 0x20064, "revision");
    cr_expect_eq(guest_read(&guest, MAP + 0x100, 4), SMBASE_AT_RESET);
    cr_expect_eq(guest_read(&guest, MAP + 0x150, 8), GUEST_PML4, "CR3");
    cr_expect_eq(guest_read(&guest, MAP + 0xd0, 8), EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
}

/* Enters and leaves SMM before the first instruction and compares what was there. */
static void expect_round_trip(void)
{
    struct cpu before = *guest.cpu;
    struct cpu *cpu = guest.cpu;
    PUT_HANDLER(0x66, 0x31, 0xc0, 0x66, 0x89, 0xc4, 0x0f, 0xaa); /* zeroes EAX and ESP; rsm */
    cpu_request(cpu, CPU_REQUEST_SMI);
    cr_assert_eq(GUEST_RUN(&guest, 0x90, 0xf4), CPU_EXIT_HALT);
    cr_expect_not(cpu->smm);
    cr_expect_not(cpu->nmi_blocked);
    if (before.cpl == 0)
        cr_expect_eq(cpu->rip, GUEST_CODE + 2);
    else
        cr_expect_eq(guest_vector(&guest), VECTOR_GP, "HLT");
    cr_expect_eq(cpu->cr0, before.cr0);
    cr_expect_eq(cpu->cr3, before.cr3);
    cr_expect_eq(cpu->cr4, before.cr4);
    cr_expect_eq(cpu->msr.efer, before.msr.efer);
    cr_expect_eq(cpu->gpr[REG_RAX], before.gpr[REG_RAX]);
    cr_expect_eq(cpu->tr.base, before.tr.base);
    cr_expect_eq(cpu->idtr.base, before.idtr.base);
    cr_expect_eq(cpu->gdtr.limit, before.gdtr.limit);
    if (before.cpl == 0) {
        cr_expect_eq(cpu->mode, before.mode);
        cr_expect_eq(cpu->gpr[REG_RSP], before.gpr[REG_RSP]);
        for (unsigned i = 0; i < 6; i++) {
            cr_expect_eq(cpu->seg[i].selector, before.seg[i].selector);
            cr_expect_eq(cpu->seg[i].attributes, before.seg[i].attributes);
            cr_expect_eq(cpu->seg[i].limit, before.seg[i].limit);
            cr_expect_eq(cpu->seg[i].base, before.seg[i].base);
        }
    }
}

Test(smm, returns_to_real_mode)
{
    expect_round_trip();
}

Test(smm, returns_to_protected_mode)
{
    guest_enter_protected(&guest, 0);
    expect_round_trip();
    guest_enter_protected(&guest, 3);
    expect_round_trip();
}

Test(smm, returns_to_long_mode)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0x123456789abcdef0;
    expect_round_trip();
    guest_enter_long(&guest, 3);
    expect_round_trip();
}

Test(smm, smbase_moves)
{
    /* mov dword [cs:0xff00], 0x50000; rsm */
    PUT_HANDLER(0x2e, 0x66, 0xc7, 0x06, 0x00, 0xff, 0x00, 0x00, 0x05, 0x00, 0x0f, 0xaa);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cr_assert_eq(GUEST_RUN(&guest, 0xf4), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->smbase, 0x50000);
    guest_write(&guest, 0x58000, 0xf4, 1);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cr_expect(cpu_has_work(guest.cpu), "HLT ends");
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->seg[SEG_CS].base, 0x50000);
    cr_expect_eq(guest_read(&guest, 0x5fe00 + 0xc9, 1), 1, "it was halted");
    cpu_init_signal(guest.cpu);
    cr_expect_eq(guest.cpu->smbase, 0x50000);
    cpu_reset(guest.cpu);
    cr_expect_eq(guest.cpu->smbase, SMBASE_AT_RESET);
}

Test(smm, halt_goes_on_or_ends)
{
    PUT_HANDLER(0x0f, 0xaa);
    cr_assert_eq(GUEST_RUN(&guest, 0xf4, 0x40, 0xf4), CPU_EXIT_HALT);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 1, "back in HLT");
    /* mov byte [cs:0xfec9], 0; rsm */
    PUT_HANDLER(0x2e, 0xc6, 0x06, 0xc9, 0xfe, 0x00, 0x0f, 0xaa);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3, "after it");
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 1);
}

Test(smm, blocks_smi_nmi_and_init)
{
    PUT_HANDLER(0xf4);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cpu_request(guest.cpu, CPU_REQUEST_SMI);
    cpu_request(guest.cpu, CPU_REQUEST_NMI);
    cpu_request(guest.cpu, CPU_REQUEST_INIT);
    cr_expect_not(cpu_has_work(guest.cpu));
    cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->rip, 0x8001);
}

Test(smm, rsm_outside_is_undefined)
{
    guest_enter_long(&guest, 0);
    cr_assert_eq(GUEST_RUN(&guest, 0x0f, 0xaa), CPU_EXIT_HALT);
    cr_expect_eq(guest_vector(&guest), VECTOR_UD);
}

Test(smm, invalid_state_shuts_down)
{
    static const struct {
        unsigned offset;
        uint64_t value;
    } bad[] = {
        {0x158, CR0_PG},      /* without PE */
        {0x158, CR0_NW},      /* without CD */
        {0x148, BIT(31)},     /* CR4 */
        {0x150, BIT(52)},     /* CR3 */
        {0xd0, EFER_LMA},     /* without paging */
        {0xd0, BIT(20)},      /* EFER */
        {0x170, FLAG_VM},     /* in real mode */
        {0x178, 0x100000000}, /* RIP */
        {0x148, CR4_PCIDE},   /* outside long mode */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cpu_reset(guest.cpu);
        PUT_HANDLER(0x0f, 0xaa);
        smm_enter(guest.cpu);
        guest_write(&guest, MAP + bad[i].offset, bad[i].value, 8);
        cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_SHUTDOWN, "%zu", i);
    }
}

/* Whatever a guest leaves in the map, the CPU survives what comes of it. */
Test(smm, random_state_is_survived)
{
    srand(4711);
    for (unsigned round = 0; round < 2000; round++) {
        cpu_reset(guest.cpu);
        if (round % 2)
            guest_enter_long(&guest, 3);
        PUT_HANDLER(0x0f, 0xaa);
        smm_enter(guest.cpu);
        for (unsigned i = 0; i < 3; i++)
            guest_write(&guest, MAP + (unsigned)rand() % 0x200, (unsigned)rand() & 0xff, 1);
        cpu_run_for(guest.cpu, 20);
    }
    cpu_reset(guest.cpu);
    cr_expect_not(guest.cpu->smm);
}
