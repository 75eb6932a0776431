/* The names that QEMU gives to keys (QKeyCode). */
#ifndef DOPPEL_CONTROL_KEYS_H
#define DOPPEL_CONTROL_KEYS_H

#include "base/types.h"

#define KEYS_MAX 16 /* at once */

/* The key, as devices/input/ps2_keyboard.h names it, that length characters of name mean; 0: a
 * keyboard has no such key. */
uint8_t keys_find(const char *name, size_t length);

/* Names with '-' between them, or key codes as 0x1e: *count of them. False: *bad points to one that
 * is unknown, or is NULL where they are too many. */
bool keys_parse(const char *text, uint8_t keys[KEYS_MAX], unsigned *count, const char **bad);

#endif
