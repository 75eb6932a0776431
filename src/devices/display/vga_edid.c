/* The EDID of the display that is plugged in (VESA E-EDID standard, release A2). */
#include "devices/display/vga_internal.h"

/* Pixels and lines; the clock in 10 kHz. */
struct timing {
    unsigned clock, width, h_blank, h_front, h_sync, height, v_blank, v_front, v_sync;
};

enum { WIDTH_MM = 320, HEIGHT_MM = 240, DESCRIPTORS = 54, DESCRIPTOR = 18 };

static void put_timing(uint8_t *d, const struct timing *t)
{
    store_le(d, t->clock, 2);
    d[2] = (uint8_t)t->width;
    d[3] = (uint8_t)t->h_blank;
    d[4] = (uint8_t)((t->width >> 8) << 4 | t->h_blank >> 8);
    d[5] = (uint8_t)t->height;
    d[6] = (uint8_t)t->v_blank;
    d[7] = (uint8_t)((t->height >> 8) << 4 | t->v_blank >> 8);
    d[8] = (uint8_t)t->h_front;
    d[9] = (uint8_t)t->h_sync;
    d[10] = (uint8_t)((t->v_front & 15) << 4 | (t->v_sync & 15));
    d[12] = (uint8_t)WIDTH_MM;
    d[13] = (uint8_t)HEIGHT_MM;
    d[14] = (uint8_t)(WIDTH_MM >> 8 << 4 | HEIGHT_MM >> 8);
    d[17] = 0x18; /* digital, separate sync */
}

static void put_text(uint8_t *d, uint8_t tag, const char *text)
{
    d[3] = tag;
    memset(d + 5, ' ', DESCRIPTOR - 5);
    memcpy(d + 5, text, strlen(text));
    d[5 + strlen(text)] = '\n';
}

void vga_make_edid(uint8_t edid[VGA_EDID])
{
    static const uint8_t head[] = {
        0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,       /* header */
        0x12, 0x0c,                                     /* manufacturer: "DPL" */
        1, 0, 1, 0, 0, 0, 1, 30,                        /* product, serial, week, year */
        1, 4, 0xa5, WIDTH_MM / 10, HEIGHT_MM / 10, 120, /* 1.4, digital, size, gamma */
        0x06,                                           /* sRGB; the first mode is best */
        0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54, /* sRGB's colours */
        0x21, 0x08, 0x00, /* 640x480, 800x600, 1024x768 at 60 Hz */
        /* 1280x1024, 1600x1200, 1280x800, 1440x900, 1680x1050, 1920x1200 at 60 Hz */
        0x81, 0x80, 0xa9, 0x40, 0x81, 0x00, 0x95, 0x00, 0xb3, 0x00, 0xd1, 0x00, 1, 1, 1, 1};
    static const struct timing best = {6500, 1024, 320, 24, 136, 768, 38, 3, 6};
    static const struct timing largest = {26850, 2560, 160, 48, 32, 1600, 46, 3, 6};
    static const uint8_t limits[] = {0, 0, 0, 0xfd, 0, 50, 75, 30, 110, 30, 1, '\n'};
    _Static_assert(sizeof(head) == DESCRIPTORS, "the descriptors come next");
    memset(edid, 0, VGA_EDID);
    memcpy(edid, head, sizeof(head));
    put_timing(edid + DESCRIPTORS, &best);
    put_timing(edid + DESCRIPTORS + DESCRIPTOR, &largest);
    uint8_t *range = edid + DESCRIPTORS + 2 * DESCRIPTOR;
    memset(range, ' ', DESCRIPTOR);
    memcpy(range, limits, sizeof(limits));
    put_text(edid + DESCRIPTORS + 3 * DESCRIPTOR, 0xfc, "Doppel");
    uint8_t sum = 0;
    for (unsigned i = 0; i < VGA_EDID - 1; i++)
        sum += edid[i];
    edid[VGA_EDID - 1] = (uint8_t)-sum;
}
