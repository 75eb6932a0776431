/* A display's surface in an SDL window: scaled, with its aspect kept. Window's thread. */
#ifndef DOPPEL_UI_VIEW_H
#define DOPPEL_UI_VIEW_H

#include <SDL.h>

#include "backends/display/display.h"
#include "base/error.h"

struct view {
    struct display *display;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;      /* of the surface's size */
    int width, height;         /* the surface's */
    int set_width, set_height; /* what the window was last made */
    bool whole;                /* scale by whole numbers only */
};

/* Opens the window. */
bool view_open(struct view *view, struct display *display, const char *title, struct error *error);
void view_close(struct view *view);

/* Looks at the display and shows what is new; with `all`, everything. Returns in how many ns to
 * look again though nothing is written, or DISPLAY_NEVER. */
uint64_t view_refresh(struct view *view, bool all);

bool view_is_full_screen(const struct view *view);
void view_set_full_screen(struct view *view, bool on);

/* Where a surface is in a window: as large as fits, in the middle. */
SDL_Rect view_place(int width, int height, int window_width, int window_height, bool whole);

#endif
