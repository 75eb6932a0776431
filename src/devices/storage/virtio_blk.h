/* virtio-blk (Virtio 1.2, 5.2): a disk with one queue, modern or for legacy drivers, on an image of
 * the host. All calls with the bus lock held, or before the vCPU starts. */
#ifndef DOPPEL_DEVICES_STORAGE_VIRTIO_BLK_H
#define DOPPEL_DEVICES_STORAGE_VIRTIO_BLK_H

#include "devices/pci/pci_bus.h"

#define VIRTIO_BLK_SERIAL 20 /* bytes */

struct block_image;
struct virtio_blk;

/* Nothing is owned. */
struct virtio_blk_config {
    struct pci_bus *bus;
    unsigned slot; /* or PCI_ANY_SLOT */
    struct block_image *image;
    char serial[VIRTIO_BLK_SERIAL + 1];
};

/* NULL: the host has no memory, or the bus no slot. */
struct virtio_blk *virtio_blk_create(const struct virtio_blk_config *config);
/* After the image was closed, or with nothing in flight. NULL: nothing. */
void virtio_blk_destroy(struct virtio_blk *disk);

struct pci_function *virtio_blk_function(struct virtio_blk *disk);

#endif
