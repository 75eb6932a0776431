/* Types on the guest's keyboard at a pace that guests can follow. */
#ifndef DOPPEL_MACHINE_TYPIST_H
#define DOPPEL_MACHINE_TYPIST_H

#include "bus/clock.h"

#define TYPIST_EVENTS 1024

struct board;

struct typist {
    struct clock *clock;
    struct board *board;
    struct clock_timer timer;
    unsigned head, count;
    struct typist_event {
        uint8_t key; /* as devices/input/ps2_keyboard.h names it */
        bool pressed;
        uint64_t after; /* guest ns before the next event */
    } events[TYPIST_EVENTS];
};

void typist_init(struct typist *typist, struct clock *clock, struct board *board);

/* Presses the keys in order, then releases them, the last one first; each is ns of guest time after
 * the one before. What was asked for earlier comes earlier. False, with nothing done: too much of
 * it is waiting. Bus lock held. */
bool typist_type(struct typist *typist, const uint8_t *keys, unsigned count, uint64_t ns);

#endif
