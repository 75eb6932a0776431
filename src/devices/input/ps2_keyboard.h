/* An IBM PS/2 keyboard with 102 keys: scan code sets 1 and 2. Everything here runs with the bus
 * lock held. */
#ifndef DOPPEL_DEVICES_INPUT_PS2_KEYBOARD_H
#define DOPPEL_DEVICES_INPUT_PS2_KEYBOARD_H

#include "devices/input/ps2.h"

/* A key is named by its make code in set 1, plus 0x80 where E0 goes before it: 0x1e is A, 0x1d the
 * left and 0x9d the right Ctrl, 0xc8 the upward arrow. */
enum { PS2_KEY_EXTENDED = 0x80, PS2_KEY_PRINT_SCREEN = 0xb7, PS2_KEY_PAUSE = 0xc6 };

enum { PS2_LED_SCROLL_LOCK = 1, PS2_LED_NUM_LOCK = 2, PS2_LED_CAPS_LOCK = 4 };

struct ps2_keyboard;

/* NULL: no memory. As after power-on and its test: set 2, keys are reported. */
struct ps2_keyboard *ps2_keyboard_create(void);
void ps2_keyboard_destroy(struct ps2_keyboard *keyboard);
void ps2_keyboard_reset(struct ps2_keyboard *keyboard);

/* The keyboard's end of the cable, for the controller. */
struct ps2_device *ps2_keyboard_device(struct ps2_keyboard *keyboard);

/* A key goes down or up. To repeat it (typematic) call again with pressed. Unknown keys and, where
 * the guest does not read, keys beyond the keyboard's buffer are lost. */
void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint8_t key, bool pressed);
/* The lights that the guest has switched on, of PS2_LED_*. */
uint8_t ps2_keyboard_leds(const struct ps2_keyboard *keyboard);

#endif
