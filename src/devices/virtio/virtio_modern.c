#include "devices/virtio/virtio_pci_internal.h"

/* The structures of the BAR have a page each. */
enum {
    AREA_SIZE = 0x1000,
    AREA_COMMON = 0,
    AREA_ISR,
    AREA_DEVICE,
    AREA_NOTIFY,
    MODERN_SIZE = 4 * AREA_SIZE,
    NOTIFY_MULTIPLIER = 4,
};

/* Capabilities of vendor type that say where they are. */
enum {
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_PCI = 5,

    CAP_LENGTH = 2, /* registers of a capability */
    CAP_TYPE = 3,
    CAP_BAR = 4,
    CAP_OFFSET = 8,
    CAP_SIZE = 12,
    CAP_EXTRA = 16, /* the notify multiplier; the data of CAP_PCI */
};

/* --- The common configuration (4.1.4.3) */

enum common_register {
    COMMON_DEVICE_FEATURE_SELECT = 0x00,
    COMMON_DEVICE_FEATURE = 0x04,
    COMMON_DRIVER_FEATURE_SELECT = 0x08,
    COMMON_DRIVER_FEATURE = 0x0c,
    COMMON_CONFIG_VECTOR = 0x10,
    COMMON_NUM_QUEUES = 0x12,
    COMMON_STATUS = 0x14,
    COMMON_GENERATION = 0x15,
    COMMON_QUEUE_SELECT = 0x16,
    COMMON_QUEUE_SIZE = 0x18,
    COMMON_QUEUE_VECTOR = 0x1a,
    COMMON_QUEUE_ENABLE = 0x1c,
    COMMON_QUEUE_NOTIFY_OFF = 0x1e,
    COMMON_QUEUE_DESC = 0x20, /* 3 of 8 bytes */
    COMMON_QUEUE_DRIVER = 0x28,
    COMMON_QUEUE_DEVICE = 0x30,
    COMMON_LENGTH = 0x38,
};

static uint32_t feature_word(uint64_t features, uint32_t select)
{
    return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static void fill_common(struct virtio_pci *device, uint8_t *image)
{
    const struct virtio_pci_queue *queue = virtio_pci_selected(device);
    store_le(image + COMMON_DEVICE_FEATURE_SELECT, device->device_feature_select, 4);
    store_le(image + COMMON_DEVICE_FEATURE,
             feature_word(device->offered, device->device_feature_select), 4);
    store_le(image + COMMON_DRIVER_FEATURE_SELECT, device->driver_feature_select, 4);
    store_le(image + COMMON_DRIVER_FEATURE,
             feature_word(device->features, device->driver_feature_select), 4);
    store_le(image + COMMON_CONFIG_VECTOR, device->config_vector, 2);
    store_le(image + COMMON_NUM_QUEUES, device->identity.queues, 2);
    image[COMMON_STATUS] = device->status;
    image[COMMON_GENERATION] = device->generation;
    store_le(image + COMMON_QUEUE_SELECT, device->queue_select, 2);
    if (!queue)
        return;
    store_le(image + COMMON_QUEUE_SIZE, queue->size, 2);
    store_le(image + COMMON_QUEUE_VECTOR, queue->vector, 2);
    store_le(image + COMMON_QUEUE_ENABLE, queue->enabled, 2);
    store_le(image + COMMON_QUEUE_NOTIFY_OFF, device->queue_select, 2);
    store_le(image + COMMON_QUEUE_DESC, queue->descriptors, 8);
    store_le(image + COMMON_QUEUE_DRIVER, queue->driver, 8);
    store_le(image + COMMON_QUEUE_DEVICE, queue->device, 8);
}

static uint64_t common_read(struct virtio_pci *device, uint64_t offset, unsigned size)
{
    uint8_t image[COMMON_LENGTH] = {0};
    fill_common(device, image);
    return offset + size <= sizeof(image) ? load_le(image + offset, size) : 0;
}

static void accept_features(struct virtio_pci *device, uint32_t value)
{
    unsigned shift = 32 * device->driver_feature_select;
    if (device->driver_feature_select > 1 || device->status & VIRTIO_FEATURES_OK)
        return;
    device->features = (device->features & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value
                                                                                   << shift;
}

static void enable(struct virtio_pci *device, struct virtio_pci_queue *queue)
{
    struct dma dma = pci_dma(&device->pci);
    queue->enabled = true;
    virtqueue_start(&queue->ring, &dma, queue->size, queue->descriptors, queue->driver,
                    queue->device, device->features);
    if (queue->ring.broken)
        virtio_pci_fail(device);
}

static void queue_write(struct virtio_pci *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_pci_queue *queue = virtio_pci_selected(device);
    if (!queue || (queue->enabled && offset != COMMON_QUEUE_VECTOR))
        return;
    switch (offset) {
    case COMMON_QUEUE_SIZE:
        if (value <= device->identity.queue_size)
            queue->size = (uint16_t)value;
        return;
    case COMMON_QUEUE_VECTOR:
        queue->vector = virtio_pci_vector(device, value);
        return;
    case COMMON_QUEUE_ENABLE:
        if (value == 1)
            enable(device, queue);
        return;
    }
    uint64_t *rings[] = {&queue->descriptors, &queue->driver, &queue->device};
    if (offset >= COMMON_QUEUE_DESC && offset + size <= COMMON_LENGTH)
        store_le((uint8_t *)rings[(offset - COMMON_QUEUE_DESC) / 8] + offset % 8, value, size);
}

static void common_write(struct virtio_pci *device, uint64_t offset, uint64_t value, unsigned size)
{
    switch (offset) {
    case COMMON_DEVICE_FEATURE_SELECT:
        device->device_feature_select = (uint32_t)value;
        break;
    case COMMON_DRIVER_FEATURE_SELECT:
        device->driver_feature_select = (uint32_t)value;
        break;
    case COMMON_DRIVER_FEATURE:
        accept_features(device, (uint32_t)value);
        break;
    case COMMON_CONFIG_VECTOR:
        device->config_vector = virtio_pci_vector(device, value);
        break;
    case COMMON_STATUS:
        virtio_pci_set_status(device, (uint8_t)value);
        break;
    case COMMON_QUEUE_SELECT:
        device->queue_select = (uint16_t)value;
        break;
    default:
        queue_write(device, offset, value, size);
    }
}

/* --- The modern BAR */

static uint64_t modern_read(void *opaque, uint64_t offset, unsigned size)
{
    struct virtio_pci *device = opaque;
    uint64_t within = offset % AREA_SIZE;
    switch (offset / AREA_SIZE) {
    case AREA_COMMON:
        return common_read(device, within, size);
    case AREA_ISR:
        return within ? 0 : virtio_pci_take_isr(device);
    case AREA_DEVICE:
        return virtio_pci_config_read(device, within, size);
    default:
        return 0;
    }
}

static void modern_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct virtio_pci *device = opaque;
    uint64_t within = offset % AREA_SIZE;
    switch (offset / AREA_SIZE) {
    case AREA_COMMON:
        common_write(device, within, value, size);
        break;
    case AREA_DEVICE:
        virtio_pci_config_write(device, within, value, size);
        break;
    case AREA_NOTIFY:
        if (!(within % NOTIFY_MULTIPLIER))
            virtio_pci_notify(device, (unsigned)within / NOTIFY_MULTIPLIER);
        break;
    }
}

static const struct bus_ops modern_ops = {"virtio", modern_read, modern_write, 1, 4};

/* --- Configuration space: CAP_PCI is a window to the modern BAR (4.1.4.9) */

/* Whether the guest's access is to the window's data, and where that leads. */
static bool window_access(const struct virtio_pci *device, unsigned offset, unsigned size,
                          uint32_t *at, uint32_t *length)
{
    const struct pci_function *pci = &device->pci;
    unsigned cap = device->window;
    *at = pci_get(pci, cap + CAP_OFFSET, 4);
    *length = pci_get(pci, cap + CAP_SIZE, 4);
    return pci_touches(offset, size, cap + CAP_EXTRA, 4) &&
           pci_get(pci, cap + CAP_BAR, 1) == VIRTIO_BAR_MODERN &&
           (*length == 1 || *length == 2 || *length == 4) && !(*at % *length) && *at < MODERN_SIZE;
}

void virtio_modern_config_reading(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio_pci *device = (struct virtio_pci *)function;
    uint32_t at, length;
    if (window_access(device, offset, size, &at, &length))
        pci_set(function, device->window + CAP_EXTRA, (uint32_t)modern_read(device, at, length), 4);
}

void virtio_modern_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct virtio_pci *device = (struct virtio_pci *)function;
    uint32_t at, length;
    if (window_access(device, offset, size, &at, &length))
        modern_write(device, at, pci_get(function, device->window + CAP_EXTRA, length), length);
}

/* --- Description */

static unsigned add_capability(struct virtio_pci *device, uint8_t type, unsigned area,
                               uint32_t length)
{
    struct pci_function *pci = &device->pci;
    unsigned size = type == CAP_NOTIFY || type == CAP_PCI ? CAP_EXTRA + 4 : CAP_EXTRA;
    unsigned cap = pci_add_capability(pci, PCI_CAP_VENDOR, size);
    pci_set(pci, cap + CAP_LENGTH, size, 1);
    pci_set(pci, cap + CAP_TYPE, type, 1);
    if (type == CAP_PCI) {
        pci_describe(pci, cap + CAP_BAR, 0, 0xff, 1);
        pci_describe(pci, cap + CAP_OFFSET, 0, ~0u, 4);
        pci_describe(pci, cap + CAP_SIZE, 0, ~0u, 4);
        pci_describe(pci, cap + CAP_EXTRA, 0, ~0u, 4);
        return cap;
    }
    pci_set(pci, cap + CAP_BAR, VIRTIO_BAR_MODERN, 1);
    pci_set(pci, cap + CAP_OFFSET, area * AREA_SIZE, 4);
    pci_set(pci, cap + CAP_SIZE, length, 4);
    if (type == CAP_NOTIFY)
        pci_set(pci, cap + CAP_EXTRA, NOTIFY_MULTIPLIER, 4);
    return cap;
}

void virtio_modern_add(struct virtio_pci *device)
{
    pci_add_bar(&device->pci, VIRTIO_BAR_MODERN, PCI_BAR_MEMORY_64, MODERN_SIZE, &modern_ops,
                device);
    device->window = add_capability(device, CAP_PCI, 0, 0);
    add_capability(device, CAP_NOTIFY, AREA_NOTIFY, NOTIFY_MULTIPLIER * device->identity.queues);
    if (device->identity.config_size)
        add_capability(device, CAP_DEVICE, AREA_DEVICE, device->identity.config_size);
    add_capability(device, CAP_ISR, AREA_ISR, 1);
    add_capability(device, CAP_COMMON, AREA_COMMON, COMMON_LENGTH);
}
