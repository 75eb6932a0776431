/* System control port A (0x92) of the PS/2: the fast A20 gate and the fast reset. One byte.
 * Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_MISC_PORT92_H
#define DOPPEL_DEVICES_MISC_PORT92_H

#include "bus/bus.h"
#include "bus/irq.h"

/* The board's; value is the register. */
struct port92 {
    struct irq_line a20;   /* high: address line 20 is not masked; OR it with the 8042's */
    struct irq_line reset; /* pulsed: reset the machine, once the access is over */
    uint8_t value;
};

extern const struct bus_ops port92_ops;

void port92_reset(struct port92 *port92);

#endif
