/* The messages between local APICs and I/O APICs (SDM vol. 3, 10.6 and 10.11).
 *
 * All calls with the bus lock held, on any thread, except that the board attaches before the vCPU
 * starts. */
#ifndef DOPPEL_DEVICES_IRQ_APIC_BUS_H
#define DOPPEL_DEVICES_IRQ_APIC_BUS_H

#include "base/types.h"

struct apic_bus;
struct lapic;

#define APIC_BROADCAST UINT32_MAX /* every local APIC, as a physical or logical destination */
#define APIC_BUS_LAPICS 256
#define APIC_BUS_LISTENERS 8

enum apic_delivery {
    APIC_FIXED,
    APIC_LOWEST_PRIORITY,
    APIC_SMI,
    APIC_NMI = 4,
    APIC_INIT,
    APIC_STARTUP,
    APIC_EXTINT,
};

struct apic_message {
    uint32_t destination; /* an APIC ID, or a logical destination */
    bool logical;
    bool level; /* level-triggered: the EOI is broadcast to the I/O APICs */
    uint8_t vector;
    enum apic_delivery delivery;
};

/* NULL where the host has no memory. Local APICs and listeners are not owned. */
struct apic_bus *apic_bus_create(void);
void apic_bus_destroy(struct apic_bus *bus);

/* False where the bus has no room. */
bool apic_bus_attach(struct apic_bus *bus, struct lapic *lapic);

/* An I/O APIC that wants to hear of the end of level-triggered interrupts. */
typedef void apic_eoi_fn(void *opaque, uint8_t vector);
bool apic_bus_listen(struct apic_bus *bus, apic_eoi_fn *fn, void *opaque);

/* Delivers to every local APIC that the destination names. False: none took it. */
bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message);
/* A message-signalled interrupt, as a device writes it (SDM vol. 3, 10.11). */
void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data);
/* How many of a vector have come. */
uint64_t apic_bus_msis(const struct apic_bus *bus, uint8_t vector);
/* To all local APICs but `except`, which may be NULL. */
void apic_bus_send_all(struct apic_bus *bus, const struct apic_message *message,
                       const struct lapic *except);
void apic_bus_eoi(struct apic_bus *bus, uint8_t vector);

#endif
