#include "vga_board.h"

#include <stdio.h>
#include <stdlib.h>

enum { SLOT = 2, BAR0 = PCI_BASE_ADDRESS, BAR2 = PCI_BASE_ADDRESS + 8 };

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "the VGA's board: %s\n", what);
    abort();
}

static bool show(void *opaque, const struct direct_ram *ram, uint64_t base)
{
    struct vga_board *board = opaque;
    board->window = ram;
    board->window_base = base;
    return true;
}

static void hide(void *opaque, const struct direct_ram *ram)
{
    struct vga_board *board = opaque;
    must(board->window == ram, "what is hidden is not shown");
    board->window = NULL;
}

static void rearm(void *opaque)
{
    struct vga_board *board = opaque;
    board->rearms++;
}

static void note_change(void *opaque)
{
    struct vga_board *board = opaque;
    board->changes++;
}

void vga_board_create(struct vga_board *board)
{
    static const struct direct_memory_ops direct = {show, hide, rearm};
    *board = (struct vga_board){.bus = bus_create(), .clock = clock_create_manual()};
    board->pci = pci_bus_create(&(struct pci_bus_config){.bus = board->bus});
    board->display = display_create(board->bus);
    display_set_viewer(board->display, note_change, board);
    board->vga = vga_create(&(struct vga_config){
        .clock = board->clock,
        .pci = board->pci,
        .slot = SLOT,
        .display = board->display,
        .direct = {&direct, board},
        .rom = "\x55\xaa",
        .rom_size = 2,
    });
    must(board->vga, "there is no memory for a VGA");
    struct bus *bus = board->bus;
    must(bus_map(bus, BUS_PORT, VGA_MONO_PORT, VGA_MONO_PORTS, &vga_mono_ops, board->vga, NULL) &&
             bus_map(bus, BUS_PORT, VGA_PORT, VGA_PORTS, &vga_ports_ops, board->vga, NULL) &&
             bus_map(bus, BUS_PORT, VGA_VBE_PORT, VGA_VBE_PORTS, &vga_vbe_ops, board->vga, NULL) &&
             bus_map(bus, BUS_MMIO, VGA_WINDOW_BASE, VGA_WINDOW_SIZE, &vga_window_ops, board->vga,
                     NULL),
         "two devices are in one place");
    uint8_t devfn = pci_devfn(SLOT, 0);
    pci_bus_write(board->pci, devfn, BAR0, LFB_BASE, 4);
    pci_bus_write(board->pci, devfn, BAR2, REGISTERS_BASE, 4);
    pci_bus_write(board->pci, devfn, PCI_ROM_ADDRESS, ROM_BASE | PCI_ROM_ENABLE, 4);
    pci_bus_write(board->pci, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
}

void vga_board_destroy(struct vga_board *board)
{
    pci_bus_destroy(board->pci);
    vga_destroy(board->vga);
    display_destroy(board->display);
    clock_destroy(board->clock);
    bus_destroy(board->bus);
}

/* --- Registers */

void out(struct vga_board *board, unsigned port, unsigned value)
{
    bus_write(board->bus, BUS_PORT, port, value, 1);
}

unsigned in(struct vga_board *board, unsigned port)
{
    return (unsigned)bus_read(board->bus, BUS_PORT, port, 1);
}

/* An index and its data, as one word. */
static void set(struct vga_board *board, unsigned port, unsigned index, unsigned value)
{
    bus_write(board->bus, BUS_PORT, port, value << 8 | index, 2);
}

void set_seq(struct vga_board *board, unsigned index, unsigned value)
{
    set(board, 0x3c4, index, value);
}

void set_gc(struct vga_board *board, unsigned index, unsigned value)
{
    set(board, 0x3ce, index, value);
}

void set_crtc(struct vga_board *board, unsigned index, unsigned value)
{
    set(board, 0x3d4, index, value);
}

void set_attr(struct vga_board *board, unsigned index, unsigned value)
{
    in(board, 0x3da);
    out(board, 0x3c0, index);
    out(board, 0x3c0, value);
    out(board, 0x3c0, 0x20);
}

void set_vbe(struct vga_board *board, unsigned index, unsigned value)
{
    bus_write(board->bus, BUS_PORT, 0x1ce, index, 2);
    bus_write(board->bus, BUS_PORT, 0x1cf, value, 2);
}

unsigned get_vbe(struct vga_board *board, unsigned index)
{
    bus_write(board->bus, BUS_PORT, 0x1ce, index, 2);
    return (unsigned)bus_read(board->bus, BUS_PORT, 0x1cf, 2);
}

void poke(struct vga_board *board, unsigned address, unsigned value)
{
    bus_write(board->bus, BUS_MMIO, address, value, 1);
}

unsigned peek(struct vga_board *board, unsigned address)
{
    return (unsigned)bus_read(board->bus, BUS_MMIO, address, 1);
}

/* --- Modes */

struct mode {
    unsigned number;
    uint8_t misc, seq[5], crtc[25], gc[9], attr[21];
};

static const struct mode modes[] = {
    {0x03,
     0x67,
     {0x03, 0x00, 0x03, 0x00, 0x02},
     {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
      0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00}},
    {0x04,
     0x63,
     {0x03, 0x09, 0x03, 0x00, 0x02},
     {0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x00, 0xff},
     {0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12,
      0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00, 0x00}},
    {0x06,
     0x63,
     {0x03, 0x01, 0x01, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x00, 0x96, 0xb9, 0xc2, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0d, 0x00, 0xff},
     {0x00, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
      0x17, 0x17, 0x17, 0x17, 0x17, 0x01, 0x00, 0x01, 0x00, 0x00}},
    {0x12,
     0xe3,
     {0x03, 0x01, 0x0f, 0x00, 0x06},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
      0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x01, 0x00, 0x0f, 0x00, 0x00}},
    {0x13,
     0x63,
     {0x03, 0x01, 0x0f, 0x00, 0x0e},
     {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
     {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
     {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
      0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x41, 0x00, 0x0f, 0x00, 0x00}},
};

void set_dac(struct vga_board *board)
{
    out(board, 0x3c8, 0);
    for (unsigned i = 0; i < 256; i++) {
        out(board, 0x3c9, i & 63);
        out(board, 0x3c9, i >> 2);
        out(board, 0x3c9, 63 - (i & 63));
    }
}

static uint32_t widen(unsigned value)
{
    return value << 2 | value >> 4;
}

uint32_t dac_color(unsigned index)
{
    return widen(index & 63) << 16 | widen(index >> 2) << 8 | widen(63 - (index & 63));
}

void set_mode(struct vga_board *board, unsigned number)
{
    const struct mode *mode = modes;
    while (mode->number != number)
        mode++;
    out(board, 0x3c2, mode->misc);
    for (unsigned i = 0; i < ARRAY_SIZE(mode->seq); i++)
        set_seq(board, i, mode->seq[i]);
    set_crtc(board, 0x11, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(mode->crtc); i++)
        set_crtc(board, i, mode->crtc[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(mode->gc); i++)
        set_gc(board, i, mode->gc[i]);
    for (unsigned i = 0; i < ARRAY_SIZE(mode->attr); i++)
        set_attr(board, i, mode->attr[i]);
    set_dac(board);
}

void set_vbe_mode(struct vga_board *board, unsigned width, unsigned height, unsigned bits)
{
    out(board, 0x3c2, 0x67);
    set_vbe(board, 4, 0);
    set_vbe(board, 1, width);
    set_vbe(board, 2, height);
    set_vbe(board, 3, bits);
    set_vbe(board, 4, 0x41);
    set_attr(board, 0x10, 0x01); /* video on */
}

/* --- The screen */

struct display_rows look(struct vga_board *board)
{
    display_look(board->display, NULL);
    struct display_rows rows = display_take_rows(board->display);
    display_unlock(board->display);
    return rows;
}

uint32_t pixel(struct vga_board *board, unsigned x, unsigned y)
{
    const struct surface *surface = display_look(board->display, NULL);
    bool inside = x < surface->width && y < surface->height;
    uint32_t value = inside ? surface->pixels[(size_t)y * surface->stride + x] : UINT32_MAX;
    display_unlock(board->display);
    return value;
}
