#include "devices/misc/reset_control.h"

/* 82371SB (PIIX3) data sheet, 2.1.7: the reset comes with bit 2's change from 0 to 1. Bit 1 chooses
 * between a reset of the CPU and one of the machine; systems expect the machine's from both. */
enum { HARD_RESET = 2, RESET_CPU = 4 };

static uint64_t reset_control_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    const struct reset_control *control = device;
    return control->value;
}

static void reset_control_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    struct reset_control *control = device;
    bool resets = value & (uint8_t)~control->value & RESET_CPU;
    control->value = value & (HARD_RESET | RESET_CPU);
    if (resets)
        irq_pulse(&control->reset);
}

const struct bus_ops reset_control_ops = {
    .name = "reset control",
    .read = reset_control_read,
    .write = reset_control_write,
    .min_size = 1,
    .max_size = 1,
};

void reset_control_reset(struct reset_control *control)
{
    control->value = 0;
}
