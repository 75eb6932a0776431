#include "bus/bus.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* Remembers the accesses that reached it; reads yield bytes that tell their offset. */
struct recorder {
    char log[256];
};

static uint64_t recorder_read(void *device, uint64_t offset, unsigned size)
{
    struct recorder *recorder = device;
    size_t used = strlen(recorder->log);
    uint64_t value = 0;

    snprintf(recorder->log + used, sizeof(recorder->log) - used, "r%x.%u ", (unsigned)offset, size);
    for (unsigned i = 0; i < size; i++)
        value |= (0x10 + offset + i) << (8 * i);
    return value;
}

static void recorder_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct recorder *recorder = device;
    size_t used = strlen(recorder->log);
    snprintf(recorder->log + used, sizeof(recorder->log) - used, "w%x.%u=%llx ", (unsigned)offset,
             size, (unsigned long long)value);
}

static const struct bus_ops plain = {"plain", recorder_read, recorder_write, 0, 0};
static const struct bus_ops bytes = {"bytes", recorder_read, recorder_write, 1, 1};
static const struct bus_ops dwords = {"dwords", recorder_read, recorder_write, 4, 4};
static const struct bus_ops quads = {"quads", recorder_read, recorder_write, 4, 8};

static struct bus *bus;
static struct recorder device;

static void setup(void)
{
    bus = bus_create();
    memset(&device, 0, sizeof(device));
}

static void teardown(void)
{
    bus_destroy(bus);
}

TestSuite(bus, .init = setup, .fini = teardown);

static void map(uint64_t base, uint64_t size, const struct bus_ops *ops)
{
    const char *other;
    cr_assert(bus_map(bus, BUS_MMIO, base, size, ops, &device, &other));
}

static void expect_read(uint64_t address, unsigned size, uint64_t value, const char *log)
{
    device.log[0] = '\0';
    cr_expect_eq(bus_read(bus, BUS_MMIO, address, size), value);
    cr_expect_str_eq(device.log, log);
}

static void expect_write(uint64_t address, unsigned size, uint64_t value, const char *log)
{
    device.log[0] = '\0';
    bus_write(bus, BUS_MMIO, address, value, size);
    cr_expect_str_eq(device.log, log);
}

Test(bus, absent_reads_all_ones)
{
    expect_read(0x1000, 1, 0xff, "");
    expect_read(0x1000, 4, 0xffffffff, "");
    expect_read(0x1000, 8, UINT64_MAX, "");
    expect_write(0x1000, 4, 0, "");
    cr_expect(!bus_is_mapped(bus, BUS_MMIO, 0x1000));
}

Test(bus, natural_sizes_pass)
{
    map(0x1000, 0x10, &plain);
    expect_read(0x1004, 4, 0x17161514, "r4.4 ");
    expect_read(0x1006, 2, 0x1716, "r6.2 ");
    expect_write(0x100f, 1, 0x1234, "wf.1=34 ");
    cr_expect(bus_is_mapped(bus, BUS_MMIO, 0x100f));
    cr_expect(!bus_is_mapped(bus, BUS_MMIO, 0x1010));
    cr_expect(!bus_is_mapped(bus, BUS_PORT, 0x1000));
}

Test(bus, large_accesses_split)
{
    map(0x1000, 0x10, &plain);
    expect_read(0x1000, 8, 0x1716151413121110, "r0.4 r4.4 ");
    map(0x2000, 0x10, &bytes);
    expect_write(0x2000, 4, 0x44332211, "w0.1=11 w1.1=22 w2.1=33 w3.1=44 ");
    map(0x3000, 0x10, &quads);
    expect_read(0x3008, 8, 0x1f1e1d1c1b1a1918, "r8.8 ");
}

Test(bus, misaligned_accesses_split)
{
    map(0x1000, 0x10, &plain);
    expect_read(0x1001, 4, 0x14131211, "r1.1 r2.2 r4.1 ");
    expect_read(0x1003, 7, 0x19181716151413, "r3.1 r4.4 r8.2 ");
}

Test(bus, small_accesses_widen)
{
    map(0x1000, 0x10, &dwords);
    expect_read(0x1006, 1, 0x16, "r4.4 ");
    expect_read(0x1006, 2, 0x1716, "r4.4 ");
    expect_write(0x1006, 2, 0xabcd, "w4.4=abcd0000 ");
    expect_write(0x1003, 1, 0xff, "w0.4=ff000000 ");
}

Test(bus, accesses_cross_ranges_and_gaps)
{
    map(0x1000, 2, &plain);
    map(0x1003, 1, &bytes);
    expect_read(0x0fff, 4, 0xff1110ff, "r0.2 ");
    expect_read(0x1000, 4, 0x10ff1110, "r0.2 r0.1 ");
    expect_write(0x1000, 8, 0x8877665544332211, "w0.2=2211 w0.1=44 ");
}

Test(bus, overlaps_name_the_other_range)
{
    const char *other = NULL;
    map(0x1000, 0x100, &plain);
    map(0x2000, 0x100, &bytes);
    cr_expect(!bus_map(bus, BUS_MMIO, 0x10ff, 1, &quads, &device, &other));
    cr_expect_str_eq(other, "plain");
    cr_expect(!bus_map(bus, BUS_MMIO, 0x1fff, 2, &quads, &device, &other));
    cr_expect_str_eq(other, "bytes");
    cr_expect(!bus_map(bus, BUS_MMIO, 0, UINT64_MAX, &quads, &device, &other));
    cr_expect_str_eq(other, "plain");
    cr_expect(!bus_map(bus, BUS_MMIO, 0x5000, 0, &quads, &device, &other));
    cr_expect_null(other);
    cr_expect(bus_map(bus, BUS_MMIO, 0x1100, 0xf00, &quads, &device, &other));
    cr_expect(bus_map(bus, BUS_PORT, 0x1000, 0x10, &quads, &device, &other), "another space");
}

Test(bus, unmapping_forgets)
{
    const char *other;
    map(0x1000, 0x10, &plain);
    map(0x2000, 0x10, &bytes);
    expect_read(0x2000, 1, 0x10, "r0.1 ");
    bus_unmap(bus, BUS_MMIO, 0x2000);
    bus_unmap(bus, BUS_MMIO, 0x1001);
    expect_read(0x2000, 1, 0xff, "");
    expect_read(0x1000, 1, 0x10, "r0.1 ");
    cr_expect(bus_map(bus, BUS_MMIO, 0x2008, 0x10, &bytes, &device, &other));
}

Test(bus, many_ranges_stay_sorted)
{
    for (unsigned i = 0; i < 200; i++)
        map(((i * 77) % 200) * 0x10, 8, &plain);
    for (unsigned i = 0; i < 200; i++) {
        expect_read(i * 0x10 + 7, 1, 0x17, "r7.1 ");
        expect_read(i * 0x10 + 8, 1, 0xff, "");
    }
}

static char watched[128];

static void watch(void *opaque, enum bus_space space, const char *name, uint64_t address,
                  uint64_t value, unsigned size, bool write)
{
    (void)opaque;
    snprintf(watched, sizeof(watched), "%s %s %llx %llx %u %c", space == BUS_PORT ? "port" : "mmio",
             name ? name : "-", (unsigned long long)address, (unsigned long long)value, size,
             write ? 'w' : 'r');
}

Test(bus, watch_sees_whole_accesses)
{
    map(0x1000, 0x10, &bytes);
    bus_set_watch(bus, watch, NULL);
    bus_read(bus, BUS_MMIO, 0x1000, 2);
    cr_expect_str_eq(watched, "mmio bytes 1000 1110 2 r");
    bus_write(bus, BUS_PORT, 0x80, 0x1234, 1);
    cr_expect_str_eq(watched, "port - 80 34 1 w");
    bus_set_watch(bus, NULL, NULL);
    bus_read(bus, BUS_MMIO, 0x1000, 1);
    cr_expect_str_eq(watched, "port - 80 34 1 w");
}
