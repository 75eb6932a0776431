/* The PC's two cascaded 8259A interrupt controllers: IRQ 0-7 on the first, 8-15 on the second,
 * whose output is the first one's input 2; with the edge/level control registers of PCI chipsets.
 *
 * All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_IRQ_I8259_H
#define DOPPEL_DEVICES_IRQ_I8259_H

#include "bus/bus.h"
#include "bus/irq.h"

#include <stdio.h>

#define I8259_FIRST_PORT 0x20u  /* 2 ports */
#define I8259_SECOND_PORT 0xa0u /* 2 ports */
#define I8259_ELCR_PORT 0x4d0u  /* 2 ports */

struct i8259;

struct i8259_config {
    struct irq_line intr; /* to LINT0 of the first local APIC, or the CPU's INTR pin */
};

/* NULL where the host has no memory. */
struct i8259 *i8259_create(const struct i8259_config *config);
void i8259_destroy(struct i8259 *pics);
void i8259_reset(struct i8259 *pics);

/* The registers, for a person to read. */
void i8259_print(const struct i8259 *pics, FILE *out);

/* The device of all three is the struct i8259. */
extern const struct bus_ops i8259_first_ops, i8259_second_ops, i8259_elcr_ops;

/* An irq_set_fn: input is the IRQ's number, 0 to 15. 2 is the cascade's own. */
void i8259_set_irq(void *pics, unsigned irq, bool level);

/* The interrupt-acknowledge cycle (a lapic_extint_fn): the vector, that of IRQ 7 or 15 where the
 * request has gone. */
int i8259_acknowledge(void *pics);

#endif
