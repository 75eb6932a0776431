/* The high precision event timer (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and
 * three comparators, without FSB interrupts. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_TIMER_HPET_H
#define DOPPEL_DEVICES_TIMER_HPET_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"

#define HPET_BASE 0xfed00000u
#define HPET_SIZE 0x400u
#define HPET_TIMERS 3
#define HPET_TICK_NS 10
#define HPET_ID 0x8086a201u /* the low half of the capabilities: the ACPI table's block ID */

struct hpet;

/* Nothing is owned. */
struct hpet_config {
    struct clock *clock;
    struct irq_line ioapic;      /* its input is replaced by the one that a timer is routed to */
    uint32_t routes;             /* I/O APIC inputs that timers may be routed to */
    struct irq_line irq0;        /* timer 0 and 1 under legacy replacement */
    struct irq_line irq8;        /* (the lines go to both interrupt controllers) */
    struct irq_line replaces[2]; /* the 8254 and the RTC: asserted under legacy replacement */
};

/* NULL where the host has no memory. */
struct hpet *hpet_create(const struct hpet_config *config);
void hpet_destroy(struct hpet *hpet);
void hpet_reset(struct hpet *hpet);

extern const struct bus_ops hpet_ops;

#endif
