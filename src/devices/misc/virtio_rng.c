#include "devices/misc/virtio_rng.h"

#include "devices/virtio/virtio_pci.h"

#include <stdlib.h>

enum { PCI_ID = 0x1005, CLASS_OTHER = 0x00ff00, QUEUE_SIZE = 8 };

struct virtio_rng {
    struct virtio_pci virtio;
    struct virtio_rng_config config;
    struct virtqueue_chain chain;
    uint8_t bytes[VIRTIO_RNG_BYTES_MAX];
};

static void notify(struct virtio_pci *device, unsigned queue)
{
    struct virtio_rng *rng = (struct virtio_rng *)device;
    while (virtio_pci_pop(device, queue, &rng->chain)) {
        uint64_t wanted = rng->chain.in_size;
        uint64_t size = wanted < sizeof(rng->bytes) ? wanted : sizeof(rng->bytes);
        rng->config.entropy(rng->config.opaque, rng->bytes, size);
        virtqueue_write(&rng->chain, 0, rng->bytes, size);
        virtio_pci_push(device, queue, &rng->chain, (uint32_t)size);
    }
    virtio_pci_interrupt(device, queue);
}

static const struct virtio_pci_ops ops = {.name = "virtio-rng", .notify = notify};

struct virtio_rng *virtio_rng_create(const struct virtio_rng_config *config)
{
    struct virtio_rng *rng = calloc(1, sizeof(*rng));
    if (!rng)
        return NULL;
    rng->config = *config;
    if (virtio_pci_init(&rng->virtio, &ops,
                        &(struct virtio_pci_identity){.type = VIRTIO_TYPE_ENTROPY,
                                                      .transitional_id = PCI_ID,
                                                      .class_code = CLASS_OTHER,
                                                      .queues = 1,
                                                      .queue_size = QUEUE_SIZE}) &&
        virtio_pci_attach(&rng->virtio, config->bus, config->slot))
        return rng;
    virtio_rng_destroy(rng);
    return NULL;
}

void virtio_rng_destroy(struct virtio_rng *rng)
{
    if (!rng)
        return;
    virtio_pci_free(&rng->virtio);
    free(rng);
}
