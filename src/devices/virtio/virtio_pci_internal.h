/* What the files of the virtio transport share. */
#ifndef DOPPEL_DEVICES_VIRTIO_VIRTIO_PCI_INTERNAL_H
#define DOPPEL_DEVICES_VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "devices/virtio/virtio_pci.h"

#define VIRTIO_F_ANY_LAYOUT (1ull << 27)
#define VIRTIO_F_VERSION_1 (1ull << 32)

/* The device's status (Virtio 1.2, 2.1). */
enum virtio_status {
    VIRTIO_DRIVER_OK = 4,
    VIRTIO_FEATURES_OK = 8,
    VIRTIO_NEEDS_RESET = 64,
};

#define VIRTIO_NO_VECTOR 0xffffu

/* BARs as QEMU has them. */
enum { VIRTIO_BAR_LEGACY = 0, VIRTIO_BAR_MSIX = 1, VIRTIO_BAR_MODERN = 4 };

/* virtio_pci.c: what the registers of both interfaces do. */

void virtio_pci_set_status(struct virtio_pci *device, uint8_t status);
void virtio_pci_notify(struct virtio_pci *device, unsigned queue);
/* Reads the ISR status, which clears it. */
uint8_t virtio_pci_take_isr(struct virtio_pci *device);
/* The queue that the driver has selected; NULL: there is no such queue. */
struct virtio_pci_queue *virtio_pci_selected(struct virtio_pci *device);
/* What remains of a vector that is written: one that there is not cannot be set. */
uint16_t virtio_pci_vector(const struct virtio_pci *device, uint64_t value);
/* The device's own configuration. */
uint64_t virtio_pci_config_read(const struct virtio_pci *device, uint64_t offset, unsigned size);
void virtio_pci_config_write(struct virtio_pci *device, uint64_t offset, uint64_t value,
                             unsigned size);

/* virtio_modern.c: the memory BAR (4.1.4), and the capabilities that describe it. */
void virtio_modern_add(struct virtio_pci *device);
/* Accesses to configuration space: PCI's hooks. */
void virtio_modern_config_reading(struct pci_function *function, unsigned offset, unsigned size);
void virtio_modern_config_written(struct pci_function *function, unsigned offset, unsigned size);

/* virtio_legacy.c: the I/O BAR (4.1.4.10). */
void virtio_legacy_add(struct virtio_pci *device);

#endif
