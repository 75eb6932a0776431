#include "devices/pci/pci.h"

#include "devices/pci/pci_internal.h"

#include <stdlib.h>

#define QEMU_VENDOR 0x1af4
#define QEMU_SUBSYSTEM 0x1100

void pci_init(struct pci_function *function, const struct pci_ops *ops,
              const struct pci_identity *identity)
{
    *function = (struct pci_function){.ops = ops, .capabilities_end = PCI_SPECIFIC};
    pci_set(function, PCI_VENDOR_ID, identity->vendor, 2);
    pci_set(function, PCI_DEVICE_ID, identity->device, 2);
    pci_set(function, PCI_REVISION_ID, identity->revision, 1);
    pci_set(function, PCI_CLASS_CODE, identity->class_code, 3);
    pci_set(function, PCI_SUBSYSTEM_VENDOR_ID,
            identity->subsystem_vendor ? identity->subsystem_vendor : QEMU_VENDOR, 2);
    pci_set(function, PCI_SUBSYSTEM_ID,
            identity->subsystem_vendor ? identity->subsystem : QEMU_SUBSYSTEM, 2);
    pci_describe(function, PCI_COMMAND, 0,
                 PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
                 2);
    store_le(function->clearable + PCI_STATUS, PCI_STATUS_ERRORS, 2);
    pci_describe(function, PCI_CACHE_LINE_SIZE, 0, 0xff, 1);
    pci_describe(function, PCI_LATENCY_TIMER, 0, 0xff, 1);
    pci_describe(function, PCI_INTERRUPT_LINE, 0, 0xff, 1);
    pci_set(function, PCI_INTERRUPT_PIN, identity->interrupt_pin, 1);
}

void pci_free(struct pci_function *function)
{
    free(function->msix_table);
}

void pci_add_bar(struct pci_function *function, unsigned bar, enum pci_bar_kind kind, uint64_t size,
                 const struct bus_ops *ops, void *device)
{
    unsigned reg = bar == PCI_BAR_ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS + 4 * bar;
    uint64_t writable = ~(size - 1);
    uint32_t value = 0;
    if (bar == PCI_BAR_ROM)
        writable = (writable & ~0x7ffull) | PCI_ROM_ENABLE;
    else if (kind == PCI_BAR_IO)
        value = PCI_BASE_IO;
    else if (kind == PCI_BAR_MEMORY_64)
        value = PCI_BASE_64 | PCI_BASE_PREFETCHABLE;
    pci_describe(function, reg, value, (uint32_t)writable, 4);
    if (kind == PCI_BAR_MEMORY_64)
        pci_describe(function, reg + 4, 0, (uint32_t)(writable >> 32), 4);
    function->bar[bar] = (struct pci_bar){.kind = kind, .size = size, .ops = ops, .device = device};
}

static uint64_t ram_read(void *device, uint64_t offset, unsigned size)
{
    const struct direct_ram *ram = device;
    return load_le(ram->bytes + offset, size);
}

static void ram_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    const struct direct_ram *ram = device;
    store_le(ram->bytes + offset, value, size);
    direct_ram_note(ram, offset);
}

static const struct bus_ops ram_ops = {"PCI RAM", ram_read, ram_write, 1, 8};

void pci_add_ram_bar(struct pci_function *function, unsigned bar, const struct direct_ram *ram)
{
    pci_add_bar(function, bar, PCI_BAR_MEMORY, ram->size, &ram_ops, (void *)ram);
    function->config[PCI_BASE_ADDRESS + 4 * bar] |= PCI_BASE_PREFETCHABLE;
    function->bar[bar].ram = ram;
}

/* New ones come first in the list. */
unsigned pci_add_capability(struct pci_function *function, enum pci_capability id, unsigned length)
{
    unsigned at = function->capabilities_end;
    function->config[at] = (uint8_t)id;
    function->config[at + 1] = function->config[PCI_CAPABILITIES];
    function->config[PCI_CAPABILITIES] = (uint8_t)at;
    function->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    function->capabilities_end = (uint8_t)align_up(at + length, 4);
    return at;
}

/* --- INTx# */

unsigned pci_line_of(const struct pci_function *function)
{
    unsigned pin = function->config[PCI_INTERRUPT_PIN];
    return (pin - 1 + (function->devfn >> 3) - 1) % PCI_LINES;
}

void pci_update_intx(struct pci_function *function)
{
    struct pci_bus *bus = function->bus;
    bool drives = function->intx && !(pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
    unsigned line = pci_line_of(function);
    if (!function->config[PCI_INTERRUPT_PIN] || drives == function->intx_driven)
        return;
    function->intx_driven = drives;
    bus->asserted[line] = drives ? bus->asserted[line] + 1 : bus->asserted[line] - 1;
    irq_set(&bus->config.line[line], bus->asserted[line]);
}

void pci_set_intx(struct pci_function *function, bool level)
{
    uint8_t *status = &function->config[PCI_STATUS];
    function->intx = level;
    *status = level ? *status | PCI_STATUS_INTERRUPT : *status & ~PCI_STATUS_INTERRUPT;
    pci_update_intx(function);
}

/* --- DMA */

bool pci_is_master(const struct pci_function *function)
{
    return pci_get(function, PCI_COMMAND, 2) & PCI_COMMAND_MASTER && function->bus->config.dma.ops;
}

struct dma pci_dma(const struct pci_function *function)
{
    return function->bus->config.dma;
}

static const struct dma *master(const struct pci_function *function)
{
    return pci_is_master(function) ? &function->bus->config.dma : NULL;
}

bool pci_dma_read(struct pci_function *function, uint64_t address, void *data, uint64_t size)
{
    const struct dma *dma = master(function);
    return dma && dma->ops->read(dma->opaque, address, data, size);
}

bool pci_dma_write(struct pci_function *function, uint64_t address, const void *data, uint64_t size)
{
    const struct dma *dma = master(function);
    return dma && dma->ops->write(dma->opaque, address, data, size);
}

void *pci_dma_map(struct pci_function *function, uint64_t address, uint64_t *size)
{
    const struct dma *dma = master(function);
    return dma ? dma->ops->map(dma->opaque, address, size) : NULL;
}

void pci_dma_written(struct pci_function *function, uint64_t address, uint64_t size)
{
    const struct dma *dma = &function->bus->config.dma;
    if (dma->ops)
        dma->ops->written(dma->opaque, address, size);
}
