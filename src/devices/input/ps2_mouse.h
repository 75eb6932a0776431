/* A PS/2 mouse with three buttons, and a wheel for those who knock (IntelliMouse). Everything here
 * runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_INPUT_PS2_MOUSE_H
#define DOPPEL_DEVICES_INPUT_PS2_MOUSE_H

#include "devices/input/ps2.h"

enum { PS2_BUTTON_LEFT = 1, PS2_BUTTON_RIGHT = 2, PS2_BUTTON_MIDDLE = 4 };

struct ps2_mouse;

/* NULL: no memory. As after power-on: reports nothing until the guest enables it. */
struct ps2_mouse *ps2_mouse_create(void);
void ps2_mouse_destroy(struct ps2_mouse *mouse);
void ps2_mouse_reset(struct ps2_mouse *mouse);

/* The mouse's end of the cable, for the controller. */
struct ps2_device *ps2_mouse_device(struct ps2_mouse *mouse);

/* The mouse moves by counts, right and down, its wheel by clicks towards the user; the buttons that
 * are down now. Motion that the guest does not read adds up. */
void ps2_mouse_move(struct ps2_mouse *mouse, int right, int down, int wheel, uint8_t buttons);

#endif
