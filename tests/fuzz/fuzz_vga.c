/* The VGA: random registers, memory and time, with looks at the screen in between. */
#include "fuzz.h"
#include "input.h"

#include "devices/vga_board.h"

#include <string.h>

static void access_port(struct vga_board *board, struct input *input)
{
    unsigned port = 0x3b0 + take(input, 1) % 48, size = 1u << take(input, 1) % 3;
    if (size == 4)
        bus_read(board->bus, BUS_PORT, port, 1);
    else
        bus_write(board->bus, BUS_PORT, port, take(input, 2), size);
}

/* An index and its data, so that registers change more often than indices. */
static void set_register(struct vga_board *board, struct input *input)
{
    uint8_t which = (uint8_t)take(input, 1), value = (uint8_t)take(input, 1);
    if (which < 8)
        set_seq(board, which, value);
    else if (which < 32)
        set_gc(board, which, value);
    else if (which < 64)
        set_attr(board, which & 31, value);
    else if (which < 160)
        set_crtc(board, which & 31, value);
    else
        set_vbe(board, which % 12, take(input, 1) << 8 | value);
}

static void access_memory(struct vga_board *board, struct input *input)
{
    static const uint64_t bases[] = {VGA_WINDOW_BASE, VGA_WINDOW_BASE, LFB_BASE, REGISTERS_BASE,
                                     ROM_BASE};
    static const uint32_t sizes[] = {0x20000, 0x20000, 16 << 20, 0x1000, 0x10000};
    unsigned which = take(input, 1) % 5, size = take(input, 1);
    uint64_t address = bases[which] + take(input, 3) % sizes[which];
    if (size & 0x80)
        bus_write(board->bus, BUS_MMIO, address, take(input, 4) * 0x100000001ull, 1 + size % 8);
    else
        bus_read(board->bus, BUS_MMIO, address, 1 + size % 8);
}

static void check_window(const struct vga_board *board)
{
    const struct direct_ram *window = board->window;
    if (!window)
        return;
    if (board->window_base < VGA_WINDOW_BASE ||
        board->window_base + window->size > VGA_WINDOW_BASE + VGA_WINDOW_SIZE)
        fuzz_fail("the window is at %#llx", (unsigned long long)board->window_base);
    /* Touches its ends, which a sanitizer knows. */
    window->bytes[0] ^= window->bytes[window->size - 1];
    direct_ram_note(window, window->size - 1);
}

static void check_screen(struct vga_board *board)
{
    const struct surface *surface = display_look(board->display, NULL);
    struct display_rows rows = display_take_rows(board->display);
    if (rows.first > rows.end || rows.end > surface->height || surface->width > 256 * 9 * 2 ||
        surface->height > 1600 || surface->stride < surface->width)
        fuzz_fail("rows %u to %u of a screen of %u by %u", rows.first, rows.end, surface->width,
                  surface->height);
    display_unlock(board->display);
}

static void operate(struct vga_board *board, struct input *input)
{
    static const unsigned modes[] = {3, 4, 6, 0x12, 0x13};
    uint8_t operation = (uint8_t)take(input, 1);
    switch (operation & 15) {
    case 0 ... 2:
        access_port(board, input);
        break;
    case 3 ... 6:
        set_register(board, input);
        break;
    case 7 ... 10:
        access_memory(board, input);
        break;
    case 11:
        clock_step(board->clock, take(input, 4));
        break;
    case 12:
        set_mode(board, modes[(operation >> 4) % 5]);
        break;
    case 13:
        if (operation >> 4 == 15)
            pci_bus_reset(board->pci);
        set_vbe_mode(board, take(input, 1) * 16, take(input, 1) * 8, take(input, 1) % 40);
        break;
    default:
        check_screen(board);
        check_window(board);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct vga_board board;
    vga_board_create(&board);
    while (input.size)
        operate(&board, &input);
    check_screen(&board);
    vga_board_destroy(&board);
    return 0;
}
