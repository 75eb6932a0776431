/* A device at the end of a PS/2 cable: bytes to the controller queue up here, bytes from it are
 * taken at once. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_INPUT_PS2_H
#define DOPPEL_DEVICES_INPUT_PS2_H

#include "base/types.h"

enum { PS2_QUEUE = 32 };

enum { PS2_ACK = 0xfa, PS2_RESEND = 0xfe, PS2_TEST_PASSED = 0xaa };

struct ps2_device {
    void (*write)(struct ps2_device *device, uint8_t byte); /* from the controller */
    void (*emptied)(struct ps2_device *device);             /* all has been read; may be NULL */

    /* The controller's: there is something to read. */
    void (*ready)(void *opaque);
    void *opaque;

    uint8_t queue[PS2_QUEUE];
    unsigned head, count;
    uint8_t last; /* what was read last, for the command Resend */
};

/* Queues all of the bytes, or none where they do not fit. */
bool ps2_send(struct ps2_device *device, const uint8_t *bytes, unsigned count);
bool ps2_send_byte(struct ps2_device *device, uint8_t byte);
void ps2_clear(struct ps2_device *device);

/* For the controller: the next byte, if there is one. */
bool ps2_read(struct ps2_device *device, uint8_t *byte);

#endif
