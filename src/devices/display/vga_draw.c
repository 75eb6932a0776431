/* From the registers to a picture: which mode it is, and where its lines are in memory. */
#include "devices/display/vga_internal.h"

/* What a blank screen has, as there is no mode to tell. */
enum { BLANK_WIDTH = 640, BLANK_HEIGHT = 480 };

/* --- Colours */

uint32_t vga_dac_color(const struct vga *vga, uint8_t index)
{
    const uint8_t *part = vga->dac[index & vga->dac_mask];
    uint32_t color = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t value = part[i];
        if (!(vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
            value = (uint8_t)((value & 0x3f) << 2 | (value & 0x3f) >> 4);
        color = color << 8 | value;
    }
    return color;
}

void vga_attribute_colors(const struct vga *vga, uint32_t colors[16])
{
    const uint8_t *attr = vga->attr;
    for (unsigned i = 0; i < 16; i++) {
        unsigned index = attr[i] | (attr[ATTR_COLOR_SELECT] & 0x0c) << 4;
        if (attr[ATTR_MODE] & ATTR_MODE_COLOR_45)
            index = (index & ~0x30u) | (attr[ATTR_COLOR_SELECT] & 3) << 4;
        colors[i] = vga_dac_color(vga, (uint8_t)index);
    }
}

/* --- Modes */

static struct vga_picture linear_picture(const struct vga *vga)
{
    const uint16_t *vbe = vga->vbe;
    struct vga_picture picture = {
        .kind = VGA_LINEAR,
        .width = vbe[VBE_XRES],
        .height = vbe[VBE_YRES],
        .bits = vbe[VBE_BPP],
        .pitch = vga_vbe_pitch(vga),
    };
    unsigned pixels = vbe[VBE_X_OFFSET];
    unsigned bytes = picture.bits == 15 ? 2 * pixels : pixels * picture.bits / 8;
    picture.start = vbe[VBE_Y_OFFSET] * picture.pitch + bytes;
    if (picture.bits != 4)
        return picture;
    picture.kind = VGA_PLANAR;
    picture.start /= 4;
    picture.pitch /= 4;
    picture.wrap = VGA_DWORDS;
    picture.chars = picture.width / 8;
    picture.dots = 8;
    picture.scale = picture.rows = picture.repeat = 1;
    picture.split = UINT32_MAX;
    picture.pan = picture.pan_split = pixels % 8;
    return picture;
}

static enum vga_kind kind_of(const struct vga *vga)
{
    if (!(vga->gc[GC_MISC] & GC_MISC_GRAPHICS))
        return VGA_TEXT;
    if (vga->gc[GC_MODE] & GC_MODE_256)
        return VGA_256;
    return vga->gc[GC_MODE] & GC_MODE_INTERLEAVE ? VGA_CGA : VGA_PLANAR;
}

/* By how many bits the CRTC's addresses are shifted: in word and doubleword mode. */
static unsigned address_shift(const struct vga *vga)
{
    if (vga->crtc[CRTC_UNDERLINE] & CRTC_UNDERLINE_DWORD)
        return 2;
    return vga->crtc[CRTC_MODE] & CRTC_MODE_BYTE ? 0 : 1;
}

/* The attribute controller's panning: in text of 9 dots 8 stands for none; with 256 colours a pixel
 * is two. */
static unsigned panning(const struct vga *vga, const struct vga_picture *picture)
{
    unsigned value = vga->attr[ATTR_PANNING];
    if (picture->kind == VGA_TEXT && picture->dots == 9)
        return (value + 1) % 9;
    return value & 7;
}

static struct vga_picture vga_picture(const struct vga *vga)
{
    const uint8_t *crtc = vga->crtc;
    struct vga_picture picture = {.kind = kind_of(vga), .wrap = VGA_PLANE};
    bool wide = picture.kind == VGA_TEXT && !(vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8_DOTS);
    picture.chars = crtc[CRTC_H_DISPLAY] + 1u;
    picture.dots = wide ? 9 : 8;
    picture.scale = vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF ? 2 : 1;
    picture.width = picture.chars * picture.dots * picture.scale;
    picture.height = vga_display_end(vga);
    picture.start = vga_crtc_word(vga, CRTC_START) + (crtc[CRTC_PRESET_ROW] >> 5 & 3);
    picture.pitch = crtc[CRTC_OFFSET] * 2u;
    picture.rows = (crtc[CRTC_MAX_ROW] & 0x1f) + 1u;
    picture.repeat = crtc[CRTC_MAX_ROW] & CRTC_MAX_ROW_DOUBLE ? 2 : 1;
    picture.preset = crtc[CRTC_PRESET_ROW] & 0x1f;
    picture.split = vga_crtc_vertical(vga, CRTC_LINE_COMPARE, 4, 31) | (crtc[CRTC_MAX_ROW] & 0x40u)
                                                                           << 3;
    picture.pan = panning(vga, &picture);
    picture.pan_split = vga->attr[ATTR_MODE] & ATTR_MODE_PANNING ? 0 : picture.pan;
    if (!(crtc[CRTC_MODE] & CRTC_MODE_NO_CGA))
        picture.bit13 = 1u << (13 - address_shift(vga));
    if (!(crtc[CRTC_MODE] & CRTC_MODE_NO_HERCULES))
        picture.bit14 = 1u << (14 - address_shift(vga));
    return picture;
}

static bool is_blank(const struct vga *vga)
{
    return !(vga->attr_index & ATTR_INDEX_VIDEO) || vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_OFF;
}

static struct vga_picture picture_of(const struct vga *vga)
{
    struct vga_picture picture = vga_vbe_enabled(vga) ? linear_picture(vga) : vga_picture(vga);
    if (!is_blank(vga))
        return picture;
    return (struct vga_picture){.kind = VGA_BLANK, .width = BLANK_WIDTH, .height = BLANK_HEIGHT};
}

struct vga_line vga_line_at(const struct vga_picture *picture, unsigned y)
{
    bool below = y > picture->split;
    unsigned line =
        below ? (y - picture->split - 1) / picture->repeat : y / picture->repeat + picture->preset;
    struct vga_line at = {
        .address = (below ? 0 : picture->start) + line / picture->rows * picture->pitch,
        .row = line % picture->rows,
        .pan = below ? picture->pan_split : picture->pan,
    };
    if (picture->bit13)
        at.address = (at.address & ~picture->bit13) | (at.row & 1) * picture->bit13;
    if (picture->bit14)
        at.address = (at.address & ~picture->bit14) | (at.row >> 1 & 1) * picture->bit14;
    return at;
}

/* --- Drawing */

/* Takes which pages were written. Stores that come from now on are noted anew. */
static void take_written(struct vga *vga)
{
    const struct direct_memory *direct = &vga->config.direct;
    bool any = false;
    for (unsigned i = 0; i < VGA_PAGES; i++) {
        vga->taken[i] = __atomic_load_n(&vga->written[i], __ATOMIC_RELAXED);
        if (vga->taken[i])
            __atomic_store_n(&vga->written[i], 0, __ATOMIC_SEQ_CST);
        any |= vga->taken[i];
    }
    if (any && direct->ops)
        direct->ops->rearm(direct->opaque);
}

static void draw_blank(struct display *display, struct surface *surface)
{
    for (unsigned y = 0; y < surface->height; y++)
        memset(surface->pixels + (size_t)y * surface->stride, 0,
               surface->width * sizeof(*surface->pixels));
    display_mark(display, 0, surface->height);
}

uint64_t vga_draw(void *device, struct display *display)
{
    struct vga *vga = device;
    struct vga_picture picture = picture_of(vga);
    uint64_t again = DISPLAY_NEVER;
    bool fresh;
    struct surface *surface = display_resize(display, picture.width, picture.height, &fresh);
    if (!surface)
        return again;
    bool all = fresh || vga->redraw || memcmp(&picture, &vga->picture, sizeof(picture)) != 0;
    vga->picture = picture;
    vga->redraw = false;
    take_written(vga);
    if (picture.kind == VGA_TEXT)
        again = vga_draw_text(vga, display, surface, all);
    else if (picture.kind != VGA_BLANK)
        vga_draw_graphics(vga, display, surface, all);
    else if (all)
        draw_blank(display, surface);
    return again;
}
