/* A guest in a window: its screen, and the keyboard and mouse for it (doc/display.md).
 *
 * The window has a thread of its own, which alone calls SDL. It draws at most 60 frames a second,
 * and only what has changed; it sleeps while nothing does. One window a process. */
#ifndef DOPPEL_UI_WINDOW_H
#define DOPPEL_UI_WINDOW_H

#include "base/error.h"
#include "base/types.h"

struct display;
struct loop;
struct window;

/* What the user wants of the guest. */
struct window_guest {
    /* On the window's thread, without locks. Keys are named as ui/keys.h says; distances are in
     * dots, the wheel's in notches towards the user; buttons are a bit each: left, right, middle.
     */
    void (*key)(void *opaque, uint8_t key, bool pressed);
    void (*mouse)(void *opaque, int right, int down, int wheel, uint8_t buttons);
    /* On the loop's thread. */
    void (*power_button)(void *opaque);
    void (*end)(void *opaque);
    void (*reset)(void *opaque);
    void (*pause)(void *opaque); /* or go on */
    void *opaque;
};

/* The name is the caller's and outlives the window, as the rest does. */
struct window_config {
    const char *name; /* for the title */
    struct display *display;
    struct loop *loop;
    struct window_guest guest;
};

/* Opens the window and becomes the display's viewer. Before the loop and the vCPU run. NULL with
 * *error set where there is no display to open it on. */
struct window *window_create(const struct window_config *config, struct error *error);
/* Closes it; loop's thread. */
void window_destroy(struct window *window);

/* What the title says. Any thread. */
void window_set_paused(struct window *window, bool paused);

#endif
