#include "bus/clock.h"
#include "devices/input/i8042.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/input/scancodes.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

enum { KEYBOARD_IRQ = 1, A20 = 2, RESET = 3, MOUSE_IRQ = 12 };
enum { FULL = 0x01, MOUSE = 0x20 };
enum { GAP_NS = 1000000 };

struct board {
    struct bus *bus;
    struct clock *clock;
    struct ps2_keyboard *keyboard;
    struct ps2_mouse *mouse;
    struct i8042 *i8042;
    bool level[16];
    unsigned rises[16];
};

static void set_line(void *opaque, unsigned input, bool level)
{
    struct board *board = opaque;
    board->rises[input] += level && !board->level[input];
    board->level[input] = level;
}

static struct board *setup(void)
{
    struct board *board = calloc(1, sizeof(*board));
    const char *other;
    board->bus = bus_create();
    board->clock = clock_create_manual();
    board->keyboard = ps2_keyboard_create();
    board->mouse = ps2_mouse_create();
    board->i8042 = i8042_create(&(struct i8042_config){
        .clock = board->clock,
        .keyboard = ps2_keyboard_device(board->keyboard),
        .mouse = ps2_mouse_device(board->mouse),
        .keyboard_irq = {set_line, board, KEYBOARD_IRQ},
        .mouse_irq = {set_line, board, MOUSE_IRQ},
        .a20 = {set_line, board, A20},
        .reset = {set_line, board, RESET},
    });
    cr_assert(bus_map(board->bus, BUS_PORT, 0x60, 1, &i8042_data_ops, board->i8042, &other));
    cr_assert(bus_map(board->bus, BUS_PORT, 0x64, 1, &i8042_command_ops, board->i8042, &other));
    return board;
}

static void teardown(struct board *board)
{
    i8042_destroy(board->i8042);
    ps2_keyboard_destroy(board->keyboard);
    ps2_mouse_destroy(board->mouse);
    clock_destroy(board->clock);
    bus_destroy(board->bus);
    free(board);
}

static uint8_t status(struct board *board)
{
    return (uint8_t)bus_read(board->bus, BUS_PORT, 0x64, 1);
}

static uint8_t data(struct board *board)
{
    return (uint8_t)bus_read(board->bus, BUS_PORT, 0x60, 1);
}

static void command(struct board *board, uint8_t byte)
{
    bus_write(board->bus, BUS_PORT, 0x64, byte, 1);
}

static void write_data(struct board *board, uint8_t byte)
{
    bus_write(board->bus, BUS_PORT, 0x60, byte, 1);
}

static void to_mouse(struct board *board, uint8_t byte)
{
    command(board, 0xd4);
    write_data(board, byte);
}

static void step(struct board *board)
{
    bus_lock(board->bus);
    clock_step(board->clock, GAP_NS);
    bus_unlock(board->bus);
}

/* The next bytes, from the keyboard's side or the mouse's, and then no more. */
static void expect_from(struct board *board, uint8_t side, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        step(board);
        cr_assert_eq(status(board) & (FULL | MOUSE), FULL | side, "byte %zu of %zu", i, count);
        uint8_t byte = data(board);
        cr_assert_eq(byte, bytes[i], "byte %zu is %02x, not %02x", i, byte, bytes[i]);
    }
    step(board);
    cr_assert_not(status(board) & FULL, "more than expected: %02x", data(board));
}

#define EXPECT(board, side, ...)                                                                   \
    expect_from(board, side, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void key(struct board *board, uint8_t code, bool pressed)
{
    bus_lock(board->bus);
    ps2_keyboard_key(board->keyboard, code, pressed);
    bus_unlock(board->bus);
}

static void move(struct board *board, int right, int down, int wheel, uint8_t buttons)
{
    bus_lock(board->bus);
    ps2_mouse_move(board->mouse, right, down, wheel, buttons);
    bus_unlock(board->bus);
}

static void set_command_byte(struct board *board, uint8_t value)
{
    command(board, 0x60);
    write_data(board, value);
}

Test(i8042, controller_commands)
{
    struct board *board = setup();
    cr_assert_eq(status(board), 0x14);
    command(board, 0x20);
    cr_assert_eq(status(board), 0x1d);
    EXPECT(board, 0, 0x65);
    command(board, 0xaa);
    EXPECT(board, 0, 0x55);
    command(board, 0xab);
    EXPECT(board, 0, 0x00);
    command(board, 0xa9);
    EXPECT(board, 0, 0x00);
    command(board, 0xa4);
    EXPECT(board, 0, 0xf1);
    command(board, 0xa8);
    command(board, 0xad);
    command(board, 0x20);
    EXPECT(board, 0, 0x55);
    command(board, 0xa7);
    command(board, 0xae);
    command(board, 0x20);
    EXPECT(board, 0, 0x65);
    command(board, 0x7f);
    write_data(board, 0x99);
    command(board, 0x3f);
    EXPECT(board, 0, 0x99);
    command(board, 0xc0);
    EXPECT(board, 0, 0x80);
    teardown(board);
}

Test(i8042, answers_interrupt_as_data_does)
{
    struct board *board = setup();
    command(board, 0xd2);
    write_data(board, 0x42);
    cr_assert(board->level[KEYBOARD_IRQ]);
    EXPECT(board, 0, 0x42);
    cr_assert_not(board->level[KEYBOARD_IRQ]);
    set_command_byte(board, 0x47);
    command(board, 0xd3);
    write_data(board, 0x43);
    cr_assert(board->level[MOUSE_IRQ] && !board->level[KEYBOARD_IRQ]);
    EXPECT(board, MOUSE, 0x43);
    cr_assert_not(board->level[MOUSE_IRQ]);
    teardown(board);
}

Test(i8042, output_port_drives_a20_and_reset)
{
    struct board *board = setup();
    cr_assert(board->level[A20]);
    command(board, 0xd1);
    write_data(board, 0xdd);
    cr_assert_not(board->level[A20]);
    command(board, 0xd0);
    EXPECT(board, 0, 0xcd);
    command(board, 0xdf);
    cr_assert(board->level[A20]);
    command(board, 0xdd);
    cr_assert_not(board->level[A20]);
    cr_assert_eq(board->rises[RESET], 0);
    command(board, 0xff);
    cr_assert_eq(board->rises[RESET], 0, "no line is pulsed");
    command(board, 0xfe);
    cr_assert_eq(board->rises[RESET], 1);
    command(board, 0xd1);
    write_data(board, 0x02);
    cr_assert_eq(board->rises[RESET], 2);
    teardown(board);
}

Test(i8042, translates_to_set_1)
{
    struct board *board = setup();
    key(board, 0x1e, true);
    cr_assert(board->level[KEYBOARD_IRQ]);
    EXPECT(board, 0, 0x1e);
    cr_assert_not(board->level[KEYBOARD_IRQ]);
    key(board, 0x1e, false);
    EXPECT(board, 0, 0x9e);
    key(board, 0xc8, true);
    key(board, 0xc8, false);
    EXPECT(board, 0, 0xe0, 0x48, 0xe0, 0xc8);
    key(board, PS2_KEY_PAUSE, true);
    key(board, PS2_KEY_PAUSE, false);
    EXPECT(board, 0, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
    key(board, PS2_KEY_PRINT_SCREEN, true);
    EXPECT(board, 0, 0xe0, 0x2a, 0xe0, 0x37);
    key(board, PS2_KEY_PRINT_SCREEN, false);
    EXPECT(board, 0, 0xe0, 0xb7, 0xe0, 0xaa);
    key(board, 0x41, true); /* F7: 83 in set 2 */
    EXPECT(board, 0, 0x41);
    teardown(board);
}

Test(i8042, every_key_translates_to_its_own_name)
{
    struct board *board = setup();
    for (unsigned code = 1; code < 0x100; code++) {
        if (!(code & 0x7f) || code == PS2_KEY_PAUSE || code == PS2_KEY_PRINT_SCREEN)
            continue;
        cr_assert_eq(scancode_set1_of_set2[scancode_set2_of_set1(code & 0x7f)], code & 0x7f);
        key(board, (uint8_t)code, true);
        if (code & 0x80)
            EXPECT(board, 0, 0xe0, code & 0x7f);
        else
            EXPECT(board, 0, (uint8_t)code);
        key(board, (uint8_t)code, false);
        if (code & 0x80)
            EXPECT(board, 0, 0xe0, (uint8_t)code);
        else
            EXPECT(board, 0, (uint8_t)(code | 0x80));
    }
    teardown(board);
}

Test(i8042, passes_set_2_on_without_translation)
{
    struct board *board = setup();
    set_command_byte(board, 0x05);
    key(board, 0x1e, true);
    key(board, 0x1e, false);
    EXPECT(board, 0, 0x1c, 0xf0, 0x1c);
    key(board, PS2_KEY_PAUSE, true);
    EXPECT(board, 0, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
    write_data(board, 0xf0);
    write_data(board, 1);
    EXPECT(board, 0, 0xfa, 0xfa);
    key(board, 0xc8, true);
    key(board, 0xc8, false);
    EXPECT(board, 0, 0xe0, 0x48, 0xe0, 0xc8);
    write_data(board, 0xf0);
    write_data(board, 0);
    EXPECT(board, 0, 0xfa, 0xfa, 0x01);
    write_data(board, 0xf0);
    write_data(board, 3);
    EXPECT(board, 0, 0xfa, 0xfe);
    teardown(board);
}

Test(i8042, keyboard_commands)
{
    struct board *board = setup();
    write_data(board, 0xff);
    EXPECT(board, 0, 0xfa, 0xaa);
    write_data(board, 0xf2);
    EXPECT(board, 0, 0xfa, 0xab, 0x41);
    write_data(board, 0xee);
    EXPECT(board, 0, 0xee);
    write_data(board, 0xfe);
    EXPECT(board, 0, 0xee);
    write_data(board, 0xed);
    EXPECT(board, 0, 0xfa);
    write_data(board, PS2_LED_CAPS_LOCK);
    EXPECT(board, 0, 0xfa);
    cr_assert_eq(ps2_keyboard_leds(board->keyboard), PS2_LED_CAPS_LOCK);
    write_data(board, 0xf3);
    write_data(board, 0x2b);
    EXPECT(board, 0, 0xfa, 0xfa);
    write_data(board, 0xf5);
    EXPECT(board, 0, 0xfa);
    key(board, 0x1e, true);
    cr_assert_not(status(board) & FULL, "keys are not reported");
    write_data(board, 0xf4);
    EXPECT(board, 0, 0xfa);
    key(board, 0x1e, true);
    EXPECT(board, 0, 0x1e);
    write_data(board, 0xe0);
    EXPECT(board, 0, 0xfe);
    write_data(board, 0xed); /* and instead of the lights another command */
    write_data(board, 0xee);
    EXPECT(board, 0, 0xfa, 0xee);
    teardown(board);
}

Test(i8042, a_byte_comes_only_some_time_after_the_last_was_read)
{
    struct board *board = setup();
    key(board, 0x1e, true);
    key(board, 0x30, true);
    cr_assert_eq(data(board), 0x1e);
    cr_assert_not(board->level[KEYBOARD_IRQ]);
    cr_assert_eq(data(board), 0x1e, "read again, it is the same");
    step(board);
    cr_assert(board->level[KEYBOARD_IRQ], "the timer has brought it");
    cr_assert_eq(board->rises[KEYBOARD_IRQ], 2);
    EXPECT(board, 0, 0x30);
    teardown(board);
}

Test(i8042, keys_wait_while_the_keyboard_is_disabled)
{
    struct board *board = setup();
    command(board, 0xad);
    key(board, 0x1e, true);
    cr_assert_not(status(board) & FULL);
    command(board, 0xae);
    EXPECT(board, 0, 0x1e);
    for (int i = 0; i < 100; i++)
        key(board, 0x1e, true);
    for (int i = 0; i < 17; i++) { /* one in the output buffer, 16 in the keyboard */
        step(board);
        cr_assert_eq(data(board), 0x1e, "%d", i);
    }
    EXPECT(board, 0, 0xff); /* overrun: 00, translated */
    teardown(board);
}

static void enable_mouse(struct board *board)
{
    set_command_byte(board, 0x47);
    to_mouse(board, 0xf4);
    EXPECT(board, MOUSE, 0xfa);
}

Test(i8042, mouse_reports_motion_and_buttons)
{
    struct board *board = setup();
    to_mouse(board, 0xff);
    EXPECT(board, MOUSE, 0xfa, 0xaa, 0x00);
    to_mouse(board, 0xf2);
    EXPECT(board, MOUSE, 0xfa, 0x00);
    move(board, 5, 5, 0, 0);
    step(board);
    cr_assert_not(status(board) & FULL, "not enabled yet");
    enable_mouse(board);
    move(board, 3, 2, 0, 0);
    cr_assert(board->level[MOUSE_IRQ]);
    EXPECT(board, MOUSE, 0x28, 3, 0xfe);
    cr_assert_not(board->level[MOUSE_IRQ]);
    move(board, -1, -1, 0, PS2_BUTTON_LEFT | PS2_BUTTON_MIDDLE);
    EXPECT(board, MOUSE, 0x1d, 0xff, 1);
    move(board, 0, 0, 0, 0);
    EXPECT(board, MOUSE, 0x08, 0, 0);
    move(board, 0, 0, 1, 0);
    cr_assert_not(status(board) & FULL, "it has no wheel");
    move(board, 300, 0, 0, 0);
    EXPECT(board, MOUSE, 0x08, 255, 0, 0x08, 45, 0);
    to_mouse(board, 0xe9);
    EXPECT(board, MOUSE, 0xfa, 0x20, 2, 100);
    teardown(board);
}

Test(i8042, motion_adds_up_until_it_is_read_and_clicks_are_kept)
{
    struct board *board = setup();
    enable_mouse(board);
    move(board, 1, 0, 0, 0);
    for (int i = 0; i < 10; i++)
        move(board, 2, 0, 0, 0);
    move(board, 0, 0, 0, PS2_BUTTON_RIGHT);
    move(board, 0, 0, 0, 0);
    EXPECT(board, MOUSE, 0x08, 1, 0, 0x0a, 20, 0, 0x08, 0, 0);
    for (int i = 0; i < 1000; i++)
        move(board, INT32_MAX, INT32_MIN, 0, (uint8_t)(i & 1));
    teardown(board);
}

Test(i8042, mouse_has_a_wheel_for_those_who_knock)
{
    struct board *board = setup();
    static const uint8_t knock[] = {0xf3, 200, 0xf3, 100, 0xf3, 80};
    for (size_t i = 0; i < sizeof(knock); i++) {
        to_mouse(board, knock[i]);
        EXPECT(board, MOUSE, 0xfa);
    }
    to_mouse(board, 0xf2);
    EXPECT(board, MOUSE, 0xfa, 0x03);
    enable_mouse(board);
    move(board, 0, 0, -1, 0);
    EXPECT(board, MOUSE, 0x08, 0, 0, 0xff);
    move(board, 0, 0, 10, 0);
    EXPECT(board, MOUSE, 0x08, 0, 0, 7, 0x08, 0, 0, 3);
    to_mouse(board, 0xff);
    EXPECT(board, MOUSE, 0xfa, 0xaa, 0x00);
    teardown(board);
}

Test(i8042, mouse_modes)
{
    struct board *board = setup();
    to_mouse(board, 0xf0);
    EXPECT(board, MOUSE, 0xfa);
    move(board, 9, 0, 0, 0);
    step(board);
    cr_assert_not(status(board) & FULL, "remote: only when asked");
    to_mouse(board, 0xeb);
    EXPECT(board, MOUSE, 0xfa, 0x08, 9, 0);
    to_mouse(board, 0xee);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 0xf2);
    EXPECT(board, MOUSE, 0xf2);
    to_mouse(board, 0xec);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 0xe8);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 3);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 0xe7);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 0xe9);
    EXPECT(board, MOUSE, 0xfa, 0x50, 3, 100);
    to_mouse(board, 0xea);
    EXPECT(board, MOUSE, 0xfa);
    enable_mouse(board);
    move(board, 3, 0, 0, 0);
    EXPECT(board, MOUSE, 0x08, 3, 0);
    move(board, -4, -200, 0, 0);
    EXPECT(board, MOUSE, 0x18, 0xfa, 255);
    to_mouse(board, 0xe1);
    EXPECT(board, MOUSE, 0xfe);
    to_mouse(board, 0xf6);
    EXPECT(board, MOUSE, 0xfa);
    to_mouse(board, 0xe9);
    EXPECT(board, MOUSE, 0xfa, 0x00, 2, 100);
    teardown(board);
}

Test(i8042, takes_whatever_a_guest_writes)
{
    struct board *board = setup();
    unsigned seed = (unsigned)time(NULL);
    cr_log_info("seed %u", seed);
    for (unsigned i = 0; i < 300000; i++) {
        unsigned what = (unsigned)rand_r(&seed);
        uint8_t byte = (uint8_t)(what >> 8);
        switch (what & 7) {
        case 0:
            step(board);
            break;
        case 1:
            key(board, byte, what & 0x10000);
            break;
        case 2:
            move(board, (int)byte - 128, (int)(what >> 16 & 0xff) - 128, (int)(what >> 20 & 3), 1);
            break;
        case 3:
            to_mouse(board, byte);
            break;
        case 4:
            command(board, byte);
            break;
        case 5:
            write_data(board, byte);
            break;
        default:
            data(board);
            break;
        }
        uint8_t now = status(board);
        cr_assert_eq(now & 0xd2, 0x10, "step %u", i);
        cr_assert_not(board->level[KEYBOARD_IRQ] && board->level[MOUSE_IRQ]);
        if (board->level[KEYBOARD_IRQ] || board->level[MOUSE_IRQ])
            cr_assert(now & FULL);
    }
    i8042_reset(board->i8042);
    ps2_keyboard_reset(board->keyboard);
    ps2_mouse_reset(board->mouse);
    key(board, 0x1e, true);
    EXPECT(board, 0, 0x1e);
    teardown(board);
}
