/* The VGA's ports. */
#include "devices/display/vga_internal.h"

enum {
    PORT_ATTR = 0x3c0,
    PORT_ATTR_READ = 0x3c1,
    PORT_MISC = 0x3c2, /* read: input status 0 */
    PORT_SEQ_INDEX = 0x3c4,
    PORT_SEQ = 0x3c5,
    PORT_DAC_MASK = 0x3c6,
    PORT_DAC_READ = 0x3c7, /* read: the DAC's state */
    PORT_DAC_WRITE = 0x3c8,
    PORT_DAC = 0x3c9,
    PORT_FEATURE_READ = 0x3ca,
    PORT_MISC_READ = 0x3cc,
    PORT_GC_INDEX = 0x3ce,
    PORT_GC = 0x3cf,
    PORT_CRTC_INDEX = 0x3d4, /* these are at 3Bx for a monochrome display */
    PORT_CRTC = 0x3d5,
    PORT_STATUS = 0x3da, /* write: feature control */
    MONO_TO_COLOR = 0x20,
};

enum { STATUS_DISABLED = 1 << 0, STATUS_RETRACE = 1 << 3 };

void vga_state_changed(struct vga *vga)
{
    vga->redraw = true;
    display_changed(vga->config.display);
}

static void set(struct vga *vga, uint8_t *reg, uint8_t value)
{
    if (*reg == value)
        return;
    *reg = value;
    vga_state_changed(vga);
}

/* --- Input status 1: where the beam is, by the guest's clock */

static uint64_t dot_clock(const struct vga *vga)
{
    uint64_t hz = (vga->misc >> MISC_CLOCK_SHIFT & 3) == 1 ? 28322000 : 25175000;
    return vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF ? hz / 2 : hz;
}

static uint8_t status(const struct vga *vga)
{
    unsigned dots = vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8_DOTS ? 8 : 9;
    unsigned line_dots = (vga->crtc[CRTC_H_TOTAL] + 5u) * dots;
    unsigned lines = vga_crtc_vertical(vga, CRTC_V_TOTAL, 0, 5) + 2;
    uint64_t beam = (uint64_t)((unsigned __int128)clock_now(vga->config.clock) * dot_clock(vga) /
                               NS_PER_SECOND % ((uint64_t)line_dots * lines));
    unsigned line = (unsigned)(beam / line_dots), dot = (unsigned)(beam % line_dots);
    unsigned retrace = vga_crtc_vertical(vga, CRTC_V_RETRACE_START, 2, 7);
    unsigned length = (vga->crtc[CRTC_V_RETRACE_END] - retrace) & 15;
    uint8_t bits = 0;
    if (line >= vga_display_end(vga) || dot >= (vga->crtc[CRTC_H_DISPLAY] + 1u) * dots)
        bits |= STATUS_DISABLED;
    if (line >= retrace && line - retrace < length)
        bits |= STATUS_RETRACE | STATUS_DISABLED;
    return bits;
}

/* --- The indexed parts */

static void write_attr(struct vga *vga, uint8_t value)
{
    static const uint8_t masks[] = {[ATTR_MODE] = 0xef,
                                    [ATTR_OVERSCAN] = 0xff,
                                    [ATTR_PLANES] = 0x3f,
                                    [ATTR_PANNING] = 0x0f,
                                    [ATTR_COLOR_SELECT] = 0x0f};
    unsigned index = vga->attr_index & 0x1f;
    if (!vga->attr_data)
        set(vga, &vga->attr_index, value & 0x3f);
    else if (index < ATTR_REGS)
        set(vga, &vga->attr[index], value & (index < ATTR_MODE ? 0x3f : masks[index]));
    vga->attr_data = !vga->attr_data;
}

static void write_seq(struct vga *vga, uint8_t value)
{
    static const uint8_t masks[SEQ_REGS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
    if (vga->seq_index >= SEQ_REGS)
        return;
    value &= masks[vga->seq_index];
    if (vga->seq_index == SEQ_MAP_MASK)
        vga->seq[SEQ_MAP_MASK] = value; /* changes no picture, and often */
    else
        set(vga, &vga->seq[vga->seq_index], value);
    vga_update_window(vga);
}

static void write_gc(struct vga *vga, uint8_t value)
{
    static const uint8_t masks[GC_REGS] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
    if (vga->gc_index >= GC_REGS)
        return;
    value &= masks[vga->gc_index];
    if (vga->gc_index != GC_MODE && vga->gc_index != GC_MISC) {
        vga->gc[vga->gc_index] = value;
        return;
    }
    set(vga, &vga->gc[vga->gc_index], value);
    vga_update_window(vga);
}

static void write_crtc(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index;
    if (index >= CRTC_REGS)
        return;
    if (index <= CRTC_OVERFLOW && vga->crtc[CRTC_V_RETRACE_END] & CRTC_PROTECT) {
        if (index != CRTC_OVERFLOW)
            return;
        value = (value & 0x10) | (vga->crtc[CRTC_OVERFLOW] & ~0x10); /* line compare */
    }
    if (index == CRTC_CURSOR_START || index == CRTC_CURSOR_END || index == CRTC_CURSOR ||
        index == CRTC_CURSOR + 1) {
        vga->crtc[index] = value; /* the text's drawing sees to it */
        display_changed(vga->config.display);
    } else {
        set(vga, &vga->crtc[index], value);
    }
}

/* --- The DAC: three parts a colour */

static void write_dac(struct vga *vga, uint8_t value)
{
    vga->dac_latch[vga->dac_part++] = value;
    if (vga->dac_part < 3)
        return;
    vga->dac_part = 0;
    uint8_t *color = vga->dac[vga->dac_write++];
    if (!memcmp(color, vga->dac_latch, 3))
        return;
    memcpy(color, vga->dac_latch, 3);
    vga_state_changed(vga);
}

static uint8_t read_dac(struct vga *vga)
{
    uint8_t value = vga->dac[vga->dac_read][vga->dac_part++];
    if (vga->dac_part == 3) {
        vga->dac_part = 0;
        vga->dac_read++;
    }
    return value;
}

/* --- Ports */

static bool is_absent(const struct vga *vga, unsigned *port)
{
    bool color = vga->misc & MISC_COLOR;
    if (*port < VGA_PORT) {
        *port += MONO_TO_COLOR;
        return color;
    }
    return *port >= 0x3d0 && !color;
}

uint8_t vga_read_port(struct vga *vga, unsigned port)
{
    if (is_absent(vga, &port))
        return 0xff;
    switch (port) {
    case PORT_ATTR:
        return vga->attr_data ? 0 : vga->attr_index;
    case PORT_ATTR_READ:
        return (vga->attr_index & 0x1f) < ATTR_REGS ? vga->attr[vga->attr_index & 0x1f] : 0;
    case PORT_MISC:
        return 0;
    case PORT_SEQ_INDEX:
        return vga->seq_index;
    case PORT_SEQ:
        return vga->seq_index < SEQ_REGS ? vga->seq[vga->seq_index] : 0;
    case PORT_DAC_MASK:
        return vga->dac_mask;
    case PORT_DAC_READ:
        return vga->dac_reading ? 3 : 0;
    case PORT_DAC_WRITE:
        return vga->dac_write;
    case PORT_DAC:
        return read_dac(vga);
    case PORT_FEATURE_READ:
        return vga->feature;
    case PORT_MISC_READ:
        return vga->misc;
    case PORT_GC_INDEX:
        return vga->gc_index;
    case PORT_GC:
        return vga->gc_index < GC_REGS ? vga->gc[vga->gc_index] : 0;
    case PORT_CRTC_INDEX:
        return vga->crtc_index;
    case PORT_CRTC:
        return vga->crtc_index < CRTC_REGS ? vga->crtc[vga->crtc_index] : 0;
    case PORT_STATUS:
        vga->attr_data = false;
        return status(vga);
    default:
        return 0xff;
    }
}

void vga_write_port(struct vga *vga, unsigned port, uint8_t value)
{
    if (is_absent(vga, &port))
        return;
    switch (port) {
    case PORT_ATTR:
        write_attr(vga, value);
        break;
    case PORT_MISC:
        set(vga, &vga->misc, value & ~0x10);
        vga_update_window(vga);
        break;
    case PORT_SEQ_INDEX:
        vga->seq_index = value & 7;
        break;
    case PORT_SEQ:
        write_seq(vga, value);
        break;
    case PORT_DAC_MASK:
        set(vga, &vga->dac_mask, value);
        break;
    case PORT_DAC_READ:
    case PORT_DAC_WRITE:
        vga->dac_reading = port == PORT_DAC_READ;
        *(vga->dac_reading ? &vga->dac_read : &vga->dac_write) = value;
        vga->dac_part = 0;
        break;
    case PORT_DAC:
        write_dac(vga, value);
        break;
    case PORT_GC_INDEX:
        vga->gc_index = value & 15;
        break;
    case PORT_GC:
        write_gc(vga, value);
        break;
    case PORT_CRTC_INDEX:
        vga->crtc_index = value;
        break;
    case PORT_CRTC:
        write_crtc(vga, value);
        break;
    case PORT_STATUS:
        vga->feature = value & 0x10;
        break;
    }
}

void vga_reset_registers(struct vga *vga)
{
    vga->latch = 0;
    vga->misc = vga->feature = 0;
    vga->seq_index = vga->gc_index = vga->crtc_index = vga->attr_index = 0;
    vga->attr_data = vga->dac_reading = false;
    memset(vga->seq, 0, sizeof(vga->seq));
    memset(vga->gc, 0, sizeof(vga->gc));
    memset(vga->crtc, 0, sizeof(vga->crtc));
    memset(vga->attr, 0, sizeof(vga->attr));
    memset(vga->dac, 0, sizeof(vga->dac));
    vga->dac_mask = 0xff;
    vga->dac_read = vga->dac_write = vga->dac_part = 0;
    vga_state_changed(vga);
}

static uint64_t read_mono(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_read_port(device, VGA_MONO_PORT + (unsigned)offset);
}

static void write_mono(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_write_port(device, VGA_MONO_PORT + (unsigned)offset, (uint8_t)value);
}

static uint64_t read_ports(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_read_port(device, VGA_PORT + (unsigned)offset);
}

static void write_ports(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_write_port(device, VGA_PORT + (unsigned)offset, (uint8_t)value);
}

const struct bus_ops vga_mono_ops = {"VGA", read_mono, write_mono, 1, 1};
const struct bus_ops vga_ports_ops = {"VGA", read_ports, write_ports, 1, 1};
