#include "devices/pci/pci_bus.h"

#include "devices/pci/pci_internal.h"

#include <stdlib.h>

struct pci_bus *pci_bus_create(const struct pci_bus_config *config)
{
    struct pci_bus *bus = calloc(1, sizeof(*bus));
    if (bus)
        bus->config = *config;
    return bus;
}

void pci_bus_destroy(struct pci_bus *bus)
{
    free(bus);
}

struct pci_function *pci_bus_function(struct pci_bus *bus, uint8_t devfn)
{
    return bus->functions[devfn];
}

/* --- Base addresses */

static unsigned bar_register(unsigned bar)
{
    return bar == PCI_BAR_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS + 4 * bar;
}

/* Where the guest wants a BAR to be. False: nowhere. */
static bool bar_wanted(const struct pci_function *function, unsigned index, uint64_t *base)
{
    const struct pci_bar *bar = &function->bar[index];
    bool io = bar->kind == PCI_BAR_IO;
    uint32_t command = pci_get(function, PCI_COMMAND, 2);
    uint64_t value = pci_get(function, bar_register(index), 4);
    uint64_t last = io ? UINT16_MAX : UINT32_MAX;
    if (bar->kind == PCI_BAR_NONE || !(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
        return false;
    if (index == PCI_BAR_ROM && !(value & PCI_ROM_ENABLE))
        return false;
    if (bar->kind == PCI_BAR_MEMORY_64) {
        value |= (uint64_t)pci_get(function, bar_register(index + 1), 4) << 32;
        last = UINT64_MAX;
    }
    *base = align_down(value, bar->size);
    /* All ones come from firmware that asks for the size, zero from a BAR without an address. */
    return *base && *base <= last - (bar->size - 1) && *base + bar->size - 1 != last;
}

static void map_bar(struct pci_bus *bus, struct pci_bar *bar)
{
    const struct direct_memory *direct = &bus->config.direct;
    bar->mapped = bus_map(bus->config.bus, bar->kind == PCI_BAR_IO ? BUS_PORT : BUS_MMIO, bar->base,
                          bar->size, bar->ops, bar->device, NULL);
    if (bar->mapped && bar->ram && direct->ops)
        direct->ops->show(direct->opaque, bar->ram, bar->base);
}

static void unmap_bar(struct pci_bus *bus, struct pci_bar *bar)
{
    const struct direct_memory *direct = &bus->config.direct;
    if (bar->ram && direct->ops)
        direct->ops->hide(direct->opaque, bar->ram);
    bus_unmap(bus->config.bus, bar->kind == PCI_BAR_IO ? BUS_PORT : BUS_MMIO, bar->base);
    bar->mapped = false;
}

static void unmap_moved(struct pci_bus *bus, struct pci_function *function)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &function->bar[i];
        uint64_t base;
        if (!bar->mapped || (bar_wanted(function, i, &base) && base == bar->base))
            continue;
        unmap_bar(bus, bar);
    }
}

static void map_wanted(struct pci_bus *bus, struct pci_function *function)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *bar = &function->bar[i];
        if (!bar->mapped && bar_wanted(function, i, &bar->base))
            map_bar(bus, bar);
    }
}

/* A range that one function leaves may be what another has waited for. */
static void update_mappings(struct pci_bus *bus, struct pci_function *function)
{
    unmap_moved(bus, function);
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        if (bus->functions[i])
            map_wanted(bus, bus->functions[i]);
    }
}

/* --- Functions */

/* A guest looks at functions 1 to 7 only where function 0 says that there are more. */
static void note_multifunction(struct pci_bus *bus, unsigned slot)
{
    struct pci_function *first = bus->functions[pci_devfn(slot, 0)];
    for (unsigned i = 1; first && i < 8; i++) {
        if (!bus->functions[pci_devfn(slot, i)])
            continue;
        first->config[PCI_HEADER_TYPE] |= PCI_HEADER_MULTIFUNCTION;
        first->at_reset[PCI_HEADER_TYPE] |= PCI_HEADER_MULTIFUNCTION;
    }
}

static bool slot_is_empty(const struct pci_bus *bus, unsigned slot)
{
    for (unsigned i = 0; i < 8; i++) {
        if (bus->functions[pci_devfn(slot, i)])
            return false;
    }
    return true;
}

bool pci_bus_attach(struct pci_bus *bus, struct pci_function *function, unsigned slot,
                    unsigned number)
{
    if (slot == PCI_ANY_SLOT) {
        for (slot = 0; slot < PCI_SLOTS && !slot_is_empty(bus, slot);)
            slot++;
    }
    if (slot >= PCI_SLOTS || number >= 8 || bus->functions[pci_devfn(slot, number)])
        return false;
    function->bus = bus;
    function->devfn = pci_devfn(slot, number);
    memcpy(function->at_reset, function->config, PCI_CONFIG_SIZE);
    bus->functions[function->devfn] = function;
    note_multifunction(bus, slot);
    return true;
}

void pci_bus_reset(struct pci_bus *bus)
{
    for (unsigned i = 0; i < PCI_FUNCTIONS; i++) {
        struct pci_function *function = bus->functions[i];
        if (!function)
            continue;
        memcpy(function->config, function->at_reset, PCI_CONFIG_SIZE);
        update_mappings(bus, function);
        pci_msi_reset(function);
        if (function->ops->reset)
            function->ops->reset(function);
        pci_set_intx(function, false);
    }
}

/* --- Configuration cycles */

uint32_t pci_bus_read(struct pci_bus *bus, uint8_t devfn, unsigned offset, unsigned size)
{
    struct pci_function *function = bus->functions[devfn];
    if (!function)
        return (uint32_t)bytes_mask(size);
    if (function->ops->config_reading)
        function->ops->config_reading(function, offset, size);
    return pci_get(function, offset, size);
}

void pci_bus_write(struct pci_bus *bus, uint8_t devfn, unsigned offset, uint32_t value,
                   unsigned size)
{
    struct pci_function *function = bus->functions[devfn];
    if (!function)
        return;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i)), *at = &function->config[offset + i];
        uint8_t writable = function->writable[offset + i];
        *at = (*at & ~writable) | (byte & writable);
        *at &= ~(byte & function->clearable[offset + i]);
    }
    if (pci_touches(offset, size, PCI_COMMAND, 2))
        pci_update_intx(function);
    if (offset < PCI_CAPABILITIES)
        update_mappings(bus, function);
    else
        pci_msi_written(function);
    if (function->ops->config_written)
        function->ops->config_written(function, offset, size);
}
