/* A VGA on a bus of its own, with a manual clock, and a screen that tests read pixels of. */
#ifndef TESTS_DEVICES_VGA_BOARD_H
#define TESTS_DEVICES_VGA_BOARD_H

#include "backends/display/display.h"
#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/direct_ram.h"
#include "devices/display/vga.h"
#include "devices/pci/pci_bus.h"

#define LFB_BASE 0xfd000000u
#define REGISTERS_BASE 0xfebf0000u
#define ROM_BASE 0xfeb00000u

struct vga_board {
    struct bus *bus;
    struct clock *clock;
    struct pci_bus *pci;
    struct display *display;
    struct vga *vga;
    unsigned changes; /* that the viewer was told of */
    /* What is shown to the guest: the window at A0000, or NULL. */
    const struct direct_ram *window;
    uint64_t window_base;
    unsigned rearms;
};

/* BARs are mapped at the addresses above. */
void vga_board_create(struct vga_board *board);
void vga_board_destroy(struct vga_board *board);

/* Registers, by ports; the display is a colour one. */
void out(struct vga_board *board, unsigned port, unsigned value);
unsigned in(struct vga_board *board, unsigned port);
void set_seq(struct vga_board *board, unsigned index, unsigned value);
void set_gc(struct vga_board *board, unsigned index, unsigned value);
void set_crtc(struct vga_board *board, unsigned index, unsigned value);
void set_attr(struct vga_board *board, unsigned index, unsigned value);
void set_vbe(struct vga_board *board, unsigned index, unsigned value);
unsigned get_vbe(struct vga_board *board, unsigned index);

/* A byte of the window. */
void poke(struct vga_board *board, unsigned address, unsigned value);
unsigned peek(struct vga_board *board, unsigned address);

/* The BIOS's modes by their numbers: 3, 4, 6, 12h, 13h; with a DAC whose colours are all different.
 */
void set_mode(struct vga_board *board, unsigned mode);
void set_dac(struct vga_board *board);
uint32_t dac_color(unsigned index);
/* A VBE mode; memory is cleared. */
void set_vbe_mode(struct vga_board *board, unsigned width, unsigned height, unsigned bits);

/* Looks at the screen; the rows that were drawn anew. */
struct display_rows look(struct vga_board *board);
/* Looks, too; UINT32_MAX outside of the screen. */
uint32_t pixel(struct vga_board *board, unsigned x, unsigned y);

#endif
