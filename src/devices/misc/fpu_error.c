#include "devices/misc/fpu_error.h"

static uint64_t fpu_error_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    (void)offset;
    (void)size;
    return 0xff;
}

static void fpu_error_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)value;
    (void)size;
    struct fpu_error *fpu_error = device;
    irq_set(&fpu_error->irq, false);
    irq_set(&fpu_error->ignne, fpu_error->ferr);
}

const struct bus_ops fpu_error_ops = {
    .name = "FPU error",
    .read = fpu_error_read,
    .write = fpu_error_write,
    .min_size = 1,
    .max_size = 1,
};

void fpu_error_set_ferr(void *opaque, unsigned input, bool asserted)
{
    struct fpu_error *fpu_error = opaque;
    (void)input;
    if (asserted && !fpu_error->ferr)
        irq_set(&fpu_error->irq, true);
    if (!asserted)
        irq_set(&fpu_error->ignne, false);
    fpu_error->ferr = asserted;
}

void fpu_error_reset(struct fpu_error *fpu_error)
{
    fpu_error->ferr = false;
    irq_set(&fpu_error->irq, false);
    irq_set(&fpu_error->ignne, false);
}
