/* Virtio over PCI (Virtio 1.2, 4.1): what every virtio device of the board is built on. A device is
 * modern, or transitional, which drivers for the legacy interface can use too.
 *
 * A device embeds a struct virtio_pci as its first member, describes itself once and attaches it:
 *
 *     static const struct virtio_pci_ops rng_ops = {.name = "virtio-rng", .notify = notify};
 *
 *     if (!virtio_pci_init(&rng->virtio, &rng_ops, &(struct virtio_pci_identity){
 *             .type = VIRTIO_TYPE_ENTROPY, .transitional_id = 0x1005, .class_code = 0x00ff00,
 *             .queues = 1, .queue_size = 8}))
 *         no memory;
 *     virtio_pci_attach(&rng->virtio, pci_bus, PCI_ANY_SLOT);
 *
 * When the guest has made buffers available notify() takes them, and gives them back at once or
 * later, with the bus lock held:
 *
 *     while (virtio_pci_pop(&rng->virtio, queue, &chain)) {
 *         size_t size = virtqueue_write(&chain, 0, bytes, sizeof(bytes));
 *         virtio_pci_push(&rng->virtio, queue, &chain, size);
 *     }
 *     virtio_pci_interrupt(&rng->virtio, queue);
 *
 * Registers, feature negotiation, status, interrupts by pin and MSI-X, and broken queues
 * (DEVICE_NEEDS_RESET) are the transport's. What the device has besides: its feature bits, and its
 * configuration, which are plain bytes in config[]. All calls with the bus lock held, or before the
 * vCPU starts. */
#ifndef DOPPEL_DEVICES_VIRTIO_VIRTIO_PCI_H
#define DOPPEL_DEVICES_VIRTIO_VIRTIO_PCI_H

#include "devices/pci/pci_bus.h"
#include "devices/virtio/queue.h"

enum { VIRTIO_QUEUES_MAX = 8, VIRTIO_CONFIG_MAX = 256 };

/* Device types (Virtio 1.2, 5). */
enum virtio_type {
    VIRTIO_TYPE_NETWORK = 1,
    VIRTIO_TYPE_BLOCK = 2,
    VIRTIO_TYPE_ENTROPY = 4,
    VIRTIO_TYPE_INPUT = 18,
};

struct virtio_pci;

struct virtio_pci_ops {
    const char *name;
    /* There may be chains in a queue: the guest says so, or the driver has just become ready. */
    void (*notify)(struct virtio_pci *device, unsigned queue);
    /* Forget all chains: the queues are not in use any more, and what is pushed goes nowhere. No
     * memory of theirs is touched after this returns. May be NULL. */
    void (*reset)(struct virtio_pci *device);
    /* After the guest has written [offset, offset + size) of config[]. NULL: it cannot write. */
    void (*config_written)(struct virtio_pci *device, unsigned offset, unsigned size);
};

struct virtio_pci_identity {
    enum virtio_type type;
    uint16_t transitional_id; /* the PCI device ID of a transitional device; 0: it is modern only */
    uint32_t class_code;
    uint64_t features; /* of the device; those of queues and transport are added */
    unsigned queues;
    uint16_t queue_size; /* of each; the driver of a modern device may choose a smaller one */
    unsigned config_size;
};

struct virtio_pci {
    struct pci_function pci;
    const struct virtio_pci_ops *ops;
    struct virtio_pci_identity identity;
    uint64_t offered, features; /* and what the driver has accepted */
    uint8_t config[VIRTIO_CONFIG_MAX];

    uint8_t status, isr, generation;
    uint32_t device_feature_select, driver_feature_select;
    uint16_t config_vector, queue_select;
    unsigned window; /* where the capability for access through configuration space is */
    struct virtio_pci_queue {
        struct virtqueue ring;
        uint16_t size, vector;
        bool enabled;
        uint64_t descriptors, driver, device; /* guest-physical, as the driver has set them */
    } queue[VIRTIO_QUEUES_MAX];
};

/* False: the host has no memory. Fill in config[] afterwards. */
bool virtio_pci_init(struct virtio_pci *device, const struct virtio_pci_ops *ops,
                     const struct virtio_pci_identity *identity);
/* Frees what init took. */
void virtio_pci_free(struct virtio_pci *device);
/* Puts it into a slot of the bus, or PCI_ANY_SLOT. False: there is no room. */
bool virtio_pci_attach(struct virtio_pci *device, struct pci_bus *bus, unsigned slot);

/* Whether the driver has accepted a feature bit: 1 << 9 for VIRTIO_BLK_F_FLUSH. */
static inline bool virtio_pci_has(const struct virtio_pci *device, uint64_t feature)
{
    return device->features & feature;
}

/* Whether the driver uses the device: while it does not there are no chains. */
bool virtio_pci_runs(const struct virtio_pci *device);

/* The next chain. False: there is none, and the guest will notify of the next one. */
bool virtio_pci_pop(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain);
/* Gives a chain back, of whose in part the first `written` bytes have been written. */
void virtio_pci_push(struct virtio_pci *device, unsigned queue, const struct virtqueue_chain *chain,
                     uint32_t written);
/* Interrupts the guest for what was pushed, where it wants that. */
void virtio_pci_interrupt(struct virtio_pci *device, unsigned queue);

/* The guest is told that the device has changed config[]. */
void virtio_pci_config_changed(struct virtio_pci *device);
/* The guest has asked for nonsense: the device stops until it is reset. */
void virtio_pci_fail(struct virtio_pci *device);

#endif
