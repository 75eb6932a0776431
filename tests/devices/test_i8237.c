/* The DMA controllers, with a device that asks for cycles. */
#include "devices/dma/i8237.h"

#include "probe.h"

#include <string.h>

static struct bus *bus;
static struct i8237 *dma;
static uint8_t memory[0x40000];

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    (void)opaque;
    cr_assert(address + size <= sizeof(memory));
    memcpy(data, memory + address, size);
    return true;
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    cr_assert(address + size <= sizeof(memory));
    memcpy(memory + address, data, size);
    return true;
}

static const struct dma_ops memory_ops = {.read = memory_read, .write = memory_write};

static void setup(void)
{
    const struct dma guest = {&memory_ops, NULL};
    bus = bus_create();
    dma = i8237_create(&guest);
    map(bus, BUS_PORT, I8237_FIRST_PORT, I8237_FIRST_PORTS, &i8237_first_ops, dma);
    map(bus, BUS_PORT, I8237_SECOND_PORT, I8237_SECOND_PORTS, &i8237_second_ops, dma);
    map(bus, BUS_PORT, I8237_PAGE_PORT, I8237_PAGE_PORTS, &i8237_page_ops, dma);
    memset(memory, 0, sizeof(memory));
}

static void teardown(void)
{
    i8237_destroy(dma);
    bus_destroy(bus);
}

TestSuite(i8237, .init = setup, .fini = teardown);

/* Channel 2, as the floppy's driver programs it. */
static void program(uint8_t mode, uint16_t address, uint16_t count)
{
    out8(bus, 0x0a, 6);
    out8(bus, 0x0c, 0);
    out8(bus, 0x0b, mode | 2);
    out8(bus, 0x04, (uint8_t)address);
    out8(bus, 0x04, address >> 8);
    out8(bus, 0x05, (uint8_t)count);
    out8(bus, 0x05, count >> 8);
    out8(bus, 0x81, 2);
    out8(bus, 0x0a, 2);
}

static uint16_t in_twice(uint16_t port)
{
    uint8_t low = in8(bus, port);
    return (uint16_t)(low | in8(bus, port) << 8);
}

Test(i8237, writes_memory_until_the_count_ends)
{
    bool ended;
    program(0x44, 0x1234, 3);
    cr_expect_eq(i8237_write(dma, 2, "ab", 2, &ended), 2);
    cr_expect(!ended);
    cr_expect_eq(in_twice(0x04), 0x1236);
    cr_expect_eq(in_twice(0x05), 1);
    cr_expect_eq(i8237_write(dma, 2, "cdef", 4, &ended), 2);
    cr_expect(ended);
    cr_expect_eq(memcmp(memory + 0x21234, "abcd\0", 5), 0);
    cr_expect_eq(in8(bus, 0x08), 4, "terminal count");
    cr_expect_eq(in8(bus, 0x08), 0, "cleared by reading");
    cr_expect_eq(in8(bus, 0x0f), 0xf, "masked");
    cr_expect_eq(i8237_write(dma, 2, "x", 1, &ended), 0);
}

Test(i8237, reads_memory_in_its_page)
{
    char data[4] = "";
    bool ended;
    memcpy(memory + 0x2fffe, "yz", 2);
    memcpy(memory + 0x20000, "w", 1);
    program(0x48, 0xfffe, 0x100);
    cr_expect_eq(i8237_write(dma, 2, "a", 1, &ended), 0, "the other direction");
    cr_expect_eq(i8237_read(dma, 2, data, 3, &ended), 3);
    cr_expect_str_eq(data, "yzw");
}

Test(i8237, counts_down_and_starts_again)
{
    char data[4] = "";
    bool ended;
    memcpy(memory + 0x20010, "cba", 3);
    program(0x78, 0x0012, 2);
    cr_expect_eq(i8237_read(dma, 2, data, 3, &ended), 3);
    cr_expect(ended);
    cr_expect_str_eq(data, "abc");
    cr_expect_eq(in_twice(0x04), 0x12);
    cr_expect_eq(i8237_read(dma, 2, data, 3, &ended), 3, "not masked");
}

Test(i8237, words)
{
    bool ended;
    uint8_t data[3] = {0x11, 0x22, 0x33};
    out8(bus, 0xd6, 0x45); /* channel 5 */
    out8(bus, 0xc4, 0x08);
    out8(bus, 0xc4, 0x00);
    out8(bus, 0xc6, 0x01);
    out8(bus, 0xc6, 0x00);
    out8(bus, 0x8b, 0x03);
    out8(bus, 0xd4, 1);
    cr_expect_eq(i8237_write(dma, 5, data, 3, &ended), 2);
    cr_expect(!ended);
    cr_expect_eq(memory[0x20010], 0x11);
    cr_expect_eq(memory[0x20011], 0x22);
    cr_expect_eq(memory[0x20012], 0);
}

Test(i8237, verify_moves_nothing)
{
    bool ended;
    program(0x40, 0, 1);
    cr_expect_eq(i8237_write(dma, 2, "ab", 2, &ended), 2);
    cr_expect(ended);
    cr_expect_eq(memory[0x20000], 0);
}

Test(i8237, masks_and_clears)
{
    bool ended;
    program(0x44, 0, 9);
    out8(bus, 0x08, 4);
    cr_expect_eq(i8237_write(dma, 2, "a", 1, &ended), 0, "disabled");
    out8(bus, 0x0d, 0);
    cr_expect_eq(in8(bus, 0x0f), 0xf);
    out8(bus, 0x0e, 0);
    cr_expect_eq(in8(bus, 0x0f), 0);
    cr_expect_eq(i8237_write(dma, 2, "a", 1, &ended), 1);
    out8(bus, 0x0f, 0xa5);
    cr_expect_eq(in8(bus, 0x0f), 5);
    cr_expect_eq(i8237_write(dma, 4, "ab", 2, &ended), 0, "the cascade");
    cr_expect_eq(i8237_write(dma, 8, "ab", 2, &ended), 0);
    out8(bus, 0x80, 0x55);
    cr_expect_eq(in8(bus, 0x80), 0x55);
    i8237_reset(dma);
    cr_expect_eq(in8(bus, 0x80), 0);
    cr_expect_eq(in8(bus, 0x0f), 0xf);
}
