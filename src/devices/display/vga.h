/* QEMU's standard VGA (PCI 1234:1111): IBM's VGA with Bochs' VBE extensions ("dispi"), 16 MiB of
 * memory, and an EDID (doc/display.md).
 *
 * Its parts: vga_registers.c has the ports, vga_memory.c the window at A0000 and the planes,
 * vga_vbe.c the extensions, vga_draw.c, vga_text.c and vga_graphics.c the picture, vga.c the PCI
 * function. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_DISPLAY_VGA_H
#define DOPPEL_DEVICES_DISPLAY_VGA_H

#include "bus/bus.h"
#include "bus/direct_ram.h"

struct clock;
struct display;
struct pci_bus;
struct vga;

/* Nothing is owned. */
struct vga_config {
    struct clock *clock;
    struct pci_bus *pci;
    unsigned slot;
    struct display *display;
    struct direct_memory direct; /* for the window; the PCI bus has its own */
    const void *rom;             /* the option ROM, copied; at most 64 KiB, or NULL */
    size_t rom_size;
};

/* Attaches it to the PCI bus and the display. NULL: no memory, or the slot is taken. */
struct vga *vga_create(const struct vga_config *config);
/* After the PCI bus, and after all who may have mapped its memory for DMA. */
void vga_destroy(struct vga *vga);

/* Where the board puts it. */
#define VGA_MONO_PORT 0x3b0
#define VGA_MONO_PORTS 12
#define VGA_PORT 0x3c0
#define VGA_PORTS 32
#define VGA_VBE_PORT 0x1ce
#define VGA_VBE_PORTS 4
#define VGA_WINDOW_BASE 0xa0000
#define VGA_WINDOW_SIZE 0x20000
extern const struct bus_ops vga_mono_ops, vga_ports_ops, vga_vbe_ops, vga_window_ops;

#endif
