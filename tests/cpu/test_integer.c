/* Integer instructions where the host's user mode cannot be the reference: real mode, segment
 * limits, devices, interruption, random numbers. The rest is tests/differential. */
#include "system_guest.h"

#include <criterion/criterion.h>

static struct guest guest;

static void create(void)
{
    guest_create(&guest);
}

static void destroy(void)
{
    guest_destroy(&guest);
}

TestSuite(integer, .init = create, .fini = destroy);

static uint64_t reg(unsigned number)
{
    return guest.cpu->gpr[number];
}

Test(integer, near_branches_stay_within_the_code_segment)
{
    /* jmp dword: past the 64 KiB of real mode. */
    GUEST_RUN(&guest, 0x66, 0xe9, 0x00, 0x00, 0x01, 0x00, 0xf4);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_assert_eq(guest_stack(&guest, 0, 2), GUEST_CODE, "RIP is not the branch's");

    /* jmp word: wraps at 64 KiB. */
    guest.cpu->gpr[REG_RSP] = 0xfff0;
    guest_write(&guest, 0x10, 0xf4, 1);
    GUEST_RUN(&guest, 0xe9, 0x0d, 0x80);
    cr_assert_eq(guest.cpu->rip, 0x11);
}

Test(integer, calls_to_bad_targets_leave_the_stack_pointer)
{
    guest.cpu->gpr[REG_RAX] = 0x10000;
    GUEST_RUN(&guest, 0x66, 0xff, 0xd0); /* call eax */
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_assert_eq(reg(REG_RSP), 0xfff0 - 6);
}

Test(integer, branches_to_non_canonical_addresses_fault_at_the_branch)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = BIT(47);
    GUEST_RUN(&guest, 0xff, 0xe0); /* jmp rax */
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_assert_eq(guest_stack(&guest, 0, 8), 0, "the error code is not 0");
    cr_assert_eq(guest_stack(&guest, 1, 8), GUEST_CODE);
}

Test(integer, pusha_and_popa_wrap_at_64_kib)
{
    for (unsigned i = 0; i < 8; i++)
        guest.cpu->gpr[i] = 0x1110 * (i + 1);
    guest.cpu->gpr[REG_RSP] = 4;
    GUEST_RUN(&guest, 0x60, 0xf4);
    cr_assert_eq(reg(REG_RSP), 0xfff4);
    cr_assert_eq(guest_read(&guest, 2, 2), 0x1110, "AX");
    cr_assert_eq(guest_read(&guest, 0xfffa, 2), 4, "SP as it was");
    cr_assert_eq(guest_read(&guest, 0xfff4, 2), 0x8880, "DI");

    for (unsigned i = 0; i < 8; i++)
        guest.cpu->gpr[i] = i == REG_RSP ? 0xfff4 : 0x55550000;
    GUEST_RUN(&guest, 0x61, 0xf4);
    cr_assert_eq(reg(REG_RSP), 4);
    cr_assert_eq(reg(REG_RAX), 0x55551110);
    cr_assert_eq(reg(REG_RDI), 0x55558880);
}

Test(integer, segment_registers_are_pushed_and_popped)
{
    guest_enter_protected(&guest, 0);
    guest_write(&guest, GUEST_STACK - 4, 0xaaaaaaaa, 4);
    GUEST_RUN(&guest, 0x1e, 0xf4); /* push ds */
    cr_assert_eq(reg(REG_RSP), GUEST_STACK - 4);
    cr_assert_eq(guest_read(&guest, GUEST_STACK - 4, 4), 0xaaaa0000 | SEL_DATA);

    guest_write(&guest, GUEST_STACK - 4, SEL_DATA16, 4);
    GUEST_RUN(&guest, 0x07, 0xf4); /* pop es */
    cr_assert_eq(guest.cpu->seg[SEG_ES].selector, SEL_DATA16);
    cr_assert_eq(guest.cpu->seg[SEG_ES].limit, 0xffff);
    cr_assert_eq(reg(REG_RSP), GUEST_STACK);

    guest_write(&guest, GUEST_STACK, SEL_BEYOND, 4);
    GUEST_RUN(&guest, 0x07, 0xf4);
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    cr_assert_eq(guest_stack(&guest, 0, 4), SEL_BEYOND);
    cr_assert_eq(reg(REG_RSP), GUEST_STACK - 16, "a failed POP moved the stack pointer");
}

Test(integer, string_addresses_wrap_at_their_size)
{
    guest_write(&guest, 0xffff, 0x21, 1);
    guest_write(&guest, 0, 0x43, 1);
    guest.cpu->gpr[REG_RSI] = 0x7777ffff;
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 0x12340002;
    GUEST_RUN(&guest, 0xf3, 0xa4, 0xf4); /* rep movsb */
    cr_assert_eq(guest_read(&guest, GUEST_DATA, 2), 0x4321);
    cr_assert_eq(reg(REG_RSI), 0x77770001);
    cr_assert_eq(reg(REG_RCX), 0x12340000);
}

Test(integer, overlapping_copies_repeat_what_they_wrote)
{
    guest_enter_long(&guest, 0);
    guest_write(&guest, 0x40000, 0xbeef, 2);
    guest.cpu->gpr[REG_RSI] = 0x40000;
    guest.cpu->gpr[REG_RDI] = 0x40002;
    guest.cpu->gpr[REG_RCX] = 0x10000;
    GUEST_RUN(&guest, 0x66, 0xf3, 0xa5, 0xf4); /* rep movsw */
    for (uint64_t address = 0x40000; address <= 0x60000; address += 2)
        cr_assert_eq(guest_read(&guest, address, 2), 0xbeef, "at %lx", address);
    cr_assert_eq(reg(REG_RCX), 0);
}

Test(integer, copies_downwards_over_pages)
{
    guest_enter_long(&guest, 0);
    for (unsigned i = 0; i < 0x3000; i += 8)
        guest_write(&guest, 0x40000 + i, i * 0x9e3779b97f4a7c15ull, 8);
    guest.cpu->rflags |= FLAG_DF;
    guest.cpu->gpr[REG_RSI] = 0x42ff8;
    guest.cpu->gpr[REG_RDI] = 0x53000;
    guest.cpu->gpr[REG_RCX] = 0x600;
    GUEST_RUN(&guest, 0xf3, 0x48, 0xa5, 0xf4); /* rep movsq */
    for (unsigned i = 0; i < 0x3000; i += 8)
        cr_assert_eq(guest_read(&guest, 0x50008 + i, 8), i * 0x9e3779b97f4a7c15ull);
    cr_assert_eq(reg(REG_RSI), 0x3fff8);
}

/* Runs one of REPE/REPNE SCAS/CMPS over 0x1234 elements of 5a, of which number `ends` is a5, from
 * an odd address over several pages. */
static void search(bool compare, bool equal, unsigned size, unsigned ends)
{
    const uint64_t count = 0x1234, source = 0x60003, destination = 0x40001;
    uint64_t usual = 0x5a5a5a5a5a5a5a5a, other = 0xa5a5a5a5a5a5a5a5;
    for (uint64_t i = 0; i < count * size; i += 8) {
        guest_write(&guest, destination + i, usual, 8);
        guest_write(&guest, source + i, equal ? usual : other, 8);
    }
    guest_write(&guest, destination + (uint64_t)ends * size, other, size);
    guest.cpu->gpr[REG_RAX] = equal ? usual : other;
    guest.cpu->gpr[REG_RSI] = source;
    guest.cpu->gpr[REG_RDI] = destination;
    guest.cpu->gpr[REG_RCX] = count;
    uint8_t opcode = (uint8_t)((compare ? 0xa6 : 0xae) | (size > 1));
    GUEST_RUN(&guest, size == 2 ? 0x66 : 0x3e, equal ? 0xf3 : 0xf2, size == 8 ? 0x48 : 0x40, opcode,
              0xf4);
    uint64_t done = ends < count ? ends + 1 : count;
    bool found = ends < count;
    cr_assert_eq(reg(REG_RCX), count - done, "compare %d equal %d size %u", compare, equal, size);
    cr_assert_eq(reg(REG_RDI), destination + done * size);
    cr_assert_eq(reg(REG_RSI), compare ? source + done * size : source);
    cr_assert_eq(!!(guest.cpu->rflags & FLAG_ZF), equal != found);
}

Test(integer, searches_end_at_the_element)
{
    static const unsigned ends[] = {0, 1, 63, 64, 4093, 4094, 4095, 4096, 0x1233, 0x1234};
    guest_enter_long(&guest, 0);
    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            search(false, false, size, ends[i]);
            search(false, true, size, ends[i]);
            search(true, false, size, ends[i]);
            search(true, true, size, ends[i]);
        }
    }
}

Test(integer, repeated_loads_keep_the_last)
{
    guest_enter_long(&guest, 0);
    for (unsigned i = 0; i < 0x2000; i += 8)
        guest_write(&guest, 0x40003 + i, i, 8);
    guest.cpu->gpr[REG_RSI] = 0x40003;
    guest.cpu->gpr[REG_RCX] = 0x400;
    GUEST_RUN(&guest, 0xf3, 0x48, 0xad, 0xf4); /* rep lodsq */
    cr_assert_eq(reg(REG_RAX), 0x1ff8);
    cr_assert_eq(reg(REG_RSI), 0x42003);
    cr_assert_eq(reg(REG_RCX), 0);
}

/* A request that cannot be taken yet makes the instruction leave off, but not stand still. */
Test(integer, repetitions_go_on_under_a_request)
{
    guest_enter_long(&guest, 0);
    cpu_request(guest.cpu, CPU_REQUEST_INTR); /* IF is clear */
    guest.cpu->gpr[REG_RAX] = 0x5a;
    guest.cpu->gpr[REG_RDI] = 0x40003;
    guest.cpu->gpr[REG_RCX] = 0x20000;
    GUEST_RUN(&guest, 0xf3, 0xaa, 0xf4); /* rep stosb */
    cr_assert_eq(reg(REG_RCX), 0);
    cr_assert_eq(guest_read(&guest, 0x40002, 1), 0);
    cr_assert_eq(guest_read(&guest, 0x40003, 1), 0x5a);
    cr_assert_eq(guest_read(&guest, 0x60002, 1), 0x5a);
    cr_assert_eq(guest_read(&guest, 0x60003, 1), 0);

    /* repne scasb for the zero after them */
    guest.cpu->gpr[REG_RAX] = 0;
    guest.cpu->gpr[REG_RDI] = 0x40003;
    guest.cpu->gpr[REG_RCX] = ~0ull;
    GUEST_RUN(&guest, 0xf2, 0xae, 0xf4);
    cr_assert_eq(reg(REG_RDI), 0x60004);
    cr_assert(guest.cpu->rflags & FLAG_ZF);
}

Test(integer, single_steps_stop_after_each_repetition)
{
    guest_enter_long(&guest, 0);
    guest.cpu->rflags |= FLAG_TF;
    cpu_update_mode(guest.cpu);
    guest.cpu->gpr[REG_RDI] = GUEST_DATA;
    guest.cpu->gpr[REG_RCX] = 5;
    GUEST_RUN(&guest, 0xf3, 0xaa, 0xf4);
    cr_assert_eq(guest_vector(&guest), VECTOR_DB);
    cr_assert_eq(guest_stack(&guest, 0, 8), GUEST_CODE);
    cr_assert_eq(reg(REG_RCX), 4);
}

/* A fault in the middle: what came before it is done and counted. */
Test(integer, repetitions_that_fault_can_go_on)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0x11;
    guest.cpu->gpr[REG_RDI] = GUEST_UNMAPPED - 6;
    guest.cpu->gpr[REG_RCX] = 3;
    GUEST_RUN(&guest, 0xf3, 0xab, 0xf4); /* rep stosd */
    cr_assert_eq(guest_vector(&guest), VECTOR_PF);
    cr_assert_eq(guest.cpu->cr2, GUEST_UNMAPPED);
    cr_assert_eq(reg(REG_RCX), 2);
    cr_assert_eq(reg(REG_RDI), GUEST_UNMAPPED - 2);
    cr_assert_eq(guest_read(&guest, GUEST_UNMAPPED - 6, 4), 0x11);
    cr_assert_eq(guest_read(&guest, GUEST_UNMAPPED - 2, 2), 0, "half of a datum was stored");
}

static uint64_t device_value;

static uint64_t device_read(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)size;
    return device_value >> (8 * offset);
}

static void device_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)device, (void)size;
    cr_assert_eq(offset, 0);
    device_value = value;
}

Test(integer, locked_instructions_work_on_devices)
{
    static const struct bus_ops ops = {.name = "test", .read = device_read, .write = device_write};
    const char *other;
    cr_assert(bus_map(guest.bus, BUS_MMIO, 0xfe000000, 0x1000, &ops, NULL, &other));
    guest_enter_protected(&guest, 0);
    guest.cpu->gpr[REG_RBX] = 0xfe000000;
    guest.cpu->gpr[REG_RAX] = 5;
    device_value = 7;
    GUEST_RUN(&guest, 0xf0, 0x0f, 0xc1, 0x03, 0xf4); /* lock xadd [ebx], eax */
    cr_assert_eq(device_value, 12);
    cr_assert_eq(reg(REG_RAX), 7);
    GUEST_RUN(&guest, 0x87, 0x03, 0xf4); /* xchg [ebx], eax */
    cr_assert_eq(device_value, 7);
    cr_assert_eq(reg(REG_RAX), 12);
    GUEST_RUN(&guest, 0xf0, 0x0f, 0xba, 0x2b, 0x1f, 0xf4); /* lock bts dword [ebx], 31 */
    cr_assert_eq(device_value, 0x80000007);
    GUEST_RUN(&guest, 0xc1, 0x2b, 0x04, 0xf4); /* shr dword [ebx], 4 */
    cr_assert_eq(device_value, 0x08000000);
}

Test(integer, divide_errors)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RAX] = 0;
    guest.cpu->gpr[REG_RDX] = BIT(63);
    guest.cpu->gpr[REG_RBX] = ~0ull;
    GUEST_RUN(&guest, 0x48, 0xf7, 0xfb); /* idiv rbx: 2^127 does not fit */
    cr_assert_eq(guest_vector(&guest), VECTOR_DE);
    cr_assert_eq(guest_stack(&guest, 0, 8), GUEST_CODE);
    cr_assert_eq(reg(REG_RDX), BIT(63));

    /* -2^63 * 3 / 3 is the least quotient that fits. */
    guest.cpu->gpr[REG_RDX] = ~1ull;
    guest.cpu->gpr[REG_RAX] = BIT(63);
    guest.cpu->gpr[REG_RBX] = 3;
    GUEST_RUN(&guest, 0x48, 0xf7, 0xfb, 0xf4);
    cr_assert_eq(guest_vector(&guest), -1);
    cr_assert_eq(reg(REG_RAX), BIT(63));
    cr_assert_eq(reg(REG_RDX), 0);
}

Test(integer, aam_divides_by_its_immediate)
{
    guest.cpu->gpr[REG_RAX] = 0x63;
    GUEST_RUN(&guest, 0xd4, 0x07, 0xf4);
    cr_assert_eq(reg(REG_RAX), 0x0e01);
    GUEST_RUN(&guest, 0xd4, 0x00);
    cr_assert_eq(guest_vector(&guest), VECTOR_DE);
}

Test(integer, cmpxchg16b_must_be_aligned)
{
    guest_enter_long(&guest, 0);
    guest.cpu->gpr[REG_RDI] = GUEST_DATA + 8;
    GUEST_RUN(&guest, 0x48, 0x0f, 0xc7, 0x0f); /* cmpxchg16b [rdi] */
    cr_assert_eq(guest_vector(&guest), VECTOR_GP);
    guest.cpu->gpr[REG_RDI] = GUEST_UNMAPPED;
    GUEST_RUN(&guest, 0x48, 0x0f, 0xc7, 0x0f);
    cr_assert_eq(guest_vector(&guest), VECTOR_PF);
}

Test(integer, random_numbers)
{
    guest_enter_long(&guest, 0);
    if (!guest.model.features[DEC_FEATURE_RDRAND])
        cr_skip_test("the host has no RDRAND");
    guest.cpu->rflags |= FLAGS_STATUS & ~FLAG_CF;
    guest.cpu->gpr[REG_RBX] = ~0ull;
    GUEST_RUN(&guest, 0x48, 0x0f, 0xc7, 0xf0, 0x0f, 0xc7, 0xf3, 0xf4); /* rdrand rax; ebx */
    cr_assert_eq(guest.cpu->rflags & FLAGS_STATUS, FLAG_CF);
    cr_assert_neq(reg(REG_RAX), 0);
    cr_assert_eq(reg(REG_RBX) >> 32, 0);
}

/* On a CPU without BMI1, F3 is ignored and BSF remains: no result for zero. */
Test(integer, tzcnt_is_bsf_where_it_is_unknown)
{
    static const uint8_t code[] = {0xf3, 0x48, 0x0f, 0xbc, 0xc3, 0xf4}; /* tzcnt rax, rbx */
    guest_enter_long(&guest, 0);
    guest.model.features[DEC_FEATURE_BMI1] = false;
    guest.cpu->gpr[REG_RAX] = 0x1234;
    guest.cpu->gpr[REG_RBX] = 0;
    guest_run(&guest, code, sizeof(code));
    cr_assert_eq(reg(REG_RAX), 0x1234);
    cr_assert(guest.cpu->rflags & FLAG_ZF);
}
