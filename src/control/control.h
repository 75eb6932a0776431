/* Control of a guest from outside: a QMP socket and a monitor for people (doc/control.md).
 *
 * The loop's thread, without the bus lock. */
#ifndef DOPPEL_CONTROL_CONTROL_H
#define DOPPEL_CONTROL_CONTROL_H

#include "base/error.h"
#include "machine/vm.h"

struct control;

/* Strings are the caller's and outlive the control. */
struct control_config {
    const char *qmp, *monitor;     /* control/stream.h; NULL: none; monitor also "serial", which
                                      shares the serial port's terminal (control/console.h) */
    bool qmp_waits, monitor_waits; /* for a client, before the guest starts */
    const char *name;              /* the guest's, or NULL */
};

/* Becomes an observer of the vm, before it runs. NULL with *error set on failure. */
struct control *control_create(const struct control_config *config, struct vm *vm,
                               struct loop *loop, struct error *error);
/* Before the vm is destroyed. */
void control_destroy(struct control *control);

#endif
