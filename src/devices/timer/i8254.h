/* The 8254 programmable interval timer, and the PC's port 0x61 that gates its counter 2.
 *
 * Its three counters run on one 1193182 Hz grid that starts with the guest, so nothing drifts:
 * tick k begins at k * 10^9 / 1193182 ns, rounded up. Counter 0's output is IRQ 0, counter 1's is
 * seen as the refresh toggle, counter 2's drives the speaker. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_TIMER_I8254_H
#define DOPPEL_DEVICES_TIMER_I8254_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"

#define I8254_PORT 0x40u /* 4 ports */
#define I8254_SPEAKER_PORT 0x61u
#define I8254_HZ 1193182u

struct i8254;

/* Nothing is owned. */
struct i8254_config {
    struct clock *clock;
    struct irq_line irq; /* IRQ 0: counter 0's rising edges */
};

/* NULL where the host has no memory. */
struct i8254 *i8254_create(const struct i8254_config *config);
void i8254_destroy(struct i8254 *pit);
void i8254_reset(struct i8254 *pit);

/* The device of both is the struct i8254. */
extern const struct bus_ops i8254_ops, i8254_speaker_ops;

/* An irq_set_fn: while asserted counter 0 does not reach IRQ 0 (the HPET's legacy replacement). */
void i8254_set_replaced(void *pit, unsigned input, bool replaced);

#endif
