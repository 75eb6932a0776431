/* The flash by its commands, as memory that is shown and hidden, and what it hands on to be kept.
 */
#include "devices/flash/cfi_flash.h"

#include "probe.h"

#include <stdlib.h>

#define BASE 0xffc00000u
enum { BLOCK = 4096, BLOCKS = 4, SIZE = BLOCK * BLOCKS };

static struct bus *bus;
static struct cfi_flash *flash;
static const struct direct_ram *shown;
static uint8_t kept[SIZE];
static bool keeps;

static bool show(void *opaque, const struct direct_ram *ram, uint64_t base)
{
    (void)opaque;
    cr_assert(!shown && base == BASE && !ram->written);
    shown = ram;
    return true;
}

static void hide(void *opaque, const struct direct_ram *ram)
{
    (void)opaque;
    cr_assert_eq(shown, ram);
    shown = NULL;
}

static const struct direct_memory_ops direct_ops = {show, hide, NULL};

static bool keep(void *opaque, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    (void)opaque;
    cr_assert(offset + size <= SIZE);
    if (keeps)
        memcpy(kept + offset, bytes, size);
    return keeps;
}

static void create(void)
{
    memset(kept, 0xf5, sizeof(kept));
    keeps = true;
    shown = NULL;
    bus = bus_create();
    flash = cfi_flash_create(&(struct cfi_flash_config){
        .contents = kept,
        .size = SIZE,
        .block_size = BLOCK,
        .direct = {&direct_ops, NULL},
        .base = BASE,
        .changed = keep,
    });
    cr_assert(bus && flash);
    map(bus, BUS_MMIO, BASE, SIZE, &cfi_flash_ops, flash);
}

static void destroy(void)
{
    cfi_flash_destroy(flash);
    cr_expect_not(shown);
    bus_destroy(bus);
}

TestSuite(cfi_flash, .init = create, .fini = destroy);

static void put(uint32_t offset, unsigned value)
{
    bus_write(bus, BUS_MMIO, BASE + offset, value, 1);
}

static unsigned get(uint32_t offset)
{
    return (unsigned)bus_read(bus, BUS_MMIO, BASE + offset, 1);
}

Test(cfi_flash, reads_as_memory)
{
    cr_assert(shown);
    cr_expect_eq(shown->size, SIZE);
    cr_expect_eq(shown->bytes[SIZE - 1], 0xf5);
    cr_expect_eq(read32(bus, BASE + 8), 0xf5f5f5f5);
    put(0, 0x70);
    cr_expect_not(shown);
    cr_expect_eq(get(5), 0x80, "ready");
    put(0, 0xff);
    cr_expect(shown);
}

/* OVMF tells this flash from RAM and ROM so. */
Test(cfi_flash, is_found_by_a_cleared_status)
{
    put(3, 0x50);
    cr_expect_eq(get(3), 0xf5);
    put(3, 0x70);
    cr_expect_eq(get(3), 0);
}

Test(cfi_flash, programs_bytes)
{
    put(100, 0x10);
    put(100, 0x3c);
    cr_expect_eq(get(0), 0x80);
    put(101, 0x40);
    put(101, 0x00);
    put(100, 0xff);
    cr_expect_eq(shown->bytes[100], 0x3c & 0xf5, "bits can only be cleared");
    cr_expect_eq(get(101), 0);
    cr_expect_eq(get(102), 0xf5);
    cr_expect_eq(memcmp(kept, shown->bytes, SIZE), 0);
}

Test(cfi_flash, programs_words)
{
    put(8, 0x40);
    write32(bus, BASE + 8, 0x12345678);
    put(8, 0xff);
    cr_expect_eq(read32(bus, BASE + 8), 0x12345678 & 0xf5f5f5f5);
    cr_expect_eq(memcmp(kept, shown->bytes, SIZE), 0);
}

Test(cfi_flash, erases_blocks)
{
    put(BLOCK + 77, 0x20);
    put(BLOCK + 77, 0xd0);
    cr_expect_eq(get(0), 0x80);
    put(0, 0xff);
    cr_expect_eq(get(BLOCK - 1), 0xf5);
    cr_expect_eq(get(BLOCK), 0xff);
    cr_expect_eq(get(2 * BLOCK - 1), 0xff);
    cr_expect_eq(get(2 * BLOCK), 0xf5);
    cr_expect_eq(memcmp(kept, shown->bytes, SIZE), 0);
}

Test(cfi_flash, programs_a_buffer)
{
    put(64, 0xe8);
    cr_expect_eq(get(64) & 0x80, 0x80, "a buffer is free");
    put(64, 3);
    for (unsigned i = 0; i < 4; i++)
        put(66 + i, 0x10u * i);
    put(64, 0xd0);
    cr_expect_eq(get(0), 0x80);
    put(0, 0xff);
    cr_expect_eq(read32(bus, BASE + 64), 0x1000f5f5);
    cr_expect_eq(read32(bus, BASE + 68), 0xf5f53020);
    cr_expect_eq(memcmp(kept, shown->bytes, SIZE), 0);
}

static void expect_status(unsigned status)
{
    put(0, 0x70);
    cr_expect_eq(get(0), status, "%#x, not %#x", get(0), status);
    put(0, 0x50);
    cr_expect(shown);
}

Test(cfi_flash, refuses_wrong_sequences)
{
    put(0, 0x20); /* an erase that is not confirmed */
    put(0, 0x70);
    expect_status(0xb0);
    put(0, 0xe8); /* more than the buffer */
    put(0, 32);
    expect_status(0xb0);
    put(0, 0xe8); /* beyond the buffer's range */
    put(0, 1);
    put(31, 0);
    put(32, 0);
    expect_status(0xb0);
    put(0, 0xe8); /* a buffer that is not confirmed */
    put(0, 0);
    put(0, 0);
    put(0, 0xff);
    expect_status(0xb0);
    for (unsigned i = 0; i < SIZE; i++)
        cr_assert_eq(shown->bytes[i], 0xf5);
}

Test(cfi_flash, locks_blocks)
{
    put(BLOCK, 0x60);
    put(BLOCK, 0x01);
    put(0, 0x90);
    cr_expect_eq(get(0), 0x89);
    cr_expect_eq(get(2), 0);
    cr_expect_eq(get(BLOCK + 2), 1);
    put(0, 0xff);
    put(BLOCK, 0x20);
    put(BLOCK, 0xd0);
    expect_status(0xa2);
    put(BLOCK, 0x40);
    put(BLOCK, 0);
    expect_status(0x92);
    cr_expect_eq(shown->bytes[BLOCK], 0xf5);
    put(BLOCK, 0x60);
    put(BLOCK, 0xd0);
    put(BLOCK, 0x40);
    put(BLOCK, 0);
    expect_status(0x80);
    cr_expect_eq(shown->bytes[BLOCK], 0);
}

Test(cfi_flash, answers_queries)
{
    put(0x55, 0x98);
    cr_expect_eq(get(0x10), 'Q');
    cr_expect_eq(get(0x11), 'R');
    cr_expect_eq(get(0x12), 'Y');
    cr_expect_eq(1u << get(0x27), SIZE);
    cr_expect_eq(get(0x2d) + 1, BLOCKS);
    cr_expect_eq(get(0x2f) * 256, BLOCK);
    cr_expect_eq(get(0x31), 'P');
    cr_expect_eq(get(BLOCK - 1), 0);
}

Test(cfi_flash, tells_what_could_not_be_kept)
{
    keeps = false;
    put(0, 0x40);
    put(0, 0);
    expect_status(0x90);
    put(0, 0x20);
    put(0, 0xd0);
    expect_status(0xa0);
}

Test(cfi_flash, a_reset_shows_the_array_and_opens_locks)
{
    put(0, 0x60);
    put(0, 0x01);
    put(0, 0x20);
    cfi_flash_reset(flash);
    cr_expect(shown);
    put(0, 0x40);
    put(0, 0);
    expect_status(0x80);
}

/* Whatever comes in, the array is shown when it is read, and what is kept is the array. */
Test(cfi_flash, random_cycles)
{
    static const uint8_t commands[] = {0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90,
                                       0x98, 0xd0, 0x01, 0xe8, 0xff, 0x03};
    const char *given = getenv("DOPPEL_TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : 20261125;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1103515245 + 12345;
        uint32_t offset = seed >> 8 & (SIZE - 1);
        unsigned size = 1u << (seed >> 28 & 3);
        unsigned value = seed >> 30 ? commands[seed % sizeof(commands)] : seed >> 16 & 0xff;
        if (seed >> 27 & 1)
            bus_write(bus, BUS_MMIO, BASE + (offset & (SIZE - 8)), value, size);
        else
            bus_read(bus, BUS_MMIO, BASE + (offset & (SIZE - 8)), size);
    }
    cfi_flash_reset(flash);
    cr_expect_eq(memcmp(kept, shown->bytes, SIZE), 0, "seed %u", seed);
}
