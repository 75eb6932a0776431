/* What the parts of the VGA share. Registers have IBM's names (VGA Technical Reference).
 *
 * Memory is kept by address: dword n holds byte n of the four planes. What the CRTC fetches at its
 * address n is dword n, in all modes; chain-4 and VBE's modes see the dwords as bytes in a row. */
#ifndef DOPPEL_DEVICES_DISPLAY_VGA_INTERNAL_H
#define DOPPEL_DEVICES_DISPLAY_VGA_INTERNAL_H

#include "backends/display/display.h"
#include "base/bits.h"
#include "bus/clock.h"
#include "devices/display/vga.h"
#include "devices/pci/pci_bus.h"

enum {
    VGA_MEMORY = 16 << 20,
    VGA_PAGES = VGA_MEMORY / PAGE_SIZE,
    VGA_DWORDS = VGA_MEMORY / 4,
    VGA_PLANE = 0x10000, /* bytes of a plane as IBM has them: where addresses wrap */
    VGA_EDID = 128,
    VGA_ROM = 0x10000,
};

enum vga_sequencer {
    SEQ_RESET,
    SEQ_CLOCKING,
    SEQ_MAP_MASK,
    SEQ_CHARACTER_MAP,
    SEQ_MEMORY,
    SEQ_REGS
};
enum {
    SEQ_CLOCKING_8_DOTS = 1 << 0,
    SEQ_CLOCKING_HALF = 1 << 3, /* the dot clock by two */
    SEQ_CLOCKING_OFF = 1 << 5,  /* the screen */
    SEQ_MEMORY_CHAIN_4 = 1 << 3,
};

enum vga_graphics {
    GC_SET_RESET,
    GC_ENABLE_SET_RESET,
    GC_COMPARE,
    GC_ROTATE,
    GC_READ_MAP,
    GC_MODE,
    GC_MISC,
    GC_DONT_CARE,
    GC_BIT_MASK,
    GC_REGS
};
enum {
    GC_MODE_READ_COMPARE = 1 << 3,
    GC_MODE_ODD_EVEN = 1 << 4,
    GC_MODE_SHIFT = 3 << 5, /* interleave; 256 colours */
    GC_MODE_INTERLEAVE = 1 << 5,
    GC_MODE_256 = 1 << 6,
    GC_MISC_GRAPHICS = 1 << 0,
    GC_MISC_MAP_SHIFT = 2,
};

enum vga_attribute {
    ATTR_MODE = 0x10,
    ATTR_OVERSCAN,
    ATTR_PLANES,
    ATTR_PANNING,
    ATTR_COLOR_SELECT,
    ATTR_REGS
};
enum {
    ATTR_INDEX_VIDEO = 1 << 5,
    ATTR_MODE_LINE_GRAPHICS = 1 << 2,
    ATTR_MODE_BLINK = 1 << 3,
    ATTR_MODE_PANNING = 1 << 5, /* stops at the split */
    ATTR_MODE_COLOR_45 = 1 << 7,
};

enum vga_crtc {
    CRTC_H_TOTAL = 0x00,
    CRTC_H_DISPLAY = 0x01,
    CRTC_V_TOTAL = 0x06,
    CRTC_OVERFLOW = 0x07,
    CRTC_PRESET_ROW = 0x08,
    CRTC_MAX_ROW = 0x09,
    CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b,
    CRTC_START = 0x0c, /* high, low */
    CRTC_CURSOR = 0x0e,
    CRTC_V_RETRACE_START = 0x10,
    CRTC_V_RETRACE_END = 0x11,
    CRTC_V_DISPLAY = 0x12,
    CRTC_OFFSET = 0x13,
    CRTC_UNDERLINE = 0x14,
    CRTC_MODE = 0x17,
    CRTC_LINE_COMPARE = 0x18,
    CRTC_REGS = 0x19,
};
enum {
    CRTC_MAX_ROW_DOUBLE = 1 << 7,
    CRTC_CURSOR_OFF = 1 << 5,
    CRTC_PROTECT = 1 << 7, /* of V_RETRACE_END: registers 0 to 7 */
    CRTC_UNDERLINE_DWORD = 1 << 6,
    CRTC_MODE_NO_CGA = 1 << 0,      /* clear: row 0's bit takes address bit 13's place */
    CRTC_MODE_NO_HERCULES = 1 << 1, /* likewise 1's and 14's */
    CRTC_MODE_BYTE = 1 << 6,
};

enum { MISC_COLOR = 1 << 0, MISC_RAM = 1 << 1, MISC_CLOCK_SHIFT = 2 };

/* Bochs' display interface. */
enum vga_vbe {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRTUAL_WIDTH,
    VBE_VIRTUAL_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
    VBE_REGS
};
enum {
    VBE_ENABLED = 1 << 0,
    VBE_CAPABILITIES = 1 << 1, /* XRES, YRES and BPP tell the most there can be */
    VBE_8BIT_DAC = 1 << 5,
    VBE_KEEP_MEMORY = 1 << 7,
};

/* What the registers make of memory. Addresses and distances are in dwords, but for VGA_LINEAR. */
enum vga_kind { VGA_BLANK, VGA_TEXT, VGA_PLANAR, VGA_CGA, VGA_256, VGA_LINEAR };
struct vga_picture {
    enum vga_kind kind;
    unsigned width, height; /* dots */
    unsigned start, pitch;  /* VGA_LINEAR: bytes */
    unsigned bits;          /* VGA_LINEAR: of a pixel */
    unsigned wrap;          /* addresses are taken modulo this power of two */
    unsigned chars;         /* of a line */
    unsigned dots;          /* of a character, by `scale` each */
    unsigned scale;
    unsigned rows; /* scan lines of a character, by `repeat` each */
    unsigned repeat, preset;
    unsigned split;        /* after this line comes what is at address 0 */
    unsigned pan;          /* dots to the left, by `scale` */
    unsigned pan_split;    /* likewise behind the split */
    unsigned bit13, bit14; /* where the row's bits go into the address, for CGA modes; or 0 */
};

/* A scan line: where its characters are, and which row of them it shows. */
struct vga_line {
    unsigned address, row, pan;
};

struct vga_cursor {
    unsigned address;
    uint8_t first, last; /* rows */
    bool visible;
};

/* The text that is on the surface. */
struct vga_screen_text {
    uint32_t dwords[VGA_PLANE]; /* as drawn */
    uint8_t changed[VGA_PLANE]; /* since; all 0 between draws */
    struct vga_cursor cursor;
    bool hidden; /* blinking characters are */
};

struct vga {
    struct pci_function pci;
    struct vga_config config;
    uint8_t *memory;
    uint8_t rom[VGA_ROM], edid[VGA_EDID];

    uint32_t latch;
    uint8_t misc, feature;
    uint8_t seq_index, seq[SEQ_REGS];
    uint8_t gc_index, gc[GC_REGS];
    uint8_t crtc_index, crtc[CRTC_REGS];
    uint8_t attr_index, attr[ATTR_REGS];
    bool attr_data; /* the next write to 3C0 is data */
    uint8_t dac_mask, dac_read, dac_write, dac_part;
    bool dac_reading;
    uint8_t dac_latch[3], dac[256][3];
    uint16_t vbe_index, vbe[VBE_REGS];
    uint8_t vbe_low; /* of a word that comes as bytes */

    uint8_t written[VGA_PAGES];
    struct direct_ram frame_buffer; /* BAR 0 */
    struct direct_ram window;       /* at A0000, while chain-4 makes it memory in a row */
    uint64_t window_base;           /* 0: not shown */

    bool redraw;                /* registers have changed */
    uint8_t taken[VGA_PAGES];   /* pages to draw */
    struct vga_picture picture; /* on the surface */
    struct vga_screen_text text;
};

/* vga_registers.c */
uint8_t vga_read_port(struct vga *vga, unsigned port);
void vga_write_port(struct vga *vga, unsigned port, uint8_t value);
void vga_reset_registers(struct vga *vga);
static inline unsigned vga_crtc_word(const struct vga *vga, enum vga_crtc high)
{
    return (unsigned)vga->crtc[high] << 8 | vga->crtc[high + 1];
}
/* Bits 8 and 9 of a vertical register are in the overflow register. */
static inline unsigned vga_crtc_vertical(const struct vga *vga, enum vga_crtc reg, unsigned bit8,
                                         unsigned bit9)
{
    unsigned overflow = vga->crtc[CRTC_OVERFLOW];
    return vga->crtc[reg] | (overflow >> bit8 & 1) << 8 | (overflow >> bit9 & 1) << 9;
}
static inline unsigned vga_display_end(const struct vga *vga)
{
    return vga_crtc_vertical(vga, CRTC_V_DISPLAY, 1, 6) + 1;
}
/* What is on the screen is another picture. */
void vga_state_changed(struct vga *vga);

/* vga_memory.c: after a change of what decides how the window is reached. */
void vga_update_window(struct vga *vga);

/* vga_vbe.c */
void vga_vbe_reset(struct vga *vga);
uint16_t vga_vbe_read(struct vga *vga, unsigned index);
void vga_vbe_write(struct vga *vga, unsigned index, uint16_t value);
static inline bool vga_vbe_enabled(const struct vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}
static inline unsigned vga_vbe_pitch(const struct vga *vga)
{
    unsigned bits = vga->vbe[VBE_BPP] == 15 ? 16 : vga->vbe[VBE_BPP];
    return vga->vbe[VBE_VIRTUAL_WIDTH] * bits / 8;
}

/* vga_draw.c: a display_draw_fn. */
uint64_t vga_draw(void *vga, struct display *display);
uint32_t vga_dac_color(const struct vga *vga, uint8_t index);
/* The 16 colours of the attribute controller. */
void vga_attribute_colors(const struct vga *vga, uint32_t colors[16]);
struct vga_line vga_line_at(const struct vga_picture *picture, unsigned y);
/* How many characters a line fetches: with panning one more. */
static inline unsigned vga_fetches(const struct vga_picture *picture, struct vga_line line)
{
    return picture->chars + (line.pan ? 1 : 0);
}
static inline uint32_t vga_fetch(const struct vga *vga, const struct vga_picture *picture,
                                 unsigned address)
{
    return (uint32_t)load_le(vga->memory + 4 * (size_t)(address & (picture->wrap - 1)), 4);
}

/* vga_text.c and vga_graphics.c: draw what has changed, or all of it; vga_draw_text() returns in
 * how many ns something blinks. */
uint64_t vga_draw_text(struct vga *vga, struct display *display, struct surface *surface, bool all);
void vga_draw_graphics(struct vga *vga, struct display *display, struct surface *surface, bool all);

/* vga_edid.c */
void vga_make_edid(uint8_t edid[VGA_EDID]);

#endif
