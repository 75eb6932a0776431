#include "devices/misc/port92.h"

enum { FAST_RESET = 1, FAST_A20 = 2 };

static uint64_t port92_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    const struct port92 *port92 = device;
    return port92->value;
}

static void port92_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    struct port92 *port92 = device;
    bool resets = value & (uint8_t)~port92->value & FAST_RESET;
    port92->value = (uint8_t)value;
    irq_set(&port92->a20, value & FAST_A20);
    if (resets)
        irq_pulse(&port92->reset);
}

const struct bus_ops port92_ops = {
    .name = "port 92",
    .read = port92_read,
    .write = port92_write,
    .min_size = 1,
    .max_size = 1,
};

void port92_reset(struct port92 *port92)
{
    port92->value = 0;
    irq_set(&port92->a20, false);
}
