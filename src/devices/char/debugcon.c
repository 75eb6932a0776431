#include "devices/char/debugcon.h"

#include "backends/chardev.h"

/* How guests tell that the console is there. */
enum { READBACK = 0xe9 };

static uint64_t debugcon_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return READBACK;
}

static void debugcon_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    uint8_t byte = (uint8_t)value;
    chardev_write(device, &byte, 1);
}

const struct bus_ops debugcon_ops = {
    .name = "debugcon",
    .read = debugcon_read,
    .write = debugcon_write,
    .min_size = 1,
    .max_size = 1,
};
