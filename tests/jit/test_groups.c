/* Memory accesses that share one check, where the check fails for one of them. */
#include "guest.h"

#include <criterion/criterion.h>

#define SECOND_PAGE (GUEST_DATA + PAGE_SIZE)

static const struct jit_config defaults = {.without = JIT_PATIENCE};

static void begin(struct guest *guest, const void *code, size_t size)
{
    guest_create(guest, &defaults);
    guest_set_code(guest, 0, code, size);
    for (unsigned i = 0; i < GUEST_DATA_SIZE; i++)
        guest_data(guest)[i] = (uint8_t)(i * 7 + i / 256);
    guest_start(guest, GUEST_CODE);
}

/* From the start, with what the TLB has. */
static void start_again(struct guest *guest)
{
    guest->cpu->halted = false;
    guest->cpu->rip = GUEST_CODE;
}

static uint64_t datum(struct guest *guest, gva_t va)
{
    uint64_t value;
    memcpy(&value, guest_data(guest) + (va - GUEST_DATA), sizeof(value));
    return value;
}

/* mov rax, [rsi]; mov rbx, [rsi + 8]; mov rcx, [rsi + 16]; hlt, at each place around a page's end,
 * twice: the second time both pages are in the TLB. */
Test(jit_groups, reads_across_pages)
{
    static const uint8_t code[] = {0x48, 0x8b, 0x06, 0x48, 0x8b, 0x5e,
                                   8,    0x48, 0x8b, 0x4e, 16,   0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    for (unsigned i = 0; i < 2 * 32; i++) {
        gva_t va = SECOND_PAGE - 28 + i % 32;
        start_again(&guest);
        guest.cpu->gpr[REG_RSI] = va;
        cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RAX], datum(&guest, va));
        cr_assert_eq(guest.cpu->gpr[REG_RBX], datum(&guest, va + 8));
        cr_assert_eq(guest.cpu->gpr[REG_RCX], datum(&guest, va + 16));
    }
    guest_destroy(&guest);
}

/* mov rax, [rsi]; mov rbx, [rdi]; mov rcx, [rsi + 8]; mov rdx, [rdi + 8]; hlt: two groups by turns,
 * each across the end of a page. */
Test(jit_groups, two_groups_across_pages)
{
    static const uint8_t code[] = {0x48, 0x8b, 0x06, 0x48, 0x8b, 0x1f, 0x48, 0x8b,
                                   0x4e, 8,    0x48, 0x8b, 0x57, 8,    0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    for (unsigned i = 0; i < 2 * 15 * 15; i++) {
        gva_t first = SECOND_PAGE - 1 - i % 15, second = GUEST_READ_ONLY - 1 - i / 15 % 15;
        start_again(&guest);
        guest.cpu->gpr[REG_RSI] = first;
        guest.cpu->gpr[REG_RDI] = second;
        cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RAX], datum(&guest, first));
        cr_assert_eq(guest.cpu->gpr[REG_RBX], datum(&guest, second));
        cr_assert_eq(guest.cpu->gpr[REG_RCX], datum(&guest, first + 8));
        cr_assert_eq(guest.cpu->gpr[REG_RDX], datum(&guest, second + 8));
    }
    guest_destroy(&guest);
}

/* mov rax, [rsi]; mov [rdi], rbx; mov rcx, [rsi + 8]; hlt: the store goes to what is read last. */
Test(jit_groups, store_between_reads_across_pages)
{
    static const uint8_t code[] = {0x48, 0x8b, 0x06, 0x48, 0x89, 0x1f, 0x48, 0x8b, 0x4e, 8, 0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    for (unsigned i = 0; i < 2 * 16; i++) {
        gva_t va = SECOND_PAGE - 16 + i % 16;
        start_again(&guest);
        guest.cpu->gpr[REG_RSI] = va;
        guest.cpu->gpr[REG_RDI] = va + 8;
        guest.cpu->gpr[REG_RBX] = 0x123456789abcdef0 + i;
        uint64_t first = datum(&guest, va);
        cr_assert_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
        cr_assert_eq(guest.cpu->gpr[REG_RAX], first);
        cr_assert_eq(guest.cpu->gpr[REG_RCX], 0x123456789abcdef0 + i);
    }
    guest_destroy(&guest);
}

/* Maps the code 4 GiB above the data, too, by tables behind those of guest.c. */
static void map_code_at_4g(struct guest *guest)
{
    const gpa_t directory = guest->cpu->cr3 + 7 * PAGE_SIZE, table = directory + PAGE_SIZE;
    uint64_t *pdpt = phys_ram_pointer(guest->phys, guest->cpu->cr3 + PAGE_SIZE, PAGE_SIZE);
    uint64_t *pd = phys_ram_pointer(guest->phys, directory, PAGE_SIZE);
    uint64_t *pt = phys_ram_pointer(guest->phys, table, PAGE_SIZE);
    pdpt[4] = directory | 7;
    pd[GUEST_DATA >> 21 & 511] = table | 7;
    pt[GUEST_DATA >> PAGE_SHIFT & 511] = GUEST_CODE_GPA | 7;
    pt[(GUEST_DATA >> PAGE_SHIFT & 511) - 1] = GUEST_CODE_GPA | 7;
}

/* add rsi, 16; mov rax, [rsi - 80000000h]; sub rsi, 16; mov rbx, [rsi - 80000000h]; hlt: the span
 * begins further down than a displacement reaches. */
Test(jit_groups, displacements_end)
{
    static const uint8_t code[] = {0x48, 0x83, 0xc6, 16,   0x48, 0x8b, 0x86, 0, 0, 0,    0x80, 0x48,
                                   0x83, 0xee, 16,   0x48, 0x8b, 0x9e, 0,    0, 0, 0x80, 0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    map_code_at_4g(&guest); /* where it would wrap to */
    guest.cpu->gpr[REG_RSI] = GUEST_DATA + 0x80000000;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], datum(&guest, GUEST_DATA + 16));
    cr_expect_eq(guest.cpu->gpr[REG_RBX], datum(&guest, GUEST_DATA));
    guest_destroy(&guest);
}

/* add rsi, 7fffffffh; mov rax, [rsi]; mov rbx, [rsi - 8]; hlt: the first access begins at the
 * largest offset, and crosses into a page that is not there. */
Test(jit_groups, offsets_end)
{
    static const uint8_t code[] = {0x48, 0x81, 0xc6, 0xff, 0xff, 0xff, 0x7f, 0x48,
                                   0x8b, 0x06, 0x48, 0x8b, 0x5e, 0xf8, 0xf4};
    const gva_t end = GUEST_DATA + GUEST_DATA_SIZE;
    struct guest guest;
    begin(&guest, code, sizeof(code));
    guest.cpu->gpr[REG_RSI] = end - 8 - 0x7fffffff;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], datum(&guest, end - 8));
    cr_expect_eq(guest.cpu->gpr[REG_RBX], datum(&guest, end - 16));
    guest_start(&guest, GUEST_CODE);
    guest.cpu->gpr[REG_RSI] = end - 4 - 0x7fffffff;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_SHUTDOWN);
    cr_expect_eq(guest.cpu->cr2, end);
    guest_destroy(&guest);
}

/* inc qword [rsi]; inc qword [rsi + 8]; hlt, across the end of a page and into one that can only be
 * read: the first happens, the second faults. */
Test(jit_groups, first_store_happens_before_the_second_faults)
{
    static const uint8_t code[] = {0x48, 0xff, 0x06, 0x48, 0xff, 0x46, 8, 0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    gva_t va = GUEST_READ_ONLY - 8;
    uint64_t first = datum(&guest, va), second = datum(&guest, va + 8);
    guest.cpu->gpr[REG_RSI] = va;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_SHUTDOWN);
    cr_expect_eq(guest.cpu->rip, GUEST_CODE + 3);
    cr_expect_eq(datum(&guest, va), first + 1);
    cr_expect_eq(datum(&guest, va + 8), second);
    guest_destroy(&guest);
}

/* mov rax, [rsi]; test rax, rax; jz +4; mov [rsi + 8], rax; hlt: a store that does not come is not
 * asked for. */
Test(jit_groups, page_is_read_only_and_not_written)
{
    static const uint8_t code[] = {0x48, 0x8b, 0x06, 0x48, 0x85, 0xc0, 0x74,
                                   4,    0x48, 0x89, 0x46, 8,    0xf4};
    struct guest guest;
    begin(&guest, code, sizeof(code));
    memset(guest_data(&guest) + (GUEST_READ_ONLY - GUEST_DATA), 0, 8);
    guest.cpu->gpr[REG_RSI] = GUEST_READ_ONLY;
    cr_expect_eq(cpu_run(guest.cpu), CPU_EXIT_HALT);
    cr_expect_eq(guest.cpu->gpr[REG_RAX], 0);
    guest_destroy(&guest);
}
