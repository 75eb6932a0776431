/* The debug console of Bochs and QEMU (port 0xe9, one byte): what is written comes out on a
 * character stream. Everything here runs with the bus lock held. */
#ifndef DOPPEL_DEVICES_CHAR_DEBUGCON_H
#define DOPPEL_DEVICES_CHAR_DEBUGCON_H

#include "bus/bus.h"

struct chardev;

extern const struct bus_ops debugcon_ops; /* device: the struct chardev */

#endif
