/* The entropy device (Virtio 1.2, 5.4): fills the guest's buffers with the host's random numbers.
 */
#ifndef DOPPEL_DEVICES_MISC_VIRTIO_RNG_H
#define DOPPEL_DEVICES_MISC_VIRTIO_RNG_H

#include "backends/entropy.h"
#include "devices/pci/pci_bus.h"

/* The most that a buffer gets at a time: what the guest asks for is made while its CPU waits. */
#define VIRTIO_RNG_BYTES_MAX 4096

struct virtio_rng;

/* Nothing is owned. */
struct virtio_rng_config {
    struct pci_bus *bus;
    unsigned slot; /* or PCI_ANY_SLOT */
    entropy_fn *entropy;
    void *opaque;
};

/* NULL: the host has no memory, or the bus no room. */
struct virtio_rng *virtio_rng_create(const struct virtio_rng_config *config);
void virtio_rng_destroy(struct virtio_rng *rng); /* NULL: nothing */

#endif
