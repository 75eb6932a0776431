/* The VGA: registers and memory in, pixels out. */
#include "vga_board.h"

#include <criterion/criterion.h>

static struct vga_board board;

static void setup(void)
{
    vga_board_create(&board);
}

static void teardown(void)
{
    vga_board_destroy(&board);
}

TestSuite(vga, .init = setup, .fini = teardown);

static void expect_pixel(unsigned x, unsigned y, uint32_t color)
{
    uint32_t is = pixel(&board, x, y);
    cr_expect_eq(is, color, "at %u, %u: %06x instead of %06x", x, y, is, color);
}

static void expect_size(unsigned width, unsigned height)
{
    const struct surface *surface = display_look(board.display, NULL);
    cr_expect(surface->width == width && surface->height == height, "%u by %u", surface->width,
              surface->height);
    display_unlock(board.display);
}

static void expect_rows(unsigned first, unsigned end)
{
    struct display_rows rows = look(&board);
    cr_expect(rows.first == first && rows.end == end, "rows %u to %u instead of %u to %u",
              rows.first, rows.end, first, end);
}

/* --- Text */

/* A shape: rows of a character in plane 2, as a BIOS loads it. */
static void load_shape(unsigned character, const uint8_t *rows, unsigned count)
{
    set_seq(&board, 2, 4);
    set_seq(&board, 4, 7);
    set_gc(&board, 5, 0);
    set_gc(&board, 6, 4);
    for (unsigned i = 0; i < count; i++)
        poke(&board, 0xa0000 + character * 32 + i, rows[i]);
    set_seq(&board, 2, 3);
    set_seq(&board, 4, 3);
    set_gc(&board, 5, 0x10);
    set_gc(&board, 6, 0x0e);
}

static void put_character(unsigned at, unsigned character, unsigned attribute)
{
    bus_write(board.bus, BUS_MMIO, 0xb8000 + 2 * at, attribute << 8 | character, 2);
}

/* Attribute colours of mode 3. */
enum { BLACK = 0x00, BLUE = 0x01, RED = 0x04, GREY = 0x07, WHITE = 0x3f };

static void text_mode(void)
{
    set_mode(&board, 3);
    load_shape(0x41, (const uint8_t[16]){0x80, 0x01}, 16);
    load_shape(0xc4, (const uint8_t[16]){0x81}, 16);
    set_crtc(&board, 0x0a, 0x20); /* no cursor */
}

Test(vga, text)
{
    text_mode();
    put_character(81, 0x41, 0x1f);
    expect_size(720, 400);
    expect_pixel(9, 16, dac_color(WHITE));
    expect_pixel(10, 16, dac_color(BLUE));
    expect_pixel(16, 17, dac_color(WHITE));
    expect_pixel(17, 17, dac_color(BLUE)); /* the ninth dot */
    expect_pixel(9, 18, dac_color(BLUE));
    expect_pixel(18, 16, dac_color(BLACK));
    cr_expect_eq(peek(&board, 0xb8000 + 162), 0x41);
    cr_expect_eq(peek(&board, 0xb8000 + 163), 0x1f);
    cr_expect_eq(peek(&board, 0xa0000), 0xff, "the window is elsewhere");
}

Test(vga, line_graphics_repeat_the_eighth_dot)
{
    text_mode();
    put_character(0, 0xc4, 0x07);
    expect_pixel(7, 0, dac_color(GREY));
    expect_pixel(8, 0, dac_color(GREY));
    set_attr(&board, 0x10, 0x08);
    expect_pixel(8, 0, dac_color(BLACK));
}

Test(vga, text_draws_rows_that_changed)
{
    text_mode();
    look(&board);
    expect_rows(0, 0);
    put_character(80 * 3 + 79, 0x41, 7);
    expect_rows(48, 64);
    put_character(80 * 3 + 79, 0x41, 7);
    expect_rows(0, 0);
    load_shape(0x41, (const uint8_t[1]){0xff}, 1);
    expect_rows(0, 400);
}

Test(vga, cursor)
{
    text_mode();
    set_crtc(&board, 0x0a, 14);
    set_crtc(&board, 0x0b, 15);
    set_crtc(&board, 0x0e, 0);
    set_crtc(&board, 0x0f, 82);
    put_character(82, 0x20, 0x04);
    expect_pixel(18, 29, dac_color(BLACK));
    expect_pixel(18, 30, dac_color(RED));
    expect_pixel(26, 31, dac_color(RED));
    expect_pixel(27, 31, dac_color(BLACK));
    look(&board);
    set_crtc(&board, 0x0f, 2); /* it leaves a row and comes to another */
    expect_rows(0, 32);
    expect_pixel(18, 31, dac_color(BLACK));
    uint64_t again;
    display_look(board.display, &again);
    display_unlock(board.display);
    cr_expect_eq(again, 133333333);
    clock_step(board.clock, again);
    expect_rows(0, 16);
    put_character(2, 0x20, 0x04);
    expect_pixel(18, 15, dac_color(BLACK));
    set_crtc(&board, 0x0a, 0x20);
    display_look(board.display, &again);
    display_unlock(board.display);
    cr_expect_eq(again, DISPLAY_NEVER);
}

Test(vga, blinking_characters)
{
    text_mode();
    put_character(80, 0x41, 0x97);
    expect_pixel(0, 16, dac_color(GREY));
    expect_pixel(1, 16, dac_color(BLUE));
    look(&board);
    clock_step(board.clock, 2 * 133333333 + 10);
    expect_rows(16, 32);
    expect_pixel(0, 16, dac_color(BLUE));
    set_attr(&board, 0x10, 0x04); /* the bit is the background's intensity instead */
    expect_pixel(0, 16, dac_color(GREY));
    expect_pixel(1, 16, dac_color(0x39));
}

Test(vga, start_address_and_split)
{
    text_mode();
    put_character(0, 0x41, 0x17);
    put_character(160, 0x41, 0x47);
    set_crtc(&board, 0x0d, 160);
    expect_pixel(1, 0, dac_color(RED));
    set_crtc(&board, 0x08, 1); /* preset row */
    expect_pixel(7, 0, dac_color(GREY));
    set_crtc(&board, 0x08, 0);
    /* After line 99 comes address 0. */
    set_crtc(&board, 0x18, 99);
    set_crtc(&board, 0x11, 0x0e);
    set_crtc(&board, 0x07, 0x0f);
    set_crtc(&board, 0x09, 0x0f);
    expect_pixel(1, 99, dac_color(BLACK));
    expect_pixel(0, 100, dac_color(GREY));
    expect_pixel(1, 100, dac_color(BLUE));
}

Test(vga, a_second_font)
{
    text_mode();
    load_shape(0x41 + 0x4000 / 32, (const uint8_t[1]){0x18}, 1); /* table 1 */
    put_character(0, 0x41, 0x0f);
    expect_pixel(0, 0, dac_color(WHITE));
    set_seq(&board, 3, 0x04); /* attribute bit 3 chooses it */
    expect_pixel(0, 0, dac_color(BLACK));
    expect_pixel(3, 0, dac_color(WHITE));
}

Test(vga, wide_characters_and_panning)
{
    text_mode();
    put_character(1, 0x41, 0x17);
    set_seq(&board, 1, 0x09); /* 8 dots of two pixels */
    set_crtc(&board, 0x11, 0x0e);
    set_crtc(&board, 0x01, 39);
    expect_size(640, 400);
    expect_pixel(16, 0, dac_color(GREY));
    expect_pixel(17, 0, dac_color(GREY));
    expect_pixel(18, 0, dac_color(BLUE));
    set_attr(&board, 0x13, 3);
    expect_pixel(16 - 6, 0, dac_color(GREY));
    expect_pixel(16 - 6 + 2, 0, dac_color(BLUE));
}

/* --- Planes */

/* The four planes at an address of A0000, by read mode 0. */
static uint32_t planes(unsigned address)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++) {
        set_gc(&board, 4, i);
        value |= peek(&board, 0xa0000 + address) << 8 * i;
    }
    set_gc(&board, 4, 0);
    return value;
}

static void expect_planes(unsigned address, uint32_t expected)
{
    uint32_t is = planes(address);
    cr_expect_eq(is, expected, "%08x instead of %08x", is, expected);
}

/* All planes of an address, straight. */
static void set_planes(unsigned address, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        set_seq(&board, 2, 1u << i);
        poke(&board, 0xa0000 + address, value >> 8 * i & 0xff);
    }
    set_seq(&board, 2, 0xf);
}

Test(vga, write_mode_0)
{
    set_mode(&board, 0x12);
    set_planes(0, 0x44332211);
    expect_planes(0, 0x44332211);
    set_seq(&board, 2, 0x5);
    poke(&board, 0xa0000, 0xff);
    expect_planes(0, 0x44ff22ff);
    set_seq(&board, 2, 0xf);
    set_gc(&board, 1, 0x3); /* set/reset of planes 0 and 1 */
    set_gc(&board, 0, 0x2);
    poke(&board, 0xa0001, 0x5a);
    expect_planes(1, 0x5a5aff00);
    set_gc(&board, 1, 0);
    set_gc(&board, 3, 3); /* rotation */
    poke(&board, 0xa0002, 0x81);
    expect_planes(2, 0x30303030);
}

Test(vga, bit_mask_and_functions_take_the_latch)
{
    static const uint32_t results[] = {0x4c, 0x40, 0x7c, 0x3c}; /* replace, AND, OR, XOR */
    set_mode(&board, 0x12);
    for (unsigned function = 0; function < 4; function++) {
        set_planes(0, 0x70707070);
        set_gc(&board, 3, function << 3);
        peek(&board, 0xa0000);
        poke(&board, 0xa0010, 0x4c);
        set_gc(&board, 3, 0);
        expect_planes(0x10, results[function] * 0x01010101u);
    }
    set_planes(0, 0x70707070);
    set_gc(&board, 8, 0x0f);
    peek(&board, 0xa0000);
    poke(&board, 0xa0000, 0xff);
    expect_planes(0, 0x7f7f7f7f);
}

Test(vga, write_modes_1_to_3)
{
    set_mode(&board, 0x12);
    set_planes(0, 0x44332211);
    set_gc(&board, 5, 1);
    peek(&board, 0xa0000);
    poke(&board, 0xa0001, 0xee);
    set_gc(&board, 5, 0);
    expect_planes(1, 0x44332211);
    set_gc(&board, 5, 2);
    set_gc(&board, 8, 0xf0);
    peek(&board, 0xa0000);
    poke(&board, 0xa0002, 0x0a);
    set_gc(&board, 5, 0);
    set_gc(&board, 8, 0xff);
    expect_planes(2, 0xf403f201);
    set_gc(&board, 5, 3);
    set_gc(&board, 0, 0x5);
    set_gc(&board, 8, 0x3c);
    peek(&board, 0xa0000);
    poke(&board, 0xa0003, 0x0f); /* and the bit mask: 0ch */
    set_gc(&board, 5, 0);
    set_gc(&board, 8, 0xff);
    expect_planes(3, 0x403f221d);
}

Test(vga, read_mode_1_compares)
{
    set_mode(&board, 0x12);
    set_planes(0, 0x0f0000ff); /* dots 0 to 3: colour 1; 4 to 7: colour 9 */
    set_gc(&board, 5, 0x08);
    set_gc(&board, 2, 0x1);
    cr_expect_eq(peek(&board, 0xa0000), 0xf0);
    set_gc(&board, 2, 0x9);
    cr_expect_eq(peek(&board, 0xa0000), 0x0f);
    set_gc(&board, 7, 0x7); /* plane 3 does not matter */
    cr_expect_eq(peek(&board, 0xa0000), 0xff);
}

/* --- Graphics */

Test(vga, sixteen_colours)
{
    set_mode(&board, 0x12);
    set_planes(80 + 1, 0x800100c1);
    expect_size(640, 480);
    expect_pixel(8, 1, dac_color(0x39));  /* 9 */
    expect_pixel(9, 1, dac_color(0x01));  /* 1 */
    expect_pixel(10, 1, dac_color(0x00)); /* 0 */
    expect_pixel(15, 1, dac_color(0x05)); /* 5 */
    set_attr(&board, 0x12, 0x7);          /* plane 3 is off */
    expect_pixel(8, 1, dac_color(0x01));
    set_attr(&board, 0x14, 0x4); /* bits 6 and 7 of the DAC's index */
    expect_pixel(8, 1, dac_color(0x41));
    set_attr(&board, 0x13, 1);
    expect_pixel(7, 1, dac_color(0x41));
}

Test(vga, graphics_draw_rows_that_changed)
{
    set_mode(&board, 0x12);
    look(&board);
    poke(&board, 0xa0000 + 80 * 100, 0xff);
    struct display_rows rows = look(&board); /* lines share pages: 12.8 to one */
    cr_expect(rows.first >= 88 && rows.first <= 100 && rows.end > 100 && rows.end <= 113);
    cr_expect_eq(board.rearms, 1);
    expect_rows(0, 0);
    out(&board, 0x3c8, 5);
    for (unsigned i = 0; i < 3; i++)
        out(&board, 0x3c9, 1);
    expect_rows(0, 480);
}

Test(vga, mode_13h)
{
    set_mode(&board, 0x13);
    poke(&board, 0xa0000 + 320 + 2, 0xc8);
    expect_size(640, 400);
    expect_pixel(4, 2, dac_color(0xc8));
    expect_pixel(5, 3, dac_color(0xc8));
    expect_pixel(3, 2, dac_color(0));
    expect_pixel(6, 2, dac_color(0));
    expect_pixel(4, 4, dac_color(0));
    out(&board, 0x3c6, 0x0f);
    expect_pixel(4, 2, dac_color(0x08));
    cr_expect_eq(peek(&board, 0xa0000 + 322), 0xc8);
}

Test(vga, chain_4_is_memory_that_the_guest_reaches)
{
    cr_expect_null(board.window);
    set_mode(&board, 0x13);
    cr_assert(board.window);
    cr_expect(board.window_base == 0xa0000 && board.window->size == 0x10000);
    board.window->bytes[321] = 0x55;
    look(&board);
    cr_expect_eq(peek(&board, 0xa0000 + 321), 0x55);
    cr_expect_eq(bus_read(board.bus, BUS_MMIO, LFB_BASE + 321, 1), 0x55);
    set_seq(&board, 2, 0x1); /* not all planes */
    cr_expect_null(board.window);
    poke(&board, 0xa0000 + 321, 0x66);
    cr_expect_eq(peek(&board, 0xa0000 + 321), 0x55);
    set_seq(&board, 2, 0xf);
    cr_assert(board.window);
    out(&board, 0x3c2, 0x61); /* the RAM is off */
    cr_expect_null(board.window);
    cr_expect_eq(peek(&board, 0xa0000 + 321), 0xff);
}

Test(vga, unchained)
{
    set_mode(&board, 0x13);
    set_seq(&board, 4, 0x06);
    set_crtc(&board, 0x14, 0x00);
    set_crtc(&board, 0x17, 0xe3);
    set_seq(&board, 2, 0x4);
    poke(&board, 0xa0000 + 80 * 200, 0x21); /* the second page, dot 2 */
    set_seq(&board, 2, 0xf);
    expect_pixel(4, 0, dac_color(0));
    set_crtc(&board, 0x0c, 80 * 200 >> 8);
    set_crtc(&board, 0x0d, (80 * 200) & 0xff);
    expect_pixel(4, 0, dac_color(0x21));
    expect_pixel(3, 0, dac_color(0));
    expect_pixel(6, 0, dac_color(0));
}

Test(vga, cga_4_colours)
{
    set_mode(&board, 4);
    poke(&board, 0xb8000, 0x1b);          /* dots 0, 1, 2, 3 */
    poke(&board, 0xb8000 + 0x2001, 0xc0); /* line 1, dot 4: 3 */
    expect_size(640, 400);
    expect_pixel(2, 0, dac_color(0x13));
    expect_pixel(5, 1, dac_color(0x15));
    expect_pixel(6, 0, dac_color(0x17));
    expect_pixel(8, 0, dac_color(0x00));
    expect_pixel(8, 2, dac_color(0x17));
    expect_pixel(9, 3, dac_color(0x17));
    expect_pixel(10, 2, dac_color(0x00));
}

Test(vga, cga_2_colours)
{
    set_mode(&board, 6);
    poke(&board, 0xb8000 + 80, 0x81);
    poke(&board, 0xb8000 + 0x2000, 0x01);
    expect_pixel(0, 4, dac_color(0x17));
    expect_pixel(7, 5, dac_color(0x17));
    expect_pixel(1, 4, dac_color(0x00));
    expect_pixel(7, 2, dac_color(0x17));
    expect_pixel(0, 2, dac_color(0x00));
}

Test(vga, blank_screens)
{
    set_mode(&board, 0x13);
    poke(&board, 0xa0000, 7);
    expect_pixel(0, 0, dac_color(7));
    set_seq(&board, 1, 0x21);
    expect_pixel(0, 0, 0);
    set_seq(&board, 1, 0x01);
    expect_pixel(0, 0, dac_color(7));
    in(&board, 0x3da);
    out(&board, 0x3c0, 0); /* the palette is the CPU's */
    expect_pixel(0, 0, 0);
}

/* --- Registers */

Test(vga, registers_read_back)
{
    set_mode(&board, 0x12);
    cr_expect_eq(in(&board, 0x3cc), 0xe3);
    out(&board, 0x3d4, 0x13);
    cr_expect_eq(in(&board, 0x3d5), 0x28);
    out(&board, 0x3ce, 6);
    cr_expect_eq(in(&board, 0x3cf), 5);
    in(&board, 0x3da);
    out(&board, 0x3c0, 0x26);
    cr_expect_eq(in(&board, 0x3c1), 0x14);
    cr_expect_eq(in(&board, 0x3b4), 0xff, "it is no monochrome display");
    out(&board, 0x3c2, 0xe2);
    cr_expect_eq(in(&board, 0x3d4), 0xff);
    out(&board, 0x3b4, 0x13);
    cr_expect_eq(in(&board, 0x3b5), 0x28);
}

Test(vga, crtc_protection)
{
    set_mode(&board, 3); /* sets it */
    set_crtc(&board, 0, 0x12);
    set_crtc(&board, 7, 0);
    cr_expect_eq((out(&board, 0x3d4, 0), in(&board, 0x3d5)), 0x5f);
    cr_expect_eq((out(&board, 0x3d4, 7), in(&board, 0x3d5)), 0x0f, "but bit 4");
}

Test(vga, dac)
{
    set_mode(&board, 0x13);
    out(&board, 0x3c7, 10);
    cr_expect_eq(in(&board, 0x3c7), 3);
    cr_expect_eq(in(&board, 0x3c9), 10);
    cr_expect_eq(in(&board, 0x3c9), 2);
    cr_expect_eq(in(&board, 0x3c9), 53);
    cr_expect_eq(in(&board, 0x3c9), 11);
    out(&board, 0x3c8, 0);
    cr_expect_eq(in(&board, 0x3c7), 0);
}

/* 25.175 MHz, 800 dots a line, 449 lines: retrace in lines 412 and 413, display up to 399. */
Test(vga, status_follows_the_beam)
{
    set_mode(&board, 0x13);
    uint64_t line = 800 * NS_PER_SECOND / 25175000 + 1;
    clock_step(board.clock, line * 10);
    cr_expect_eq(in(&board, 0x3da) & 9, 0);
    clock_step(board.clock, line * 4 / 5 + 2000);
    cr_expect_eq(in(&board, 0x3da) & 9, 1, "the line's end");
    clock_step(board.clock, line * 402 - line * 4 / 5 - 2000);
    cr_expect_eq(in(&board, 0x3da) & 9, 9);
    clock_step(board.clock, line * 3);
    cr_expect_eq(in(&board, 0x3da) & 9, 1);
}

/* --- VBE */

static void poke_lfb(uint64_t offset, uint64_t value, unsigned size)
{
    bus_write(board.bus, BUS_MMIO, LFB_BASE + offset, value, size);
}

Test(vga, vbe_depths)
{
    static const struct {
        unsigned bits, size;
        uint32_t value, color;
    } depths[] = {
        {15, 2, 0x7c1f, 0xff00ff}, {15, 2, 0x0200, 0x008400},   {16, 2, 0xf81f, 0xff00ff},
        {16, 2, 0x0400, 0x008200}, {24, 3, 0x123456, 0x123456}, {32, 4, 0xaa654321, 0x654321},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(depths); i++) {
        set_vbe_mode(&board, 800, 600, depths[i].bits);
        expect_size(800, 600);
        expect_pixel(2, 3, 0);
        poke_lfb((3 * 800 + 2) * depths[i].size, depths[i].value, depths[i].size);
        expect_pixel(2, 3, depths[i].color);
        expect_pixel(1, 3, 0);
        expect_pixel(3, 3, 0);
    }
}

Test(vga, vbe_8_bits_and_the_dac)
{
    set_vbe_mode(&board, 640, 480, 8);
    set_dac(&board);
    poke_lfb(641, 200, 1);
    expect_pixel(1, 1, dac_color(200));
    set_vbe(&board, 4, 0x61); /* colours of 8 bits */
    expect_pixel(1, 1, (200 & 63) << 16 | (200 >> 2) << 8 | (63 - (200 & 63)));
}

Test(vga, vbe_4_bits_are_planes)
{
    set_mode(&board, 0x12);
    set_vbe_mode(&board, 800, 600, 4);
    set_planes(100 + 1, 0x00008000);
    expect_size(800, 600);
    expect_pixel(8, 1, dac_color(2));
    expect_pixel(9, 1, dac_color(0));
}

Test(vga, vbe_largest_mode)
{
    set_vbe_mode(&board, 2560, 1600, 32);
    expect_size(2560, 1600);
    poke_lfb((2560 * 1600 - 1) * 4, 0x112233, 4);
    expect_pixel(2559, 1599, 0x112233);
    cr_expect_eq(get_vbe(&board, 4), 0x41);
    set_vbe(&board, 4, 0x43);
    cr_expect_eq(get_vbe(&board, 1), 2560);
    cr_expect_eq(get_vbe(&board, 2), 1600);
    cr_expect_eq(get_vbe(&board, 3), 32);
    cr_expect_eq(get_vbe(&board, 10), 256);
}

Test(vga, vbe_virtual_screens)
{
    set_vbe_mode(&board, 640, 480, 32);
    set_vbe(&board, 6, 1024);
    cr_expect_eq(get_vbe(&board, 7), (16 << 20) / 4096);
    set_vbe(&board, 8, 100);
    set_vbe(&board, 9, 1000);
    poke_lfb(1000 * 4096 + 100 * 4, 0xabcdef, 4);
    expect_pixel(0, 0, 0xabcdef);
    set_vbe(&board, 8, 99);
    expect_pixel(1, 0, 0xabcdef);
    set_vbe(&board, 9, 0xffff); /* stays in memory */
    cr_expect_eq(get_vbe(&board, 9), 4096 - 480);
}

Test(vga, vbe_draws_rows_that_changed)
{
    set_vbe_mode(&board, 1024, 768, 32); /* a page a row */
    look(&board);
    poke_lfb(4096 * 500 + 8, 1, 4);
    poke_lfb(4096 * 502, 1, 4);
    expect_rows(500, 503);
    expect_rows(0, 0);
    poke_lfb(4096 * 800, 1, 4); /* below the screen */
    expect_rows(0, 0);
}

Test(vga, vbe_banks)
{
    set_vbe_mode(&board, 1024, 768, 8);
    set_vbe(&board, 5, 3);
    cr_assert(board.window && board.window_base == 0xa0000);
    poke(&board, 0xa0000 + 5, 0x42);
    cr_expect_eq(bus_read(board.bus, BUS_MMIO, LFB_BASE + 0x30005, 1), 0x42);
    cr_expect_eq(board.window->bytes[5], 0x42);
}

Test(vga, vbe_takes_no_nonsense)
{
    set_vbe_mode(&board, 65535, 65535, 32);
    expect_size(2560, 1600);
    set_vbe_mode(&board, 0, 0, 99);
    expect_size(8, 1);
    cr_expect_eq(get_vbe(&board, 3), 8);
    set_vbe(&board, 0, 0x1234);
    cr_expect_eq(get_vbe(&board, 0), 0xb0c5);
    set_vbe(&board, 0, 0xb0c4);
    cr_expect_eq(get_vbe(&board, 0), 0xb0c4);
    cr_expect_eq(get_vbe(&board, 77), 0);
}

/* --- PCI */

static uint64_t get(uint64_t address, unsigned size)
{
    return bus_read(board.bus, BUS_MMIO, address, size);
}

Test(vga, pci_function)
{
    uint8_t devfn = pci_devfn(2, 0);
    cr_expect_eq(pci_bus_read(board.pci, devfn, 0, 4), 0x11111234);
    cr_expect_eq(pci_bus_read(board.pci, devfn, 8, 4), 0x03000002);
    cr_expect_eq(pci_bus_read(board.pci, devfn, PCI_BASE_ADDRESS, 4), LFB_BASE | 8);
    cr_expect_eq(get(ROM_BASE, 4), 0xaa55);
    cr_expect_eq(get(REGISTERS_BASE + 0x600, 4), 8);
    cr_expect_eq(get(REGISTERS_BASE + 0x604, 4), 0x1e1e1e1e);
}

Test(vga, registers_in_memory)
{
    bus_write(board.bus, BUS_MMIO, REGISTERS_BASE + 0x400 + 2, 0x63, 1);
    cr_expect_eq(in(&board, 0x3cc), 0x63);
    bus_write(board.bus, BUS_MMIO, REGISTERS_BASE + 0x502, 1024, 2);
    cr_expect_eq(get_vbe(&board, 1), 1024);
    cr_expect_eq(get(REGISTERS_BASE + 0x500, 2), 0xb0c5);
}

Test(vga, edid)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < 128; i++)
        sum += (uint8_t)get(REGISTERS_BASE + i, 1);
    cr_expect_eq(sum, 0);
    cr_expect_eq(get(REGISTERS_BASE, 8), 0x00ffffffffffff00);
    cr_expect_eq(get(REGISTERS_BASE + 54 + 2, 1) | (get(REGISTERS_BASE + 54 + 4, 1) & 0xf0) << 4,
                 1024);
}

Test(vga, reset)
{
    set_mode(&board, 0x13);
    look(&board);
    bus_lock(board.bus);
    pci_bus_reset(board.pci);
    bus_unlock(board.bus);
    cr_expect_null(board.window);
    cr_expect_eq(in(&board, 0x3cc), 0);
    expect_pixel(0, 0, 0);
    expect_size(640, 480);
}

Test(vga, the_viewer_is_told_once_a_look)
{
    set_vbe_mode(&board, 1024, 768, 32);
    look(&board);
    unsigned before = board.changes;
    for (unsigned i = 0; i < 10; i++)
        poke_lfb(i * 4096, i + 1, 4);
    cr_expect_eq(board.changes, before + 1);
    look(&board);
    cr_expect_eq(board.changes, before + 1);
}
