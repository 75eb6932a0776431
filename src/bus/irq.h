/* Interrupt lines: a wire from one device's output pin to one input of another. */
#ifndef DOPPEL_BUS_IRQ_H
#define DOPPEL_BUS_IRQ_H

#include "base/types.h"

/* Called with the bus lock held, on any thread. level is the line's new state; a sink may be told
 * the same level twice. */
typedef void irq_set_fn(void *opaque, unsigned input, bool level);

/* A line that is not connected has set == NULL. Copied by value; the sink outlives its sources. */
struct irq_line {
    irq_set_fn *set;
    void *opaque;
    unsigned input;
};

static inline void irq_set(const struct irq_line *line, bool level)
{
    if (line->set)
        line->set(line->opaque, line->input, level);
}

static inline void irq_pulse(const struct irq_line *line)
{
    irq_set(line, true);
    irq_set(line, false);
}

#endif
