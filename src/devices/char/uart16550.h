/* PC16550D: the serial port of a PC.
 *
 * Answers offsets 0 to 7, one byte each. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_CHAR_UART16550_H
#define DOPPEL_DEVICES_CHAR_UART16550_H

#include "bus/bus.h"
#include "bus/irq.h"

struct chardev;
struct clock;
struct uart16550;

struct uart16550_config {
    struct clock *clock;
    struct chardev *chardev; /* NULL: nothing is plugged in. Outlives the UART */
    struct irq_line irq;
};

extern const struct bus_ops uart16550_ops;

/* NULL: no memory. Takes over the chardev's receiver. */
struct uart16550 *uart16550_create(const struct uart16550_config *config);
/* After the chardev's loop has stopped, or with the chardev destroyed before. */
void uart16550_destroy(struct uart16550 *uart);
void uart16550_reset(struct uart16550 *uart);

#endif
