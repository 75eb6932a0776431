/* Which key of the guest's keyboard a key of the host's is: by its place, whatever the host's
 * layout makes of it. */
#ifndef DOPPEL_UI_KEYS_H
#define DOPPEL_UI_KEYS_H

#include <SDL.h>

#include "base/types.h"

/* The make code in scan code set 1, plus 0x80 where E0 goes before it; 0: there is no such key. */
uint8_t key_of_scancode(SDL_Scancode scancode);

#endif
