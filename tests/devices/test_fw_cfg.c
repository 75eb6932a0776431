/* QEMU's firmware configuration device. */
#include "devices/misc/fw_cfg.h"

#include "base/bits.h"
#include "probe.h"

#include <string.h>

static struct bus *bus;
static struct fw_cfg *fw_cfg;
static uint8_t memory[0x400];

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    (void)opaque;
    if (address > sizeof(memory) || size > sizeof(memory) - address)
        return false;
    memcpy(data, memory + address, size);
    return true;
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    if (address > sizeof(memory) || size > sizeof(memory) - address)
        return false;
    memcpy(memory + address, data, size);
    return true;
}

static const struct dma_ops memory_ops = {.read = memory_read, .write = memory_write};

static void setup(void)
{
    const struct dma dma = {&memory_ops, NULL};
    memset(memory, 0x5a, sizeof(memory));
    bus = bus_create();
    fw_cfg = fw_cfg_create(&dma);
    map(bus, BUS_PORT, FW_CFG_PORT, FW_CFG_PORTS, &fw_cfg_ops, fw_cfg);
    map(bus, BUS_PORT, FW_CFG_DMA_PORT, FW_CFG_DMA_PORTS, &fw_cfg_dma_ops, fw_cfg);
}

static void teardown(void)
{
    fw_cfg_destroy(fw_cfg);
    bus_destroy(bus);
}

TestSuite(fw_cfg, .init = setup, .fini = teardown);

static void select_key(uint16_t key)
{
    bus_write(bus, BUS_PORT, FW_CFG_PORT, key, 2);
}

static uint64_t next_be(unsigned size)
{
    uint64_t value = 0;
    while (size--)
        value = value << 8 | in8(bus, FW_CFG_PORT + 1);
    return value;
}

/* Runs a DMA command and returns its control word afterwards. */
static uint32_t command(uint32_t control, uint32_t length, uint64_t address)
{
    const uint32_t at = 0x10;
    store_le(memory + at, __builtin_bswap32(control), 4);
    store_le(memory + at + 4, __builtin_bswap32(length), 4);
    store_le(memory + at + 8, __builtin_bswap64(address), 8);
    out32(bus, FW_CFG_DMA_PORT, 0);
    out32(bus, FW_CFG_DMA_PORT + 4, __builtin_bswap32(at));
    return __builtin_bswap32((uint32_t)load_le(memory + at, 4));
}

Test(fw_cfg, signature_and_id)
{
    cr_expect_eq(next_be(4), 0x51454d55, "selected after reset");
    cr_expect_eq(next_be(1), 0, "beyond the end");
    select_key(FW_CFG_ID);
    cr_expect_eq(next_be(4), 0x03000000);
    cr_expect_eq(in32(bus, FW_CFG_DMA_PORT), 0x554d4551, "big-endian");
    cr_expect_eq(in32(bus, FW_CFG_DMA_PORT + 4), 0x47464320);
    select_key(0x1234);
    cr_expect_eq(next_be(2), 0, "no such item");
    select_key(FW_CFG_SIGNATURE);
    cr_expect_eq(next_be(2), 0x5145);
    fw_cfg_reset(fw_cfg);
    cr_expect_eq(next_be(2), 0x5145);
}

Test(fw_cfg, file_directory)
{
    cr_assert(fw_cfg_add_file(fw_cfg, "etc/one", "abc", 3));
    cr_assert(fw_cfg_add_file(fw_cfg, "two", "", 0));
    select_key(FW_CFG_FILE_DIRECTORY);
    cr_expect_eq(next_be(4), 2);
    cr_expect_eq(next_be(4), 3);
    cr_expect_eq(next_be(4), FW_CFG_FIRST_FILE << 16);
    char name[FW_CFG_NAME];
    for (unsigned i = 0; i < sizeof(name); i++)
        name[i] = (char)next_be(1);
    cr_expect_str_eq(name, "etc/one");
    cr_expect_eq(next_be(4), 0);
    cr_expect_eq(next_be(4), (FW_CFG_FIRST_FILE + 1) << 16);
    select_key(FW_CFG_FIRST_FILE);
    cr_expect_eq(next_be(3), 0x616263);
}

Test(fw_cfg, room_is_bounded)
{
    char name[FW_CFG_NAME + 1];
    memset(name, 'x', sizeof(name));
    name[FW_CFG_NAME] = 0;
    cr_expect_not(fw_cfg_add_file(fw_cfg, name, "", 0), "the name has no terminator");
    name[FW_CFG_NAME - 1] = 0;
    for (unsigned i = 0; i < FW_CFG_FILES; i++)
        cr_expect(fw_cfg_add_file(fw_cfg, name, "", 0));
    cr_expect_not(fw_cfg_add_file(fw_cfg, name, "", 0));
}

Test(fw_cfg, dma_reads)
{
    cr_assert(fw_cfg_add_file(fw_cfg, "file", "abcdef", 6));
    cr_expect_eq(command(FW_CFG_FIRST_FILE << 16 | 0xa, 3, 0x100), 0, "select and read");
    cr_expect_eq(memcmp(memory + 0x100, "abc\x5a", 4), 0);
    cr_expect_eq(command(4, 1, 0), 0, "skip");
    cr_expect_eq(command(2, 5, 0x100), 0);
    cr_expect_eq(memcmp(memory + 0x100, "ef\0\0\0\x5a", 6), 0, "zeroes beyond the end");
    cr_expect_eq(command(0x8 | FW_CFG_FIRST_FILE << 16, 0, 0), 0);
    cr_expect_eq(next_be(2), 0x6162, "the ports have the same offset");
    cr_expect_eq(command(4, UINT32_MAX, 0), 0);
    cr_expect_eq(next_be(1), 0);
}

Test(fw_cfg, dma_errors)
{
    cr_expect_eq(command(0x10, 1, 0x100), 1, "nothing can be written");
    cr_expect_eq(command(0x2, 4, 0x3fe), 1, "not memory");
    cr_expect_eq(command(0x2, UINT32_MAX, 0x100), 1, "without bounds");
    cr_expect_eq(memory[0x100], 0x5a);
    out32(bus, FW_CFG_DMA_PORT, UINT32_MAX);
    out32(bus, FW_CFG_DMA_PORT + 4, UINT32_MAX); /* the command itself is nowhere */
}
