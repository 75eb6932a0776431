#include "devices/virtio/virtio_pci_internal.h"

#define LEGACY_FEATURES UINT32_MAX

enum legacy_register {
    LEGACY_DEVICE_FEATURES = 0x00,
    LEGACY_DRIVER_FEATURES = 0x04,
    LEGACY_QUEUE_ADDRESS = 0x08, /* a page's number */
    LEGACY_QUEUE_SIZE = 0x0c,
    LEGACY_QUEUE_SELECT = 0x0e,
    LEGACY_QUEUE_NOTIFY = 0x10,
    LEGACY_STATUS = 0x12,
    LEGACY_ISR = 0x13,
    LEGACY_CONFIG_VECTOR = 0x14, /* the vectors are there while MSI-X is enabled */
    LEGACY_QUEUE_VECTOR = 0x16,
    LEGACY_LENGTH = 0x14,
    LEGACY_LENGTH_MSIX = 0x18,
};

static unsigned legacy_length(const struct virtio_pci *device)
{
    return pci_msix_enabled(&device->pci) ? LEGACY_LENGTH_MSIX : LEGACY_LENGTH;
}

static uint64_t legacy_read(void *opaque, uint64_t offset, unsigned size)
{
    struct virtio_pci *device = opaque;
    const struct virtio_pci_queue *queue = virtio_pci_selected(device);
    if (offset >= legacy_length(device))
        return virtio_pci_config_read(device, offset - legacy_length(device), size);
    switch (offset) {
    case LEGACY_DEVICE_FEATURES:
        return device->offered & LEGACY_FEATURES;
    case LEGACY_DRIVER_FEATURES:
        return device->features & LEGACY_FEATURES;
    case LEGACY_QUEUE_ADDRESS:
        return queue ? queue->descriptors / PAGE_SIZE : 0;
    case LEGACY_QUEUE_SIZE:
        return queue ? queue->size : 0;
    case LEGACY_QUEUE_SELECT:
        return device->queue_select;
    case LEGACY_STATUS:
        return device->status;
    case LEGACY_ISR:
        return virtio_pci_take_isr(device);
    case LEGACY_CONFIG_VECTOR:
        return device->config_vector;
    case LEGACY_QUEUE_VECTOR:
        return queue ? queue->vector : VIRTIO_NO_VECTOR;
    default:
        return 0;
    }
}

/* Address 0 is how legacy drivers let go of a device. */
static void set_legacy_address(struct virtio_pci *device, uint32_t page)
{
    struct virtio_pci_queue *queue = virtio_pci_selected(device);
    struct dma dma = pci_dma(&device->pci);
    if (!page) {
        virtio_pci_set_status(device, 0);
        return;
    }
    if (!queue || queue->enabled)
        return;
    queue->enabled = true;
    queue->descriptors = (uint64_t)page * PAGE_SIZE;
    virtqueue_start_legacy(&queue->ring, &dma, queue->size, page, device->features);
    if (queue->ring.broken)
        virtio_pci_fail(device);
}

static void legacy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_pci *device = opaque;
    if (offset >= legacy_length(device)) {
        virtio_pci_config_write(device, offset - legacy_length(device), value, size);
        return;
    }
    switch (offset) {
    case LEGACY_DRIVER_FEATURES:
        device->features = value & device->offered & LEGACY_FEATURES;
        break;
    case LEGACY_QUEUE_ADDRESS:
        set_legacy_address(device, (uint32_t)value);
        break;
    case LEGACY_QUEUE_SELECT:
        device->queue_select = (uint16_t)value;
        break;
    case LEGACY_QUEUE_NOTIFY:
        virtio_pci_notify(device, (unsigned)value);
        break;
    case LEGACY_STATUS:
        virtio_pci_set_status(device, (uint8_t)value);
        break;
    case LEGACY_CONFIG_VECTOR:
        device->config_vector = virtio_pci_vector(device, value);
        break;
    case LEGACY_QUEUE_VECTOR:
        if (virtio_pci_selected(device))
            virtio_pci_selected(device)->vector = virtio_pci_vector(device, value);
        break;
    }
}

static const struct bus_ops legacy_ops = {"virtio (legacy)", legacy_read, legacy_write, 1, 4};

static uint64_t bar_size(const struct virtio_pci *device)
{
    uint64_t size = 32;
    while (size < LEGACY_LENGTH_MSIX + device->identity.config_size)
        size *= 2;
    return size;
}

void virtio_legacy_add(struct virtio_pci *device)
{
    pci_add_bar(&device->pci, VIRTIO_BAR_LEGACY, PCI_BAR_IO, bar_size(device), &legacy_ops, device);
}
