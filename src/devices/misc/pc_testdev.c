#include "devices/misc/pc_testdev.h"

#include "base/bits.h"

#include <stdlib.h>
#include <string.h>

struct pc_testdev {
    struct irq_line lines[PC_TESTDEV_LINES];
    uint8_t port[4];
    uint8_t memory[PC_TESTDEV_MEMORY];
};

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    const struct pc_testdev *testdev = device;
    return load_le(&testdev->port[offset], size);
}

static void port_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct pc_testdev *testdev = device;
    store_le(&testdev->port[offset], value, size);
}

static uint64_t memory_read(void *device, uint64_t offset, unsigned size)
{
    const struct pc_testdev *testdev = device;
    return load_le(&testdev->memory[offset], size);
}

static void memory_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct pc_testdev *testdev = device;
    store_le(&testdev->memory[offset], value, size);
}

static uint64_t zero_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0;
}

static void flush_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)device;
    (void)offset;
    (void)value;
    (void)size;
}

static void irq_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    const struct pc_testdev *testdev = device;
    irq_set(&testdev->lines[offset], value);
}

const struct bus_ops pc_testdev_port_ops = {
    .name = "pc-testdev port",
    .read = port_read,
    .write = port_write,
    .min_size = 1,
    .max_size = 4,
};

const struct bus_ops pc_testdev_byte_ops = {
    .name = "pc-testdev byte port",
    .read = port_read,
    .write = port_write,
    .min_size = 1,
    .max_size = 1,
};

const struct bus_ops pc_testdev_flush_ops = {
    .name = "pc-testdev flush",
    .read = zero_read,
    .write = flush_write,
    .min_size = 1,
    .max_size = 4,
};

const struct bus_ops pc_testdev_irq_ops = {
    .name = "pc-testdev lines",
    .read = zero_read,
    .write = irq_write,
    .min_size = 1,
    .max_size = 1,
};

const struct bus_ops pc_testdev_memory_ops = {
    .name = "pc-testdev memory",
    .read = memory_read,
    .write = memory_write,
    .min_size = 1,
    .max_size = 8,
};

struct pc_testdev *pc_testdev_create(const struct irq_line *lines)
{
    struct pc_testdev *testdev = calloc(1, sizeof(*testdev));
    if (testdev)
        memcpy(testdev->lines, lines, sizeof(testdev->lines));
    return testdev;
}

void pc_testdev_destroy(struct pc_testdev *testdev)
{
    free(testdev);
}

void pc_testdev_reset(struct pc_testdev *testdev)
{
    for (unsigned i = 0; i < PC_TESTDEV_LINES; i++)
        irq_set(&testdev->lines[i], false);
    memset(testdev->port, 0, sizeof(testdev->port));
    memset(testdev->memory, 0, sizeof(testdev->memory));
}
