/* Graphics: a scan line at a time. */
#include "devices/display/vga_internal.h"

enum { DOTS_MAX = 2560 * 2 };

struct painter {
    const struct vga *vga;
    const struct vga_picture *picture;
    uint32_t colors[256]; /* of the DAC, or 16 of the attribute controller */
};

/* --- The VGA's own modes: a dword a time, 8 dots */

static void planar_dots(const struct painter *painter, uint32_t dword, uint32_t out[8])
{
    unsigned planes = painter->vga->attr[ATTR_PLANES];
    for (unsigned i = 0; i < 8; i++) {
        uint32_t bits = dword >> (7 - i);
        unsigned color = (bits & 1) | (bits >> 7 & 2) | (bits >> 14 & 4) | (bits >> 21 & 8);
        out[i] = painter->colors[color & planes];
    }
}

/* Two bits a dot: four from planes 0 and 2, then four from 1 and 3. */
static void cga_dots(const struct painter *painter, uint32_t dword, uint32_t out[8])
{
    unsigned planes = painter->vga->attr[ATTR_PLANES];
    for (unsigned i = 0; i < 8; i++) {
        uint32_t bits = dword >> (i & 4 ? 8 : 0) >> (6 - 2 * (i & 3));
        unsigned color = (bits & 3) | (bits >> 14 & 0xc);
        out[i] = painter->colors[color & planes];
    }
}

static void dots_256(const struct painter *painter, uint32_t dword, uint32_t out[8])
{
    for (unsigned i = 0; i < 8; i++)
        out[i] = painter->colors[dword >> 8 * (i / 2) & 0xff];
}

static void draw_vga_line(const struct painter *painter, struct vga_line line, uint32_t *out)
{
    const struct vga_picture *picture = painter->picture;
    uint32_t buffer[DOTS_MAX + 32], *to = buffer, dots[8];
    for (unsigned i = 0; i < vga_fetches(picture, line); i++) {
        uint32_t dword = vga_fetch(painter->vga, picture, line.address + i);
        if (picture->kind == VGA_256)
            dots_256(painter, dword, dots);
        else if (picture->kind == VGA_CGA)
            cga_dots(painter, dword, dots);
        else
            planar_dots(painter, dword, dots);
        for (unsigned j = 0; j < 8 * picture->scale; j++)
            *to++ = dots[j / picture->scale];
    }
    memcpy(out, buffer + line.pan * picture->scale, picture->width * sizeof(*out));
}

/* --- Linear modes */

static uint32_t widen(unsigned value, unsigned bits)
{
    return value << (8 - bits) | value >> (2 * bits - 8);
}

static uint32_t color_of(unsigned value, unsigned green_bits)
{
    uint32_t red = widen(value >> (5 + green_bits) & 31, 5);
    uint32_t green = widen(value >> 5 & ((1u << green_bits) - 1), green_bits);
    return red << 16 | green << 8 | widen(value & 31, 5);
}

static void draw_linear_line(const struct painter *painter, const uint8_t *in, uint32_t *out)
{
    unsigned width = painter->picture->width;
    switch (painter->picture->bits) {
    case 8:
        for (unsigned x = 0; x < width; x++)
            out[x] = painter->colors[in[x]];
        break;
    case 15:
        for (unsigned x = 0; x < width; x++)
            out[x] = color_of((unsigned)load_le(in + 2 * x, 2), 5);
        break;
    case 16:
        for (unsigned x = 0; x < width; x++)
            out[x] = color_of((unsigned)load_le(in + 2 * x, 2), 6);
        break;
    case 24:
        for (unsigned x = 0; x < width; x++)
            out[x] = (uint32_t)load_le(in + 3 * x, 3);
        break;
    default:
        for (unsigned x = 0; x < width; x++)
            out[x] = (uint32_t)load_le(in + 4 * x, 4) & 0xffffff;
        break;
    }
}

/* --- Lines that have changed */

static bool bytes_taken(const struct vga *vga, size_t start, size_t size)
{
    for (size_t page = start / PAGE_SIZE; page <= (start + size - 1) / PAGE_SIZE; page++) {
        if (vga->taken[page])
            return true;
    }
    return false;
}

static bool line_taken(const struct vga *vga, struct vga_line line)
{
    const struct vga_picture *picture = &vga->picture;
    unsigned first = line.address & (picture->wrap - 1), count = vga_fetches(picture, line);
    if (first + count <= picture->wrap)
        return bytes_taken(vga, 4 * (size_t)first, 4 * (size_t)count);
    return bytes_taken(vga, 4 * (size_t)first, 4 * (size_t)(picture->wrap - first)) ||
           bytes_taken(vga, 0, 4 * (size_t)(first + count - picture->wrap));
}

static void draw_linear(const struct painter *painter, struct display *display,
                        struct surface *surface, bool all)
{
    const struct vga_picture *picture = painter->picture;
    size_t bytes = (size_t)picture->width * (picture->bits == 15 ? 16 : picture->bits) / 8;
    for (unsigned y = 0; y < picture->height; y++) {
        size_t start = picture->start + (size_t)y * picture->pitch;
        if (start + bytes > VGA_MEMORY)
            return;
        if (!all && !bytes_taken(painter->vga, start, bytes))
            continue;
        draw_linear_line(painter, painter->vga->memory + start,
                         surface->pixels + (size_t)y * surface->stride);
        display_mark(display, y, y + 1);
    }
}

static void draw_vga(const struct painter *painter, struct display *display,
                     struct surface *surface, bool all)
{
    struct vga_line drawn = {.address = UINT32_MAX}; /* in the line above */
    for (unsigned y = 0; y < surface->height; y++) {
        struct vga_line line = vga_line_at(painter->picture, y);
        uint32_t *out = surface->pixels + (size_t)y * surface->stride;
        if (!all && !line_taken(painter->vga, line)) {
            drawn.address = UINT32_MAX;
            continue;
        }
        if (line.address == drawn.address && line.pan == drawn.pan)
            memcpy(out, out - surface->stride, surface->width * sizeof(*out));
        else
            draw_vga_line(painter, line, out);
        drawn = line;
        display_mark(display, y, y + 1);
    }
}

void vga_draw_graphics(struct vga *vga, struct display *display, struct surface *surface, bool all)
{
    struct painter painter = {.vga = vga, .picture = &vga->picture};
    if (vga->picture.kind == VGA_PLANAR || vga->picture.kind == VGA_CGA) {
        vga_attribute_colors(vga, painter.colors);
    } else {
        for (unsigned i = 0; i < 256; i++)
            painter.colors[i] = vga_dac_color(vga, (uint8_t)i);
    }
    if (vga->picture.kind == VGA_LINEAR)
        draw_linear(&painter, display, surface, all);
    else
        draw_vga(&painter, display, surface, all);
}
