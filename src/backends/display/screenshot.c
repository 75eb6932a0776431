#include "backends/display/screenshot.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The pixels as bytes R, G, B without gaps; NULL where the host has no memory. */
static uint8_t *rgb_of(const struct surface *surface)
{
    uint8_t *bytes = malloc((size_t)surface->width * surface->height * 3), *out = bytes;
    for (unsigned y = 0; bytes && y < surface->height; y++) {
        const uint32_t *row = surface->pixels + (size_t)y * surface->stride;
        for (unsigned x = 0; x < surface->width; x++) {
            *out++ = (uint8_t)(row[x] >> 16);
            *out++ = (uint8_t)(row[x] >> 8);
            *out++ = (uint8_t)row[x];
        }
    }
    return bytes;
}

static bool write_ppm(const struct surface *surface, const uint8_t *rgb, FILE *file)
{
    size_t size = (size_t)surface->width * surface->height * 3;
    return fprintf(file, "P6\n%u %u\n255\n", surface->width, surface->height) > 0 &&
           fwrite(rgb, 1, size, file) == size;
}

static bool write_png(const struct surface *surface, const uint8_t *rgb, FILE *file)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION,
        .width = surface->width,
        .height = surface->height,
        .format = PNG_FORMAT_RGB,
        .flags = PNG_IMAGE_FLAG_FAST,
    };
    return png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL);
}

bool screenshot_write(const struct surface *surface, const char *path, enum image_format format,
                      struct error *error)
{
    uint8_t *rgb = rgb_of(surface);
    if (!rgb)
        return error_set(error, "%s: the host has no memory for the image", path);
    FILE *file = fopen(path, "we");
    if (!file) {
        error_format(error, "%s: cannot be written: %s", path, strerror(errno));
        free(rgb);
        return false;
    }
    errno = 0;
    bool written =
        format == IMAGE_PNG ? write_png(surface, rgb, file) : write_ppm(surface, rgb, file);
    int reason = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        reason = errno;
    }
    free(rgb);
    return written || error_set(error, "%s: not all of the image could be written: %s", path,
                                reason ? strerror(reason) : "is the disk full?");
}
