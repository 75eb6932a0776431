#include "devices/misc/debug_exit.h"

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void debug_exit_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    const struct debug_exit *debug_exit = device;
    debug_exit->exit(debug_exit->opaque, (int)((value << 1 | 1) & 0xff));
}

const struct bus_ops debug_exit_ops = {
    .name = "debug exit",
    .read = debug_exit_read,
    .write = debug_exit_write,
    .min_size = 1,
    .max_size = 4,
};
