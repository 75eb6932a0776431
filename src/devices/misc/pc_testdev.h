/* QEMU's pc-testdev, which kvm-unit-tests drive: registers to access in every way, and interrupt
 * lines to raise by hand. Everything here runs with the bus lock held.
 *
 *   port 0xe0, 4 bytes    pc_testdev_port_ops   a 32-bit register, accessed as the guest does
 *   port 0xe4, 4 bytes    pc_testdev_flush_ops  a page's address: that page's translations may be
 *                                               dropped, which no guest can tell; a write is taken
 *   port 0xe8, 4 bytes    pc_testdev_byte_ops   the register of 0xe0 in single bytes (0xe9 is the
 *                                               debug console's elsewhere: map one of them)
 *   port 0x2000, 24 bytes pc_testdev_irq_ops    the level of each interrupt line
 *   memory 0xff000000     pc_testdev_memory_ops PC_TESTDEV_MEMORY bytes that are kept */
#ifndef DOPPEL_DEVICES_MISC_PC_TESTDEV_H
#define DOPPEL_DEVICES_MISC_PC_TESTDEV_H

#include "bus/bus.h"
#include "bus/irq.h"

enum { PC_TESTDEV_LINES = 24, PC_TESTDEV_MEMORY = 0x10000 };

struct pc_testdev;

extern const struct bus_ops pc_testdev_port_ops, pc_testdev_flush_ops, pc_testdev_byte_ops,
    pc_testdev_irq_ops, pc_testdev_memory_ops;

/* lines: PC_TESTDEV_LINES of them, copied. NULL: no memory. */
struct pc_testdev *pc_testdev_create(const struct irq_line *lines);
void pc_testdev_destroy(struct pc_testdev *testdev);
/* Lowers the lines and clears the registers and the memory. */
void pc_testdev_reset(struct pc_testdev *testdev);

#endif
