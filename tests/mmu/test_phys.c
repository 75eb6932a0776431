#include "guest.h"

#include "bus/bus.h"

#include <criterion/criterion.h>

static struct phys_map *map;
static struct bus *bus;

static void setup(void)
{
    bus = bus_create();
    map = phys_create(bus);
}

static void teardown(void)
{
    phys_destroy(map);
    bus_destroy(bus);
}

TestSuite(phys, .init = setup, .fini = teardown);

Test(phys, regions_must_not_overlap)
{
    struct error error = {""};
    cr_assert(phys_add_ram(map, 0x100000, 0x100000, &error));
    cr_expect_not(phys_add_ram(map, 0x1ff000, 0x1000, &error));
    cr_expect(strstr(error.text, "overlaps"), "%s", error.text);
    cr_expect_not(phys_add_rom(map, 0xff000, 0x2000, NULL, 0, &error));
    cr_expect_not(phys_add_ram(map, 0, 0x400000, &error));
    cr_expect(phys_add_ram(map, 0x200000, 0x1000, &error), "adjacent is not overlapping");
    cr_expect(phys_add_ram(map, 0xff000, 0x1000, &error));
}

Test(phys, regions_are_whole_pages)
{
    struct error error;
    cr_expect_not(phys_add_ram(map, 0x800, 0x1000, &error));
    cr_expect_not(phys_add_ram(map, 0, 0x1234, &error));
    cr_expect_not(phys_add_ram(map, 0, 0, &error));
    cr_expect_not(phys_add_ram(map, UINT64_MAX - 0xfff, 0x2000, &error));
    cr_expect_not(phys_add_rom(map, 0, 0x1000, map, 0x1001, &error), "contents too large");
}

Test(phys, absurd_size_is_an_error)
{
    struct error error = {""};
    cr_expect_not(phys_add_ram(map, 0, 1ull << 60, &error));
    cr_expect(strstr(error.text, "MiB"), "%s", error.text);
}

Test(phys, large_ram_is_aligned_for_huge_pages)
{
    struct error error;
    struct phys_region *ram = phys_add_ram(map, 0, 4u << 20, &error);
    cr_assert(ram);
    cr_expect_eq((uintptr_t)ram->host % (2u << 20), 0);
}

Test(phys, reads_and_writes_cross_regions)
{
    struct error error;
    uint8_t data[0x3000], back[0x3000];
    cr_assert(phys_add_ram(map, 0, 0x1000, &error));
    cr_assert(phys_add_rom(map, 0x1000, 0x1000, "abc", 3, &error));
    memset(data, 0x77, sizeof(data));
    cr_expect_not(phys_write(map, 0x800, data, sizeof(data)), "the end is absent");
    cr_expect_not(phys_read(map, 0x800, back, sizeof(back)));
    cr_expect_eq(back[0], 0x77);
    cr_expect_eq(back[0x800], 'a', "ROM is not written");
    cr_expect_eq(back[0x803], 0);
    cr_expect_eq(back[0x1800], 0xff, "absent memory is all ones");
    cr_expect(phys_read(map, 0x800, back, 0x1800));
}

Test(phys, pointers_stay_in_ram)
{
    struct error error;
    cr_assert(phys_add_ram(map, 0, 0x2000, &error));
    cr_assert(phys_add_rom(map, 0x2000, 0x1000, NULL, 0, &error));
    cr_expect(phys_ram_pointer(map, 0x1000, 0x1000));
    cr_expect_not(phys_ram_pointer(map, 0x1000, 0x1001));
    cr_expect_not(phys_ram_pointer(map, 0x1000, UINT64_MAX));
    cr_expect_not(phys_ram_pointer(map, 0x2000, 1), "ROM");
    cr_expect_not(phys_ram_pointer(map, 0x10000, 1));
}

static struct {
    unsigned calls;
    gpa_t gpa;
    unsigned size;
} heard;

static void listener(void *opaque, gpa_t gpa, unsigned size)
{
    cr_expect_eq(opaque, &heard);
    heard.calls++;
    heard.gpa = gpa;
    heard.size = size;
}

Test(phys, code_is_tracked_by_granules)
{
    struct error error;
    uint8_t byte = 1;
    cr_assert(phys_add_ram(map, 0, 0x4000, &error));
    phys_set_code_listener(map, listener, &heard);
    cr_expect(phys_mark_code(map, 0x1040, 64), "first code of the page");
    cr_expect_not(phys_mark_code(map, 0x10c0, 1), "page has code already");
    cr_expect(phys_page_has_code(map, 0x1fff));
    cr_expect_not(phys_page_has_code(map, 0x2000));

    cr_expect_not(phys_code_written(map, 0x103f, 1));
    cr_expect_not(phys_code_written(map, 0x1080, 64));
    cr_expect_eq(heard.calls, 0);
    cr_expect(phys_code_written(map, 0x103f, 2));
    cr_expect_eq(heard.calls, 1);
    cr_expect(phys_write(map, 0x10ff, &byte, 1), "as a device does");
    cr_expect_eq(heard.calls, 2);
    cr_expect_eq(heard.gpa, 0x10ff);

    phys_keep_code(map, 0x1000, BIT(3));
    cr_expect_not(phys_code_written(map, 0x1040, 64));
    cr_expect(phys_code_written(map, 0x10c0, 1));
    phys_keep_code(map, 0x1000, 0);
    cr_expect_not(phys_page_has_code(map, 0x1000));
}

Test(phys, stores_of_the_cpu_hit_exact_bytes)
{
    struct error error;
    static uint8_t bytes[PHYS_CODE_BYTES];
    cr_assert(phys_add_ram(map, 0, 0x4000, &error));
    phys_set_code_listener(map, listener, &heard);
    phys_mark_code(map, 0x1000, PAGE_SIZE);
    cr_expect(phys_code_stored(map, 0x1000, 1), "marked, and no more is known");
    phys_set_code_bytes(map, 0x1000, bytes);
    bytes[0x45 / 8] |= BIT(0x45 % 8);
    bytes[0xfff / 8] |= BIT(0xfff % 8);
    for (unsigned size = 1; size <= 64; size++) {
        cr_expect_not(phys_code_stored(map, 0x1045 - size, size), "%u bytes before", size);
        cr_expect(phys_code_stored(map, 0x1046 - size, size), "the last of %u", size);
        cr_expect(phys_code_stored(map, 0x1045, size), "the first of %u", size);
        cr_expect_not(phys_code_stored(map, 0x1046, size), "%u bytes behind", size);
        cr_expect(phys_code_stored(map, 0x2000 - size, size), "the page's last byte");
    }
    uint8_t zero = 0;
    unsigned calls = heard.calls;
    cr_expect(phys_write(map, 0x1045, &zero, 1));
    cr_expect_eq(heard.calls, calls, "a device that writes what is there");
}

Test(phys, granules_of_a_whole_page)
{
    cr_expect_eq(phys_granules(0x5000, 4096), ~0ull);
    cr_expect_eq(phys_granules(0x503f, 1), 1);
    cr_expect_eq(phys_granules(0x503f, 2), 3);
    cr_expect_eq(phys_granules(0x5fff, 1), BIT(63));
}
