/* Memory of devices that the guest reaches without asking them: bus/direct_ram.h. */
#include "guest.h"

#include "bus/bus.h"

#include <criterion/criterion.h>

#define BASE 0x2000000u /* beyond the guest's RAM */
enum { PAGES = 4 };

static struct guest guest;
static uint8_t bytes[PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static uint8_t written[PAGES];
static unsigned changes, rearms, switches;
static struct direct_memory memory;

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static const struct direct_ram ram = {bytes, sizeof(bytes), written, count, &changes};

static void setup(void)
{
    memset(bytes, 0, sizeof(bytes));
    memset(written, 0, sizeof(written));
    changes = rearms = switches = 0;
    guest_create(&guest);
    guest_long_mode(&guest);
    phys_set_rearm_listener(guest.cpu->phys, count, &rearms);
    phys_set_switch_listener(guest.cpu->phys, count, &switches);
    memory = phys_direct(guest.cpu->phys);
    for (unsigned page = 0; page < PAGES; page++)
        guest_map(&guest, 8 + page, (BASE + page * PAGE_SIZE) | P | RW | A | D);
    cr_assert(memory.ops->show(memory.opaque, &ram, BASE));
}

static void teardown(void)
{
    guest_destroy(&guest);
}

TestSuite(direct, .init = setup, .fini = teardown);

static gva_t page_at(unsigned page)
{
    return (8 + page) * PAGE_SIZE;
}

static void store(unsigned page, uint8_t value)
{
    struct mmu_fault fault;
    cr_assert_eq(
        mmu_write(guest.cpu, mode_view(guest.cpu->mode), page_at(page) + 5, &value, 1, &fault),
        MMU_OK);
}

static bool can_be_written(unsigned page)
{
    return guest.cpu->tlb[tlb_index(page_at(page))].write_tag == page_at(page);
}

Test(direct, a_first_store_is_noted)
{
    store(1, 0x77);
    cr_expect_eq(bytes[PAGE_SIZE + 5], 0x77);
    cr_expect(!written[0] && written[1] && !written[2]);
    cr_expect_eq(changes, 1);
    cr_expect(can_be_written(1), "the next ones cost nothing");
    store(1, 0x78);
    cr_expect_eq(changes, 1);
}

Test(direct, loads_leave_stores_to_come_by)
{
    struct mmu_fault fault;
    cr_assert_eq(guest_read(&guest, page_at(2), &fault), MMU_OK);
    cr_expect_not(can_be_written(2));
    cr_expect_not(mmu_refill(guest.cpu, page_at(2), MMU_REFILL_READ_TO_WRITE));
    cr_expect_eq(written[2], 0);
    cr_expect(mmu_refill(guest.cpu, page_at(2), MMU_REFILL_WRITE));
    cr_expect_eq(written[2], 1);
}

/* Stores may have come between the look and the rearming: the page counts as written once more. */
Test(direct, rearming)
{
    store(0, 1);
    written[0] = 0;
    memory.ops->rearm(memory.opaque);
    cr_expect_eq(rearms, 1);
    mmu_rearm_direct(guest.cpu);
    cr_expect(written[0] && !written[1]);
    cr_expect_not(can_be_written(0));
    written[0] = 0;
    mmu_rearm_direct(guest.cpu);
    cr_expect_eq(written[0], 0, "nobody stored since");
    store(0, 2);
    cr_expect_eq(written[0], 1);
    cr_expect_eq(changes, 3);
}

Test(direct, dma_is_noted)
{
    cr_expect(phys_write(guest.cpu->phys, BASE + 2 * PAGE_SIZE - 1, "ab", 2));
    cr_expect(!written[0] && written[1] && written[2] && !written[3]);
    struct dma dma = phys_dma(guest.cpu->phys);
    uint64_t size = 2 * PAGE_SIZE;
    cr_expect_eq(dma.ops->map(dma.opaque, BASE + 3 * PAGE_SIZE, &size), bytes + 3 * PAGE_SIZE);
    cr_expect_eq(size, PAGE_SIZE);
    dma.ops->written(dma.opaque, BASE + 3 * PAGE_SIZE, size);
    cr_expect_eq(written[3], 1);
}

static unsigned overwritten;

static void note_overwritten(void *opaque, gpa_t gpa, unsigned size)
{
    (void)opaque, (void)gpa, (void)size;
    overwritten++;
}

Test(direct, pages_with_code_are_written_slowly)
{
    struct phys_map *phys = guest.cpu->phys;
    phys_set_code_listener(phys, note_overwritten, NULL);
    store(0, 1);
    cr_expect(phys_mark_code(phys, BASE, 16));
    mmu_protect_code_page(guest.cpu, BASE);
    cr_expect_not(can_be_written(0));
    written[0] = 0;
    store(0, 2);
    cr_expect_eq(overwritten, 1);
    cr_expect_eq(written[0], 1);
    cr_expect_not(can_be_written(0));
    memory.ops->hide(memory.opaque, &ram);
    cr_expect_eq(overwritten, 2, "what was decoded there is gone");
    cr_assert(memory.ops->show(memory.opaque, &ram, BASE));
    cr_expect_not(phys_page_has_code(phys, BASE));
    phys_set_code_listener(phys, NULL, NULL);
}

Test(direct, moves)
{
    struct phys_map *phys = guest.cpu->phys;
    bytes[0] = 0x42;
    cr_assert(memory.ops->show(memory.opaque, &ram, BASE + 0x100000));
    cr_expect_null(phys_find(phys, BASE));
    uint8_t byte = 0;
    cr_expect(phys_read(phys, BASE + 0x100000, &byte, 1));
    cr_expect_eq(byte, 0x42);
    memory.ops->hide(memory.opaque, &ram);
    cr_expect_null(phys_find(phys, BASE + 0x100000));
    cr_expect_eq(switches, 4, "TLBs are flushed each time");
}

/* As flash is: it is read and executed as memory, and what is stored goes to the device. */
static uint64_t command;

static uint64_t read_command(void *device, uint64_t offset, unsigned size)
{
    (void)device, (void)offset, (void)size;
    return command;
}

static void take_command(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)device, (void)size;
    command = offset << 8 | value;
}

static const struct bus_ops command_ops = {"commands", read_command, take_command, 1, 8};

Test(direct, memory_that_is_only_read)
{
    static const struct direct_ram array = {bytes, sizeof(bytes), NULL, NULL, NULL};
    struct phys_map *phys = guest.cpu->phys;
    struct mmu_fault fault;
    memory.ops->hide(memory.opaque, &ram);
    cr_assert(memory.ops->show(memory.opaque, &array, BASE));
    cr_assert(bus_map(guest.bus, BUS_MMIO, BASE, sizeof(bytes), &command_ops, NULL, NULL));
    cr_assert_eq(guest_read(&guest, page_at(1), &fault), MMU_OK);
    cr_expect_eq(guest.cpu->tlb[tlb_index(page_at(1))].read_tag, page_at(1));
    cr_expect_not(mmu_refill(guest.cpu, page_at(1), MMU_REFILL_READ_TO_WRITE));
    cr_expect_not(mmu_refill(guest.cpu, page_at(1), MMU_REFILL_WRITE));
    store(1, 0x70);
    cr_expect_eq(command, (PAGE_SIZE + 5) << 8 | 0x70);
    cr_expect_eq(bytes[PAGE_SIZE + 5], 0);
    phys_write(phys, BASE, "a", 1);
    cr_expect_eq(bytes[0], 0);
    phys_mark_code(phys, BASE, 1);
    cr_expect(phys_page_has_code(phys, BASE));
    memory.ops->hide(memory.opaque, &array);
    cr_expect_null(phys_find(phys, BASE));
}

static unsigned count_regions(const struct phys_region **last)
{
    unsigned count = 0;
    for (const struct phys_region *region; (region = phys_region_at(guest.cpu->phys, count));
         count++)
        *last = region;
    return count;
}

Test(direct, is_among_the_regions_while_it_is_shown)
{
    const struct phys_region *last = NULL;
    unsigned count = count_regions(&last);
    cr_expect(last->direct == &ram && last->base == BASE);
    memory.ops->hide(memory.opaque, &ram);
    cr_expect_eq(count_regions(&last), count - 1);
    cr_expect_null(last->direct);
}

/* The window behind which the SMRAM is: the chipset's memory comes first. */
Test(direct, windows_come_first)
{
    struct error error;
    struct phys_map *phys = guest.cpu->phys;
    struct phys_window *window = phys_add_window(phys, 0x3000000, 0x20000, NULL, &error);
    cr_assert(window, "%s", error.text);
    cr_assert(memory.ops->show(memory.opaque, &ram, 0x3008000));
    cr_expect_eq(phys_find(phys, 0x3008000)->host, bytes);
    cr_expect(phys_mark_code(phys, 0x3009000, 1));
    cr_expect(phys_page_has_code(phys, 0x3009000));
    phys_switch_window(phys, window, PHYS_READABLE | PHYS_WRITABLE, PHYS_HIDDEN);
    cr_expect_neq(phys_find(phys, 0x3008000)->host, bytes);
    cr_expect_eq(phys_find(phys_view(phys, true), 0x3008000)->host, bytes);
}
