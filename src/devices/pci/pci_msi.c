/* Message-signalled interrupts: PCI 3.0, 6.8. */
#include "devices/pci/pci_internal.h"

#include <stdlib.h>

#define VECTOR_MASKED 1u /* in the vector control of an MSI-X vector */
#define TABLE_BAR_SIZE 0x1000u
#define PENDING_OFFSET 0x800u

static void send(struct pci_function *function, uint64_t address, uint32_t data)
{
    if (function->bus->config.apic_bus)
        apic_bus_send_msi(function->bus->config.apic_bus, address, data);
}

/* --- MSI */

void pci_add_msi(struct pci_function *function, unsigned vectors)
{
    unsigned at = pci_add_capability(function, PCI_CAP_MSI, PCI_MSI_LENGTH);
    uint32_t capable = (uint32_t)__builtin_ctz(vectors) << PCI_MSI_CAPABLE_SHIFT;
    function->msi = (uint8_t)at;
    pci_describe(function, at + PCI_MSI_CONTROL, capable | PCI_MSI_64BIT | PCI_MSI_MASKABLE,
                 PCI_MSI_ENABLE | 7u << PCI_MSI_ENABLED_SHIFT, 2);
    pci_describe(function, at + PCI_MSI_ADDRESS, 0, ~3u, 4);
    pci_describe(function, at + PCI_MSI_ADDRESS + 4, 0, ~0u, 4);
    pci_describe(function, at + PCI_MSI_DATA, 0, 0xffff, 2);
    pci_describe(function, at + PCI_MSI_MASK, 0, (uint32_t)(BIT(vectors) - 1), 4);
}

bool pci_msi_enabled(const struct pci_function *function)
{
    return function->msi && pci_get(function, function->msi + PCI_MSI_CONTROL, 2) & PCI_MSI_ENABLE;
}

/* How many vectors the guest has granted; the low bits of the data tell them apart. */
static unsigned msi_granted(const struct pci_function *function)
{
    uint32_t control = pci_get(function, function->msi + PCI_MSI_CONTROL, 2);
    unsigned capable = control >> PCI_MSI_CAPABLE_SHIFT & 7;
    unsigned enabled = control >> PCI_MSI_ENABLED_SHIFT & 7;
    return 1u << (enabled < capable ? enabled : capable);
}

void pci_msi_notify(struct pci_function *function, unsigned vector)
{
    unsigned at = function->msi;
    if (!pci_msi_enabled(function))
        return;
    vector &= msi_granted(function) - 1;
    uint32_t bit = 1u << vector;
    if (pci_get(function, at + PCI_MSI_MASK, 4) & bit) {
        pci_set(function, at + PCI_MSI_PENDING, pci_get(function, at + PCI_MSI_PENDING, 4) | bit,
                4);
        return;
    }
    uint32_t data = pci_get(function, at + PCI_MSI_DATA, 2);
    send(function, load_le(function->config + at + PCI_MSI_ADDRESS, 8),
         (data & ~(msi_granted(function) - 1)) | vector);
}

static void send_pending_msi(struct pci_function *function)
{
    unsigned at = function->msi;
    uint32_t pending = pci_get(function, at + PCI_MSI_PENDING, 4);
    uint32_t due = pending & ~pci_get(function, at + PCI_MSI_MASK, 4);
    pci_set(function, at + PCI_MSI_PENDING, pending & ~due, 4);
    for (; due; due &= due - 1)
        pci_msi_notify(function, (unsigned)__builtin_ctz(due));
}

/* --- MSI-X */

static uint32_t msix_control(const struct pci_function *function)
{
    return pci_get(function, function->msix + PCI_MSIX_CONTROL, 2);
}

bool pci_msix_enabled(const struct pci_function *function)
{
    return function->msix && msix_control(function) & PCI_MSIX_ENABLE;
}

void pci_msix_notify(struct pci_function *function, unsigned vector)
{
    if (!pci_msix_enabled(function) || vector >= function->msix_vectors)
        return;
    const struct pci_msix_vector *entry = &function->msix_table[vector];
    if (entry->control & VECTOR_MASKED || msix_control(function) & PCI_MSIX_FUNCTION_MASK)
        function->msix_pending[vector / 64] |= BIT(vector % 64);
    else
        send(function, entry->address, entry->data);
}

static void send_pending_msix(struct pci_function *function)
{
    for (unsigned word = 0; word < ARRAY_SIZE(function->msix_pending); word++) {
        uint64_t pending = function->msix_pending[word];
        function->msix_pending[word] = 0; /* what is still masked comes back */
        for (; pending; pending &= pending - 1)
            pci_msix_notify(function, word * 64 + (unsigned)__builtin_ctzll(pending));
    }
}

static uint64_t table_read(void *device, uint64_t offset, unsigned size)
{
    const struct pci_function *function = device;
    uint64_t pending_at = offset - PENDING_OFFSET;
    if (offset < function->msix_vectors * sizeof(function->msix_table[0]))
        return load_le((uint8_t *)function->msix_table + offset, size);
    if (pending_at < sizeof(function->msix_pending))
        return load_le((uint8_t *)function->msix_pending + pending_at, size);
    return 0;
}

static void table_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct pci_function *function = device;
    if (offset >= function->msix_vectors * sizeof(function->msix_table[0]))
        return;
    store_le((uint8_t *)function->msix_table + offset, value, size);
    if (pci_msix_enabled(function))
        send_pending_msix(function);
}

static const struct bus_ops msix_table_ops = {"MSI-X table", table_read, table_write, 4, 8};

static void mask_all(struct pci_function *function)
{
    for (unsigned i = 0; i < function->msix_vectors; i++)
        function->msix_table[i] = (struct pci_msix_vector){.control = VECTOR_MASKED};
}

bool pci_add_msix(struct pci_function *function, unsigned bar, unsigned vectors)
{
    function->msix_table = calloc(vectors, sizeof(function->msix_table[0]));
    if (!function->msix_table)
        return false;
    function->msix_vectors = vectors;
    mask_all(function);
    unsigned at = pci_add_capability(function, PCI_CAP_MSIX, PCI_MSIX_LENGTH);
    function->msix = (uint8_t)at;
    pci_describe(function, at + PCI_MSIX_CONTROL, vectors - 1,
                 PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK, 2);
    pci_set(function, at + PCI_MSIX_TABLE, bar, 4);
    pci_set(function, at + PCI_MSIX_PENDING, PENDING_OFFSET | bar, 4);
    pci_add_bar(function, bar, PCI_BAR_MEMORY, TABLE_BAR_SIZE, &msix_table_ops, function);
    return true;
}

/* --- Both */

void pci_msi_written(struct pci_function *function)
{
    if (pci_msi_enabled(function))
        send_pending_msi(function);
    if (pci_msix_enabled(function))
        send_pending_msix(function);
}

void pci_msi_reset(struct pci_function *function)
{
    mask_all(function);
    memset(function->msix_pending, 0, sizeof(function->msix_pending));
}
