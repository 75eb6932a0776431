/* A guest's screen, between the device that draws it and whoever looks: a window, a screenshot.
 *
 * Nothing is drawn until someone looks. A look asks the device to draw, into the surface, what has
 * changed since the last one. The device says when there may be something new (display_changed()),
 * so that a window need not look at a still screen.
 *
 * The display's lock guards the surface. display_look() takes it, and the bus lock inside it while
 * the device draws; so nobody looks who holds the bus lock. */
#ifndef DOPPEL_BACKENDS_DISPLAY_DISPLAY_H
#define DOPPEL_BACKENDS_DISPLAY_DISPLAY_H

#include "base/types.h"

#define DISPLAY_NEVER UINT64_MAX

struct bus;
struct display;

/* Pixels are 0x00rrggbb, rows from top to bottom. */
struct surface {
    uint32_t *pixels;
    unsigned width, height;
    unsigned stride; /* pixels from one row to the next */
};

/* Rows [first, end) of a surface; none where they are equal. */
struct display_rows {
    unsigned first, end;
};

/* NULL where the host has no memory. bus is the guest's. Until a device draws, the surface is
 * black, of 640 by 480. */
struct display *display_create(struct bus *bus);
void display_destroy(struct display *display);

/* --- The device's side */

/* Draws what has changed since the last call: display_resize(), then display_mark(). Returns in how
 * many ns of the guest's it is to be asked again though nothing is written (a cursor blinks), or
 * DISPLAY_NEVER. On any thread, with both locks held. */
typedef uint64_t display_draw_fn(void *device, struct display *display);

/* Before the vCPU starts; NULL disconnects. */
void display_connect(struct display *display, display_draw_fn *draw, void *device);

/* The surface, made width by height (not 0). Where it is not so already, it becomes black and all
 * of it is marked; *fresh is then true. NULL where the host has no memory: nothing can be drawn. */
struct surface *display_resize(struct display *display, unsigned width, unsigned height,
                               bool *fresh);

/* Rows that are drawn anew. */
void display_mark(struct display *display, unsigned first, unsigned end);

/* A look would find something new. Any thread, any lock; cheap when called often. */
void display_changed(struct display *display);

/* --- The viewer's side */

/* Told once after each look when display_changed() is called: on any thread, under any lock, so it
 * only wakes its own. One viewer; NULL: none. Before the vCPU starts. */
typedef void display_changed_fn(void *opaque);
void display_set_viewer(struct display *display, display_changed_fn *changed, void *opaque);

/* Brings the surface up to date and returns it, locked until display_unlock(). *again, or NULL, is
 * what the device's draw function returned. */
const struct surface *display_look(struct display *display, uint64_t *again);
/* What has been drawn since the viewer last took it. Between look and unlock. */
struct display_rows display_take_rows(struct display *display);
void display_unlock(struct display *display);

#endif
