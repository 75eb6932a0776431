/* Text: characters from planes 0 and 1, their shapes from plane 2. */
#include "devices/display/vga_internal.h"

enum {
    CHANGE_NS = 133333333,  /* the cursor blinks every 8 frames of a 60th second, characters 16 */
    CHARACTER = 0x0000ffff, /* and attribute, of a dword */
    SHAPE = 0x00ff0000,
    DOTS_MAX = 256 * 9 * 2,
};

/* A screen's text as it is drawn now. */
struct text {
    const struct vga *vga;
    const struct vga_picture *picture;
    struct vga_cursor cursor;
    unsigned font[2]; /* in plane 2, by attribute bit 3 */
    uint32_t colors[16];
    bool hidden;
};

/* --- A line */

static unsigned font_of(unsigned select)
{
    return ((select & 3) << 1 | select >> 2) * 0x2000;
}

static uint8_t shape_of(const struct text *text, uint8_t character, uint8_t attribute, unsigned row)
{
    unsigned at = text->font[attribute >> 3 & 1] + character * 32u + row;
    return text->vga->memory[4 * (size_t)at + 2];
}

static bool blinks(const struct vga *vga, uint8_t attribute)
{
    return attribute & 0x80 && vga->attr[ATTR_MODE] & ATTR_MODE_BLINK;
}

static bool has_cursor(const struct text *text, unsigned address, unsigned row)
{
    const struct vga_cursor *cursor = &text->cursor;
    return cursor->visible && cursor->address == address && row >= cursor->first &&
           row <= cursor->last;
}

/* The dots of a character's row; the ninth repeats the eighth in line graphics. */
static unsigned dots_of(const struct text *text, uint32_t cell, unsigned address, unsigned row)
{
    const struct vga *vga = text->vga;
    uint8_t character = (uint8_t)cell, attribute = (uint8_t)(cell >> 8);
    unsigned dots = (unsigned)shape_of(text, character, attribute, row) << 1;
    if (vga->attr[ATTR_MODE] & ATTR_MODE_LINE_GRAPHICS && (character & 0xe0) == 0xc0)
        dots |= dots >> 1 & 1;
    if ((attribute & 0x77) == 1 && row == (vga->crtc[CRTC_UNDERLINE] & 0x1fu))
        dots = 0x1ff;
    if (blinks(vga, attribute) && text->hidden)
        dots = 0;
    return has_cursor(text, address, row) ? 0x1ff : dots;
}

static void draw_line(const struct text *text, struct vga_line line, uint32_t *out)
{
    const struct vga_picture *picture = text->picture;
    uint32_t buffer[DOTS_MAX + 18], *to = buffer;
    for (unsigned column = 0; column < vga_fetches(picture, line); column++) {
        unsigned address = (line.address + column) & (picture->wrap - 1);
        uint32_t cell = vga_fetch(text->vga, picture, address);
        unsigned dots = dots_of(text, cell, address, line.row);
        uint8_t back = cell >> 12 & 15;
        if (text->vga->attr[ATTR_MODE] & ATTR_MODE_BLINK)
            back &= 7;
        for (unsigned i = 0; i < picture->dots; i++) {
            uint32_t color = text->colors[dots & 0x100 >> i ? cell >> 8 & 15 : back];
            for (unsigned j = 0; j < picture->scale; j++)
                *to++ = color;
        }
    }
    memcpy(out, buffer + line.pan * picture->scale, picture->width * sizeof(*out));
}

/* --- What has changed */

/* Looks at pages that were written, or at all. True: shapes have changed. */
static bool note_changes(struct vga *vga, bool all)
{
    struct vga_screen_text *shown = &vga->text;
    bool shapes = false;
    for (unsigned i = 0; i < VGA_PLANE; i++) {
        if (!all && !vga->taken[i * 4 / PAGE_SIZE]) {
            i |= PAGE_SIZE / 4 - 1;
            continue;
        }
        uint32_t now = (uint32_t)load_le(vga->memory + 4 * (size_t)i, 4);
        uint32_t changes = now ^ shown->dwords[i];
        shown->dwords[i] = now;
        shown->changed[i] = changes & CHARACTER ? 1 : shown->changed[i];
        shapes |= changes & SHAPE;
    }
    return shapes;
}

static struct vga_cursor cursor_of(const struct vga *vga, bool phase)
{
    const uint8_t *crtc = vga->crtc;
    return (struct vga_cursor){
        .address = vga_crtc_word(vga, CRTC_CURSOR),
        .first = crtc[CRTC_CURSOR_START] & 0x1f,
        .last = crtc[CRTC_CURSOR_END] & 0x1f,
        .visible = phase && !(crtc[CRTC_CURSOR_START] & CRTC_CURSOR_OFF),
    };
}

static bool touches_cursor(const struct vga_picture *picture, const struct vga_cursor *cursor,
                           struct vga_line line)
{
    return ((cursor->address - line.address) & (picture->wrap - 1)) < vga_fetches(picture, line);
}

static bool same_cursor(const struct vga_cursor *a, const struct vga_cursor *b)
{
    return a->address == b->address && a->first == b->first && a->last == b->last &&
           a->visible == b->visible;
}

/* Whether the line's row of characters is to be drawn anew. */
static bool row_changed(const struct text *text, struct vga_line line, bool blinked)
{
    const struct vga_picture *picture = text->picture;
    const struct vga_screen_text *shown = &text->vga->text;
    for (unsigned column = 0; column < vga_fetches(picture, line); column++) {
        unsigned at = (line.address + column) & (picture->wrap - 1);
        if (shown->changed[at])
            return true;
        if (blinked && blinks(text->vga, (uint8_t)(shown->dwords[at] >> 8)))
            return true;
    }
    return !same_cursor(&text->cursor, &shown->cursor) &&
           (touches_cursor(picture, &text->cursor, line) ||
            touches_cursor(picture, &shown->cursor, line));
}

static bool screen_blinks(const struct vga *vga)
{
    for (unsigned i = 0; i < VGA_PLANE && vga->attr[ATTR_MODE] & ATTR_MODE_BLINK; i++) {
        if (vga->text.dwords[i] & 0x8000)
            return true;
    }
    return false;
}

static void draw_rows(struct text *text, struct display *display, struct surface *surface, bool all,
                      bool blinked)
{
    unsigned first_of_row = UINT32_MAX;
    bool changed = false;
    for (unsigned y = 0; y < surface->height; y++) {
        struct vga_line line = vga_line_at(text->picture, y);
        if (line.address != first_of_row)
            changed = all || row_changed(text, line, blinked);
        first_of_row = line.address;
        if (!changed)
            continue;
        draw_line(text, line, surface->pixels + (size_t)y * surface->stride);
        display_mark(display, y, y + 1);
    }
}

uint64_t vga_draw_text(struct vga *vga, struct display *display, struct surface *surface, bool all)
{
    struct vga_screen_text *shown = &vga->text;
    uint64_t phase = clock_now(vga->config.clock) / CHANGE_NS;
    struct text text = {
        .vga = vga,
        .picture = &vga->picture,
        .cursor = cursor_of(vga, !(phase & 1)),
        .font = {font_of((vga->seq[SEQ_CHARACTER_MAP] >> 4 & 1) << 2 |
                         (vga->seq[SEQ_CHARACTER_MAP] & 3)),
                 font_of((vga->seq[SEQ_CHARACTER_MAP] >> 5 & 1) << 2 |
                         (vga->seq[SEQ_CHARACTER_MAP] >> 2 & 3))},
        .hidden = phase & 2,
    };
    vga_attribute_colors(vga, text.colors);
    all |= note_changes(vga, all);
    draw_rows(&text, display, surface, all, text.hidden != shown->hidden);
    memset(shown->changed, 0, sizeof(shown->changed));
    shown->cursor = text.cursor;
    shown->hidden = text.hidden;
    bool cursor = !(vga->crtc[CRTC_CURSOR_START] & CRTC_CURSOR_OFF);
    if (!cursor && !screen_blinks(vga))
        return DISPLAY_NEVER;
    return CHANGE_NS - clock_now(vga->config.clock) % CHANGE_NS;
}
