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

static void switched(void *opaque)
{
    ++*(unsigned *)opaque;
}

static uint8_t byte_at(struct phys_map *view, gpa_t gpa)
{
    uint8_t byte;
    phys_read(view, gpa, &byte, 1);
    return byte;
}

static void write_byte(struct phys_map *view, gpa_t gpa, uint8_t byte)
{
    phys_write(view, gpa, &byte, 1);
}

Test(phys, window_over_a_rom)
{
    struct error error;
    static uint8_t rom[0x1000] = {0x55};
    struct phys_window *window = phys_add_window(map, 0xf000, sizeof(rom), rom, &error);
    cr_assert(window);
    cr_expect_not(phys_add_ram(map, 0xf000, 0x1000, &error), "windows are not overlapped");
    cr_expect_eq(byte_at(map, 0xf000), 0x55);
    write_byte(map, 0xf000, 1);
    cr_expect_eq(byte_at(map, 0xf000), 0x55);

    phys_switch_window(map, window, PHYS_WRITABLE, PHYS_WRITABLE);
    write_byte(map, 0xf000, 2);
    cr_expect_eq(byte_at(map, 0xf000), 0x55, "reads still come from the ROM");
    phys_switch_window(map, window, PHYS_READABLE, PHYS_READABLE);
    cr_expect_eq(byte_at(map, 0xf000), 2);
    write_byte(map, 0xf000, 3);
    cr_expect_eq(byte_at(map, 0xf000), 2);
    phys_switch_window(map, window, PHYS_READABLE | PHYS_WRITABLE, PHYS_HIDDEN);
    write_byte(map, 0xf000, 4);
    cr_expect_eq(byte_at(map, 0xf000), 4);
    cr_expect_eq(byte_at(phys_view(map, true), 0xf000), 0x55);
}

Test(phys, window_over_the_bus)
{
    struct error error;
    unsigned switches = 0;
    struct phys_window *window = phys_add_window(map, 0xa000, 0x2000, NULL, &error);
    cr_assert(window);
    cr_assert_eq(phys_view(phys_view(map, true), false), map);
    phys_set_code_listener(map, listener, &heard);
    phys_set_switch_listener(map, switched, &switches);
    cr_expect_null(phys_find(map, 0xa000));
    phys_switch_window(map, window, PHYS_HIDDEN, PHYS_READABLE | PHYS_WRITABLE);
    cr_expect_eq(switches, 1);
    cr_expect_eq(heard.calls, 2, "code of both pages is dropped");
    cr_expect_null(phys_find(map, 0xa000));
    cr_expect_null(phys_find(map, 0xc000));
    struct phys_map *smm = phys_view(map, true);
    write_byte(smm, 0xb000, 7);
    cr_expect_eq(byte_at(smm, 0xb000), 7);
    cr_expect_eq(byte_at(map, 0xb000), 0xff);
    phys_switch_window(map, window, PHYS_WRITABLE, PHYS_WRITABLE);
    write_byte(map, 0xb000, 8);
    cr_expect_eq(byte_at(map, 0xb000), 0xff, "nothing answers reads");
    phys_switch_window(map, window, PHYS_READABLE, PHYS_READABLE);
    cr_expect_eq(byte_at(map, 0xb000), 8);
}
