/* The I/O APIC (Intel 82093AA's data sheet, with the EOI register of version 0x20): 24 inputs that
 * become messages to local APICs.
 *
 * Lines carry "asserted", so the polarity bit is stored and changes nothing. All calls with the bus
 * lock held. */
#ifndef DOPPEL_DEVICES_IRQ_IOAPIC_H
#define DOPPEL_DEVICES_IRQ_IOAPIC_H

#include "bus/bus.h"
#include "devices/irq/apic_bus.h"

#include <stdio.h>

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_INPUTS 24

struct ioapic;

struct ioapic_config {
    uint8_t id;                /* after reset; 4 bits */
    struct apic_bus *apic_bus; /* not owned */
};

/* Listens on the apic_bus. NULL where the host has no memory or the bus no room. */
struct ioapic *ioapic_create(const struct ioapic_config *config);
void ioapic_destroy(struct ioapic *ioapic);
void ioapic_reset(struct ioapic *ioapic);

extern const struct bus_ops ioapic_ops;

/* The inputs' entries, for a person to read. */
void ioapic_print(const struct ioapic *ioapic, FILE *out);

/* An irq_set_fn. */
void ioapic_set_irq(void *ioapic, unsigned input, bool level);

#endif
