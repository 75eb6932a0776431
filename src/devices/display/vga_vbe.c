/* Bochs' display interface ("dispi"): linear modes. An index and a data register of 16 bits, and
 * the same registers in a row in BAR 2. */
#include "devices/display/vga_internal.h"

enum { ID_FIRST = 0xb0c0, ID_LAST = 0xb0c5, MAX_WIDTH = 2560, MAX_HEIGHT = 1600, MAX_BITS = 32 };

void vga_vbe_reset(struct vga *vga)
{
    memset(vga->vbe, 0, sizeof(vga->vbe));
    vga->vbe_index = 0;
    vga->vbe[VBE_ID] = ID_LAST;
    vga->vbe[VBE_BPP] = 8;
    vga->vbe[VBE_MEMORY_64K] = VGA_MEMORY >> 16;
}

uint16_t vga_vbe_read(struct vga *vga, unsigned index)
{
    if (index >= VBE_REGS)
        return 0;
    if (vga->vbe[VBE_ENABLE] & VBE_CAPABILITIES) {
        if (index == VBE_XRES)
            return MAX_WIDTH;
        if (index == VBE_YRES)
            return MAX_HEIGHT;
        if (index == VBE_BPP)
            return MAX_BITS;
    }
    return vga->vbe[index];
}

static uint16_t between(unsigned value, unsigned least, unsigned most)
{
    return (uint16_t)(value < least ? least : value > most ? most : value);
}

/* Makes the mode one that there can be: sizes that fit the memory, offsets that stay in it. */
static void settle(struct vga *vga)
{
    uint16_t *vbe = vga->vbe;
    unsigned bits = vbe[VBE_BPP];
    if (bits != 4 && bits != 15 && bits != 16 && bits != 24 && bits != 32)
        vbe[VBE_BPP] = 8;
    vbe[VBE_XRES] = between(vbe[VBE_XRES] & ~7u, 8, MAX_WIDTH);
    vbe[VBE_VIRTUAL_WIDTH] = between(vbe[VBE_VIRTUAL_WIDTH] & ~7u, vbe[VBE_XRES], 0xfff8);
    unsigned rows = VGA_MEMORY / vga_vbe_pitch(vga);
    vbe[VBE_YRES] = between(vbe[VBE_YRES], 1, rows < MAX_HEIGHT ? rows : MAX_HEIGHT);
    vbe[VBE_VIRTUAL_HEIGHT] = between(rows, 1, UINT16_MAX);
    vbe[VBE_X_OFFSET] = between(vbe[VBE_X_OFFSET], 0, vbe[VBE_VIRTUAL_WIDTH] - vbe[VBE_XRES]);
    vbe[VBE_Y_OFFSET] = between(vbe[VBE_Y_OFFSET], 0, rows - vbe[VBE_YRES]);
}

/* The VGA's registers, which the guest may read, fit the mode. */
static void set_registers(struct vga *vga)
{
    unsigned last = vga->vbe[VBE_YRES] - 1u;
    bool planar = vga->vbe[VBE_BPP] == 4;
    uint8_t *crtc = vga->crtc, *gc = vga->gc, *seq = vga->seq;
    gc[GC_MISC] = (gc[GC_MISC] & 2) | GC_MISC_GRAPHICS | 1 << GC_MISC_MAP_SHIFT;
    gc[GC_MODE] = (gc[GC_MODE] & ~GC_MODE_SHIFT) | (planar ? 0 : GC_MODE_256);
    crtc[CRTC_MODE] |= CRTC_MODE_NO_CGA | CRTC_MODE_NO_HERCULES;
    crtc[CRTC_OFFSET] = (uint8_t)(vga_vbe_pitch(vga) >> 3);
    crtc[CRTC_H_DISPLAY] = (uint8_t)(vga->vbe[VBE_XRES] / 8 - 1);
    crtc[CRTC_V_DISPLAY] = (uint8_t)last;
    crtc[CRTC_OVERFLOW] =
        (uint8_t)((crtc[CRTC_OVERFLOW] & ~0x42) | (last >> 7 & 0x02) | (last >> 3 & 0x40) | 0x10);
    crtc[CRTC_LINE_COMPARE] = 0xff;
    crtc[CRTC_MAX_ROW] = (crtc[CRTC_MAX_ROW] & 0x60) | 0x40;
    if (planar) {
        seq[SEQ_CLOCKING] &= ~SEQ_CLOCKING_HALF;
    } else {
        seq[SEQ_MEMORY] |= SEQ_MEMORY_CHAIN_4;
        seq[SEQ_MAP_MASK] = 0xf;
    }
}

static void enable(struct vga *vga, uint16_t value)
{
    uint16_t *vbe = vga->vbe;
    bool was_enabled = vga_vbe_enabled(vga);
    vbe[VBE_ENABLE] = value;
    vbe[VBE_BANK] = was_enabled && value & VBE_ENABLED ? vbe[VBE_BANK] : 0;
    if (was_enabled || !(value & VBE_ENABLED))
        return;
    vbe[VBE_VIRTUAL_WIDTH] = vbe[VBE_X_OFFSET] = vbe[VBE_Y_OFFSET] = 0;
    settle(vga);
    if (value & VBE_KEEP_MEMORY)
        return;
    memset(vga->memory, 0, (size_t)vga_vbe_pitch(vga) * vbe[VBE_YRES]);
    memset(vga->written, 1, sizeof(vga->written));
}

void vga_vbe_write(struct vga *vga, unsigned index, uint16_t value)
{
    switch (index) {
    case VBE_ID:
        if (value >= ID_FIRST && value <= ID_LAST)
            vga->vbe[VBE_ID] = value;
        return;
    case VBE_ENABLE:
        enable(vga, value);
        break;
    case VBE_BANK:
        vga->vbe[VBE_BANK] = value & (VGA_MEMORY / 0x10000 - 1);
        vga_update_window(vga);
        return;
    case VBE_XRES:
    case VBE_YRES:
    case VBE_BPP:
    case VBE_VIRTUAL_WIDTH:
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        vga->vbe[index] = value;
        if (vga_vbe_enabled(vga))
            settle(vga);
        break;
    default:
        return;
    }
    if (vga_vbe_enabled(vga))
        set_registers(vga);
    vga_update_window(vga);
    vga_state_changed(vga);
}

/* --- Ports: the index at 1CE, data at 1CF and 1D0. A word at 1CF comes as two bytes. */

enum { OFFSET_INDEX = 0, OFFSET_DATA = 1, OFFSET_DATA_HIGH = 2 };

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    struct vga *vga = device;
    uint16_t value = vga_vbe_read(vga, vga->vbe_index);
    if (offset == OFFSET_INDEX)
        return vga->vbe_index;
    if (offset > OFFSET_DATA_HIGH)
        return 0;
    return offset == OFFSET_DATA_HIGH && size == 1 ? value >> 8 : value;
}

static void port_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct vga *vga = device;
    if (offset == OFFSET_INDEX)
        vga->vbe_index = (uint16_t)value;
    else if (offset == OFFSET_DATA)
        vga->vbe_low = (uint8_t)value;
    else if (offset == OFFSET_DATA_HIGH)
        vga_vbe_write(vga, vga->vbe_index,
                      (uint16_t)(size == 2 ? value : value << 8 | vga->vbe_low));
}

const struct bus_ops vga_vbe_ops = {"VBE", port_read, port_write, 1, 2};
