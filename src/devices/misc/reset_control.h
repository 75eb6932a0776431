/* The PIIX3's reset control register (RC, port 0xcf9). One byte. Everything here runs with the bus
 * lock held. */
#ifndef DOPPEL_DEVICES_MISC_RESET_CONTROL_H
#define DOPPEL_DEVICES_MISC_RESET_CONTROL_H

#include "bus/bus.h"
#include "bus/irq.h"

/* The board's; value is the register. */
struct reset_control {
    struct irq_line reset; /* pulsed: reset the machine, once the access is over */
    uint8_t value;
};

extern const struct bus_ops reset_control_ops;

void reset_control_reset(struct reset_control *control);

#endif
