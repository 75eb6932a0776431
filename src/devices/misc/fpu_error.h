/* The PC's wiring of floating-point errors (SDM vol. 1, appendix D): the CPU's FERR# sets IRQ 13,
 * and a write to port 0xf0 takes that back and has the CPU go on, by IGNNE#, until FERR# ends.
 * Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_MISC_FPU_ERROR_H
#define DOPPEL_DEVICES_MISC_FPU_ERROR_H

#include "bus/bus.h"
#include "bus/irq.h"

#define FPU_ERROR_PORT 0xf0u /* one byte */

/* The board's. Lines are high where the pins, which are active low, are asserted. */
struct fpu_error {
    struct irq_line irq;   /* a PC's IRQ 13 */
    struct irq_line ignne; /* to the CPU */
    bool ferr;
};

extern const struct bus_ops fpu_error_ops;

/* An irq_set_fn: FERR#. */
void fpu_error_set_ferr(void *fpu_error, unsigned input, bool asserted);

void fpu_error_reset(struct fpu_error *fpu_error);

#endif
