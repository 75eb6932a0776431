#include "ui/view.h"

bool view_open(struct view *view, struct display *display, const char *title, struct error *error)
{
    *view = (struct view){.display = display, .set_width = 720, .set_height = 400};
    view->window =
        SDL_CreateWindow(title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, view->set_width,
                         view->set_height, SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI);
    if (view->window)
        view->renderer = SDL_CreateRenderer(view->window, -1, 0);
    if (view->renderer)
        return true;
    error_format(error, "--display sdl: the window cannot be opened: %s", SDL_GetError());
    view_close(view);
    return false;
}

void view_close(struct view *view)
{
    if (view->texture)
        SDL_DestroyTexture(view->texture);
    if (view->renderer)
        SDL_DestroyRenderer(view->renderer);
    if (view->window)
        SDL_DestroyWindow(view->window);
    *view = (struct view){0};
}

bool view_is_full_screen(const struct view *view)
{
    return SDL_GetWindowFlags(view->window) & SDL_WINDOW_FULLSCREEN;
}

void view_set_full_screen(struct view *view, bool on)
{
    SDL_SetWindowFullscreen(view->window, on ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
}

SDL_Rect view_place(int width, int height, int window_width, int window_height, bool whole)
{
    int64_t w = window_width, h = window_height;
    bool too_wide = w * height > h * width;
    if (whole && window_width >= width && window_height >= height) {
        int scale = too_wide ? window_height / height : window_width / width;
        w = (int64_t)width * scale;
        h = (int64_t)height * scale;
    } else if (too_wide) {
        w = h * width / height;
    } else {
        h = w * height / width;
    }
    return (SDL_Rect){(int)(window_width - w) / 2, (int)(window_height - h) / 2, (int)w, (int)h};
}

/* The guest has changed its mode. The window follows, unless the user has given it a size. */
static bool resize(struct view *view, const struct surface *surface)
{
    int width, height;
    view->width = (int)surface->width;
    view->height = (int)surface->height;
    if (view->texture)
        SDL_DestroyTexture(view->texture);
    view->texture = SDL_CreateTexture(view->renderer, SDL_PIXELFORMAT_RGB888,
                                      SDL_TEXTUREACCESS_STREAMING, view->width, view->height);
    SDL_GetWindowSize(view->window, &width, &height);
    if (!view_is_full_screen(view) && width == view->set_width && height == view->set_height) {
        view->set_width = view->width;
        view->set_height = view->height;
        SDL_SetWindowSize(view->window, view->width, view->height);
    }
    return view->texture;
}

/* The texture as the surface is; false: it was so already. */
static bool update(struct view *view, uint64_t *again)
{
    const struct surface *surface = display_look(view->display, again);
    struct display_rows rows = display_take_rows(view->display);
    bool other = !view->texture || (int)surface->width != view->width ||
                 (int)surface->height != view->height;
    if (other && resize(view, surface))
        rows = (struct display_rows){0, surface->height};
    bool changed = rows.first < rows.end && view->texture;
    if (changed) {
        SDL_Rect part = {0, (int)rows.first, view->width, (int)(rows.end - rows.first)};
        SDL_UpdateTexture(view->texture, &part,
                          surface->pixels + (size_t)rows.first * surface->stride,
                          (int)(surface->stride * sizeof(*surface->pixels)));
    }
    display_unlock(view->display);
    return changed;
}

uint64_t view_refresh(struct view *view, bool all)
{
    uint64_t again;
    if (!update(view, &again) && !all)
        return again;
    int width, height;
    SDL_GetRendererOutputSize(view->renderer, &width, &height);
    SDL_Rect place = view_place(view->width, view->height, width, height, view->whole);
    bool exact = place.w % view->width == 0 && place.h % view->height == 0;
    SDL_SetTextureScaleMode(view->texture, exact ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
    SDL_SetRenderDrawColor(view->renderer, 0, 0, 0, 255);
    SDL_RenderClear(view->renderer);
    SDL_RenderCopy(view->renderer, view->texture, NULL, &place);
    SDL_RenderPresent(view->renderer);
    return again;
}
