/* A port that ends the run with a status, as QEMU's isa-debug-exit: test kernels and unit tests
 * report through it. Answers any offset and size. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_MISC_DEBUG_EXIT_H
#define DOPPEL_DEVICES_MISC_DEBUG_EXIT_H

#include "bus/bus.h"

/* status is the process's exit status, 0 to 255: (value << 1) | 1, so never success. Called from
 * within the guest's access: ends the run when that is over. */
typedef void debug_exit_fn(void *opaque, int status);

struct debug_exit {
    debug_exit_fn *exit;
    void *opaque;
};

extern const struct bus_ops debug_exit_ops; /* device: struct debug_exit, the board's */

#endif
