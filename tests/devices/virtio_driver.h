/* A guest's side of a virtio device on a PCI bus, without a CPU: memory, registers, negotiation. */
#ifndef DOPPEL_TESTS_VIRTIO_DRIVER_H
#define DOPPEL_TESTS_VIRTIO_DRIVER_H

#include "devices/virtio/virtio_pci.h"

#include "probe.h"

#include <stdlib.h>
#include <string.h>

/* The rings are those of a legacy driver: they follow each other, the used ring in a page of its
 * own. */
enum { RAM = 0x100000, DESCRIPTORS = 0x1000, SIZE = 8 };
enum { AVAILABLE = DESCRIPTORS + 16 * SIZE, USED = DESCRIPTORS + 0x1000 };
enum { SLOT = 3, BASE = 0xc000, MODERN = 0xe0000000 };
enum { COMMON = 0, ISR = 0x1000, DEVICE = 0x2000, NOTIFY = 0x3000 };
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8, NEEDS_RESET = 64 };
enum { VERSION_1 = 1 }; /* in the second word of features */

static struct bus *bus;
static struct pci_bus *pci;
static struct probe line;
static uint8_t ram[RAM];

static bool inside(uint64_t address, uint64_t size)
{
    return address <= RAM && size <= RAM - address;
}

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    (void)opaque;
    if (inside(address, size))
        memcpy(data, ram + address, size);
    return inside(address, size);
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    if (inside(address, size))
        memcpy(ram + address, data, size);
    return inside(address, size);
}

static void *memory_map(void *opaque, uint64_t address, uint64_t *size)
{
    (void)opaque;
    return inside(address, *size) ? ram + address : NULL;
}

static void memory_written(void *opaque, uint64_t address, uint64_t size)
{
    (void)opaque;
    cr_assert(inside(address, size));
}

static const struct dma_ops memory_ops = {memory_read, memory_write, memory_map, memory_written};

static inline void driver_create_bus(void)
{
    bus = bus_create();
    pci = pci_bus_create(&(struct pci_bus_config){
        .bus = bus, .dma = {&memory_ops, NULL}, .line[(SLOT + 3) % 4] = probe_line(&line)});
}

static inline void driver_destroy_bus(void)
{
    pci_bus_destroy(pci);
    bus_destroy(bus);
}

static inline void config_write(unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_write(pci, pci_devfn(SLOT, 0), offset, value, size);
}

static inline uint32_t config_read(unsigned offset, unsigned size)
{
    return pci_bus_read(pci, pci_devfn(SLOT, 0), offset, size);
}

static inline void driver_map_device(void)
{
    pci_bus_reset(pci);
    config_write(PCI_BASE_ADDRESS, BASE, 4);
    config_write(PCI_BASE_ADDRESS + 16, MODERN, 4);
    config_write(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static inline uint64_t get(uint64_t offset, unsigned size)
{
    return bus_read(bus, BUS_MMIO, MODERN + offset, size);
}

static inline void put(uint64_t offset, uint64_t value, unsigned size)
{
    bus_write(bus, BUS_MMIO, MODERN + offset, value, size);
}

static inline uint16_t used(void)
{
    return __atomic_load_n((uint16_t *)(void *)(ram + USED + 2), __ATOMIC_ACQUIRE);
}

/* What a modern driver does, up to FEATURES_OK. */
static inline void negotiate(uint32_t low, uint32_t high)
{
    put(0x14, 0, 1);
    put(0x14, ACKNOWLEDGE | DRIVER, 1);
    put(0x08, 0, 4);
    put(0x0c, low, 4);
    put(0x08, 1, 4);
    put(0x0c, high, 4);
    put(0x14, ACKNOWLEDGE | DRIVER | FEATURES_OK, 1);
}

/* With its rings, laid out as above, that far behind. */
static inline void enable_queue_at(unsigned queue, uint64_t behind)
{
    put(0x16, queue, 2);
    put(0x20, DESCRIPTORS + behind, 8);
    put(0x28, AVAILABLE + behind, 8);
    put(0x30, USED + behind, 8);
    put(0x1c, 1, 2);
}

static inline void enable_queue(unsigned queue)
{
    enable_queue_at(queue, 0);
}

#endif
