#include "backends/display/screenshot.h"
#include "bus/bus.h"

#include <criterion/criterion.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A device that draws one row a look. */
struct device {
    unsigned width, height, row;
    unsigned draws;
};

static uint64_t draw(void *opaque, struct display *display)
{
    struct device *device = opaque;
    bool fresh;
    struct surface *surface = display_resize(display, device->width, device->height, &fresh);
    cr_assert(surface);
    surface->pixels[device->row * surface->stride] = 0x123456;
    display_mark(display, device->row, device->row + 1);
    device->draws++;
    return 1000 + device->draws;
}

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void rows_are(struct display *display, unsigned first, unsigned end)
{
    struct display_rows rows = display_take_rows(display);
    cr_expect(rows.first == first && rows.end == end, "rows %u to %u", rows.first, rows.end);
}

Test(display, looks)
{
    struct bus *bus = bus_create();
    struct display *display = display_create(bus);
    uint64_t again;
    const struct surface *surface = display_look(display, &again);
    cr_expect(surface->width == 640 && surface->height == 480 && surface->pixels[0] == 0);
    cr_expect_eq(again, DISPLAY_NEVER);
    display_unlock(display);

    struct device device = {.width = 20, .height = 10, .row = 3};
    display_connect(display, draw, &device);
    surface = display_look(display, &again);
    cr_expect(surface->width == 20 && surface->height == 10);
    cr_expect_eq(surface->pixels[3 * surface->stride], 0x123456);
    cr_expect_eq(again, 1001);
    rows_are(display, 0, 10); /* another size: all is new */
    rows_are(display, 0, 0);
    display_unlock(display);

    for (device.row = 5; device.row < 8; device.row += 2) {
        display_look(display, NULL);
        display_unlock(display);
    }
    rows_are(display, 5, 8);
    display_destroy(display);
    bus_destroy(bus);
}

Test(display, changes_are_told_once_a_look)
{
    struct bus *bus = bus_create();
    struct display *display = display_create(bus);
    unsigned told = 0;
    display_set_viewer(display, count, &told);
    for (unsigned i = 0; i < 3; i++)
        display_changed(display);
    cr_expect_eq(told, 1);
    display_look(display, NULL);
    display_unlock(display);
    cr_expect_eq(told, 1);
    display_changed(display);
    cr_expect_eq(told, 2);
    display_destroy(display);
    bus_destroy(bus);
}

/* --- Screenshots */

static char directory[] = "/tmp/doppel-display-XXXXXX";
static uint32_t pixels[] = {0xff0000, 0x00ff00, 0xdeadbeef, 0x0000ff, 0xffffff, 0xdeadbeef};
static const struct surface picture = {pixels, 2, 2, 3};
static const uint8_t rgb[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255};

static const char *path_of(const char *name)
{
    static char path[64];
    if (strchr(directory, 'X'))
        cr_assert(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void clean(const char *path)
{
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(rmdir(directory), 0);
}

Test(screenshot, ppm)
{
    const char *path = path_of("a.ppm");
    struct error error = {""};
    cr_assert(screenshot_write(&picture, path, IMAGE_PPM, &error), "%s", error.text);
    char bytes[64];
    FILE *file = fopen(path, "r");
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    static const char head[] = "P6\n2 2\n255\n";
    cr_assert_eq(size, strlen(head) + sizeof(rgb));
    cr_expect_arr_eq(bytes, head, strlen(head));
    cr_expect_arr_eq(bytes + strlen(head), rgb, sizeof(rgb));
    clean(path);
}

Test(screenshot, png)
{
    const char *path = path_of("a.png");
    struct error error = {""};
    cr_assert(screenshot_write(&picture, path, IMAGE_PNG, &error), "%s", error.text);
    png_image image = {.version = PNG_IMAGE_VERSION};
    cr_assert(png_image_begin_read_from_file(&image, path), "%s", image.message);
    cr_expect(image.width == 2 && image.height == 2);
    uint8_t bytes[sizeof(rgb)];
    image.format = PNG_FORMAT_RGB;
    cr_assert(png_image_finish_read(&image, NULL, bytes, 0, NULL));
    cr_expect_arr_eq(bytes, rgb, sizeof(rgb));
    clean(path);
}

static void fails(const char *path, enum image_format format, const char *reason)
{
    struct error error = {""};
    cr_expect_not(screenshot_write(&picture, path, format, &error), "%s was written", path);
    cr_expect(strstr(error.text, path) == error.text, "\"%s\"", error.text);
    cr_expect(strstr(error.text, reason), "\"%s\" does not say \"%s\"", error.text, reason);
}

Test(screenshot, failures)
{
    fails("/nowhere/a.png", IMAGE_PNG, "No such file");
    fails("/dev/full", IMAGE_PPM, "No space left");
    fails("/dev/full", IMAGE_PNG, "could be written");
}
