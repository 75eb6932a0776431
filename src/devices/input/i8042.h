/* Intel 8042 as the PS/2 keyboard controller of a PC: ports 0x60 (i8042_data_ops) and 0x64
 * (i8042_command_ops), one byte each. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_INPUT_I8042_H
#define DOPPEL_DEVICES_INPUT_I8042_H

#include "bus/bus.h"
#include "bus/irq.h"

struct clock;
struct i8042;
struct ps2_device;

struct i8042_config {
    struct clock *clock;
    struct ps2_device *keyboard, *mouse; /* outlive the controller */
    struct irq_line keyboard_irq;        /* a PC's IRQ 1 */
    struct irq_line mouse_irq;           /* IRQ 12 */
    struct irq_line a20;                 /* high: address line 20 is not masked */
    struct irq_line reset;               /* pulsed: reset the machine, once the access is over */
};

extern const struct bus_ops i8042_data_ops, i8042_command_ops;

/* NULL: no memory. */
struct i8042 *i8042_create(const struct i8042_config *config);
void i8042_destroy(struct i8042 *i8042);
/* To the state in which a PC's firmware hands it over: tested, the keyboard's interrupt on, scan
 * codes translated, the mouse off, A20 open. The devices are reset on their own. */
void i8042_reset(struct i8042 *i8042);

#endif
