#include "devices/irq/apic_bus.h"

#include "base/bits.h"
#include "devices/irq/lapic.h"

#include <stdlib.h>

struct apic_bus {
    struct lapic *lapics[APIC_BUS_LAPICS];
    unsigned lapic_count;
    struct {
        apic_eoi_fn *fn;
        void *opaque;
    } listeners[APIC_BUS_LISTENERS];
    unsigned listener_count;
    uint64_t msis[256]; /* that have come, by vector */
};

struct apic_bus *apic_bus_create(void)
{
    return calloc(1, sizeof(struct apic_bus));
}

void apic_bus_destroy(struct apic_bus *bus)
{
    free(bus);
}

bool apic_bus_attach(struct apic_bus *bus, struct lapic *lapic)
{
    if (bus->lapic_count == APIC_BUS_LAPICS)
        return false;
    bus->lapics[bus->lapic_count++] = lapic;
    return true;
}

bool apic_bus_listen(struct apic_bus *bus, apic_eoi_fn *fn, void *opaque)
{
    if (bus->listener_count == APIC_BUS_LISTENERS)
        return false;
    bus->listeners[bus->listener_count].fn = fn;
    bus->listeners[bus->listener_count++].opaque = opaque;
    return true;
}

/* SDM vol. 3, 10.6.2.4: one of the destinations, the one whose processor priority is lowest. */
static struct lapic *lowest_priority(struct apic_bus *bus, const struct apic_message *message)
{
    struct lapic *lowest = NULL;
    for (unsigned i = 0; i < bus->lapic_count; i++) {
        struct lapic *lapic = bus->lapics[i];
        if (lapic_is_enabled(lapic) && lapic_is_destination(lapic, message) &&
            (!lowest || lapic_priority(lapic) < lapic_priority(lowest)))
            lowest = lapic;
    }
    return lowest;
}

bool apic_bus_send(struct apic_bus *bus, const struct apic_message *message)
{
    if (message->delivery == APIC_LOWEST_PRIORITY) {
        struct lapic *lapic = lowest_priority(bus, message);
        return lapic && lapic_accept(lapic, message);
    }
    bool accepted = false;
    for (unsigned i = 0; i < bus->lapic_count; i++) {
        if (lapic_is_destination(bus->lapics[i], message))
            accepted |= lapic_accept(bus->lapics[i], message);
    }
    return accepted;
}

void apic_bus_send_msi(struct apic_bus *bus, uint64_t address, uint32_t data)
{
    struct apic_message message = {
        .destination = (uint32_t)bits_get(address, 12, 8),
        .logical = address & BIT(2),
        .level = data & BIT(15),
        .vector = (uint8_t)data,
        .delivery = (enum apic_delivery)bits_get(data, 8, 3),
    };
    if (address >> 20 != 0xfee)
        return; /* memory, which nobody reads as an interrupt */
    if (message.destination == 0xff && !message.logical)
        message.destination = APIC_BROADCAST;
    if (message.delivery == APIC_FIXED && address & BIT(3) && message.logical)
        message.delivery = APIC_LOWEST_PRIORITY;
    bus->msis[message.vector]++;
    apic_bus_send(bus, &message);
}

uint64_t apic_bus_msis(const struct apic_bus *bus, uint8_t vector)
{
    return bus->msis[vector];
}

void apic_bus_send_all(struct apic_bus *bus, const struct apic_message *message,
                       const struct lapic *except)
{
    for (unsigned i = 0; i < bus->lapic_count; i++) {
        if (bus->lapics[i] != except)
            lapic_accept(bus->lapics[i], message);
    }
}

void apic_bus_eoi(struct apic_bus *bus, uint8_t vector)
{
    for (unsigned i = 0; i < bus->listener_count; i++)
        bus->listeners[i].fn(bus->listeners[i].opaque, vector);
}
