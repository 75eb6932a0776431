/* The network device (Virtio 1.2, 5.1): one pair of queues, mergeable receive buffers, and offloads
 * of checksums and of the segmentation of TCP. */
#ifndef DOPPEL_DEVICES_NET_VIRTIO_NET_H
#define DOPPEL_DEVICES_NET_VIRTIO_NET_H

#include "backends/net/net.h"
#include "devices/pci/pci_bus.h"

struct virtio_net;

/* Nothing is owned. */
struct virtio_net_config {
    struct pci_bus *bus;
    unsigned slot; /* or PCI_ANY_SLOT */
    struct net *net;
    uint8_t mac[6];
    uint16_t mtu;
};

/* NULL: the host has no memory, or the bus no room. */
struct virtio_net *virtio_net_create(const struct virtio_net_config *config);
void virtio_net_destroy(struct virtio_net *nic); /* NULL: nothing */

#endif
