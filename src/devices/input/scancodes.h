/* How the keyboard controller turns scan codes of set 2 into those of set 1. */
#ifndef DOPPEL_DEVICES_INPUT_SCANCODES_H
#define DOPPEL_DEVICES_INPUT_SCANCODES_H

#include "base/types.h"

/* Bytes from the keyboard, by value. F0 (the break prefix) is not looked up. */
extern const uint8_t scancode_set1_of_set2[256];

/* The code in set 2 of a make code (01 to 7f) in set 1; 0 if no key has it. */
uint8_t scancode_set2_of_set1(uint8_t code);

#endif
