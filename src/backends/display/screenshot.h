/* A surface as an image file. */
#ifndef DOPPEL_BACKENDS_DISPLAY_SCREENSHOT_H
#define DOPPEL_BACKENDS_DISPLAY_SCREENSHOT_H

#include "backends/display/display.h"
#include "base/error.h"

enum image_format {
    IMAGE_PPM, /* P6, 8 bits a channel */
    IMAGE_PNG, /* RGB, 8 bits a channel */
};

/* Writes the file at path, or over the one there. False with *error set, whose text begins with the
 * path: it cannot be written, or the host has no memory. What was written of it then stays. The
 * surface does not change meanwhile. Any thread. */
bool screenshot_write(const struct surface *surface, const char *path, enum image_format format,
                      struct error *error);

#endif
