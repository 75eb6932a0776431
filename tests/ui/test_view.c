#include "ui/keys.h"
#include "ui/view.h"

#include <criterion/criterion.h>

static void place_is(bool whole, int window_width, int window_height, SDL_Rect expected)
{
    SDL_Rect place = view_place(640, 400, window_width, window_height, whole);
    cr_expect(SDL_RectEquals(&place, &expected), "%d by %d at %d, %d", place.w, place.h, place.x,
              place.y);
}

Test(view, the_aspect_is_kept)
{
    place_is(false, 640, 400, (SDL_Rect){0, 0, 640, 400});
    place_is(false, 1280, 1024, (SDL_Rect){0, 112, 1280, 800});
    place_is(false, 1920, 400, (SDL_Rect){640, 0, 640, 400});
    place_is(false, 320, 400, (SDL_Rect){0, 100, 320, 200});
}

Test(view, whole_numbers)
{
    place_is(true, 1900, 1000, (SDL_Rect){310, 100, 1280, 800});
    place_is(true, 1279, 799, (SDL_Rect){319, 199, 640, 400});
    place_is(true, 320, 200, (SDL_Rect){0, 0, 320, 200}); /* too small for any */
}

Test(keys, places)
{
    static const struct {
        SDL_Scancode scancode;
        uint8_t key;
    } known[] = {
        {SDL_SCANCODE_A, 0x1e},      {SDL_SCANCODE_Z, 0x2c},           {SDL_SCANCODE_RCTRL, 0x9d},
        {SDL_SCANCODE_UP, 0xc8},     {SDL_SCANCODE_KP_ENTER, 0x9c},    {SDL_SCANCODE_PAUSE, 0xc6},
        {SDL_SCANCODE_DELETE, 0xd3}, {SDL_SCANCODE_PRINTSCREEN, 0xb7}, {SDL_SCANCODE_UNKNOWN, 0},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
        cr_expect_eq(key_of_scancode(known[i].scancode), known[i].key);
}

/* Only the two keys between Shift, Return and their letters share a code, as no keyboard has both.
 */
Test(keys, no_two_are_the_same)
{
    SDL_Scancode owner[256] = {SDL_SCANCODE_UNKNOWN};
    for (int i = 0; i < SDL_NUM_SCANCODES; i++) {
        uint8_t key = key_of_scancode((SDL_Scancode)i);
        if (!key || i == SDL_SCANCODE_NONUSHASH)
            continue;
        cr_expect_eq(owner[key], SDL_SCANCODE_UNKNOWN, "%02x is %d and %d", key, owner[key], i);
        owner[key] = (SDL_Scancode)i;
    }
}
