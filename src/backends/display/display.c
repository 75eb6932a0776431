#include "backends/display/display.h"

#include "bus/bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { FIRST_WIDTH = 640, FIRST_HEIGHT = 480 };

struct display {
    struct bus *bus;
    pthread_mutex_t lock; /* guards what follows, but for `stale` */
    struct surface surface;
    struct display_rows rows;
    display_draw_fn *draw;
    void *device;
    display_changed_fn *changed;
    void *opaque;
    _Atomic bool stale; /* display_changed() has been called since the last look */
};

struct display *display_create(struct bus *bus)
{
    struct display *display = calloc(1, sizeof(*display));
    bool fresh;
    if (!display)
        return NULL;
    display->bus = bus;
    pthread_mutex_init(&display->lock, NULL);
    if (display_resize(display, FIRST_WIDTH, FIRST_HEIGHT, &fresh))
        return display;
    display_destroy(display);
    return NULL;
}

void display_destroy(struct display *display)
{
    if (!display)
        return;
    pthread_mutex_destroy(&display->lock);
    free(display->surface.pixels);
    free(display);
}

void display_connect(struct display *display, display_draw_fn *draw, void *device)
{
    display->draw = draw;
    display->device = device;
}

struct surface *display_resize(struct display *display, unsigned width, unsigned height,
                               bool *fresh)
{
    struct surface *surface = &display->surface;
    *fresh = surface->width != width || surface->height != height;
    if (!*fresh)
        return surface;
    uint32_t *pixels = calloc((size_t)width * height, sizeof(*pixels));
    if (!pixels)
        return NULL;
    free(surface->pixels);
    *surface = (struct surface){pixels, width, height, width};
    display->rows = (struct display_rows){0, height};
    return surface;
}

void display_mark(struct display *display, unsigned first, unsigned end)
{
    struct display_rows *rows = &display->rows;
    if (first >= end)
        return;
    if (rows->first == rows->end) {
        *rows = (struct display_rows){first, end};
        return;
    }
    if (first < rows->first)
        rows->first = first;
    if (end > rows->end)
        rows->end = end;
}

void display_changed(struct display *display)
{
    if (atomic_load_explicit(&display->stale, memory_order_relaxed) ||
        atomic_exchange(&display->stale, true))
        return;
    if (display->changed)
        display->changed(display->opaque);
}

void display_set_viewer(struct display *display, display_changed_fn *changed, void *opaque)
{
    display->changed = changed;
    display->opaque = opaque;
}

const struct surface *display_look(struct display *display, uint64_t *again)
{
    uint64_t next = DISPLAY_NEVER;
    pthread_mutex_lock(&display->lock);
    bus_lock(display->bus);
    atomic_store(&display->stale, false); /* first, so that what comes later is told */
    if (display->draw)
        next = display->draw(display->device, display);
    bus_unlock(display->bus);
    if (again)
        *again = next;
    return &display->surface;
}

struct display_rows display_take_rows(struct display *display)
{
    struct display_rows rows = display->rows;
    display->rows = (struct display_rows){0, 0};
    return rows;
}

void display_unlock(struct display *display)
{
    pthread_mutex_unlock(&display->lock);
}
