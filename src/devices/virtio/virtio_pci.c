#include "devices/virtio/virtio_pci.h"

#include "devices/virtio/virtio_pci_internal.h"

enum { VIRTIO_VENDOR = 0x1af4, MODERN_ID = 0x1040, MODERN_SUBSYSTEM = 0x1100 };
enum { ISR_QUEUE = 1, ISR_CONFIG = 2 };

#define TRANSPORT_FEATURES                                                                         \
    (VIRTIO_F_ANY_LAYOUT | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

/* --- Interrupts */

static void update_pin(struct virtio_pci *device)
{
    pci_set_intx(&device->pci, device->isr != 0);
}

static void interrupt(struct virtio_pci *device, uint8_t cause, uint16_t vector)
{
    if (pci_msix_enabled(&device->pci)) {
        pci_msix_notify(&device->pci, vector);
        return;
    }
    device->isr |= cause;
    update_pin(device);
}

uint8_t virtio_pci_take_isr(struct virtio_pci *device)
{
    uint8_t isr = device->isr;
    device->isr = 0;
    update_pin(device);
    return isr;
}

void virtio_pci_config_changed(struct virtio_pci *device)
{
    device->generation++;
    if (device->status & VIRTIO_DRIVER_OK)
        interrupt(device, ISR_CONFIG, device->config_vector);
}

uint16_t virtio_pci_vector(const struct virtio_pci *device, uint64_t value)
{
    return value <= device->identity.queues ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

/* --- Status */

static void reset_registers(struct virtio_pci *device)
{
    for (unsigned i = 0; i < device->identity.queues; i++)
        device->queue[i] = (struct virtio_pci_queue){
            .size = device->identity.queue_size,
            .vector = VIRTIO_NO_VECTOR,
        };
    device->features = 0;
    device->status = device->isr = 0;
    device->device_feature_select = device->driver_feature_select = 0;
    device->queue_select = 0;
    device->config_vector = VIRTIO_NO_VECTOR;
}

static void reset_device(struct virtio_pci *device)
{
    reset_registers(device);
    if (device->ops->reset)
        device->ops->reset(device);
    update_pin(device);
}

void virtio_pci_fail(struct virtio_pci *device)
{
    if (device->status & VIRTIO_NEEDS_RESET)
        return;
    device->status |= VIRTIO_NEEDS_RESET;
    virtio_pci_config_changed(device);
}

static bool is_modern(const struct virtio_pci *device)
{
    return device->features & VIRTIO_F_VERSION_1;
}

/* Before its driver is ready the queues of a modern device do not run (3.1.1); legacy drivers may
 * be early. */
bool virtio_pci_runs(const struct virtio_pci *device)
{
    return !(device->status & VIRTIO_NEEDS_RESET) && pci_is_master(&device->pci) &&
           (device->status & VIRTIO_DRIVER_OK || !is_modern(device));
}

void virtio_pci_notify(struct virtio_pci *device, unsigned queue)
{
    if (queue < device->identity.queues && device->queue[queue].enabled && virtio_pci_runs(device))
        device->ops->notify(device, queue);
}

void virtio_pci_set_status(struct virtio_pci *device, uint8_t status)
{
    uint8_t set = status & ~device->status;
    if (!status) {
        reset_device(device);
        return;
    }
    if (set & VIRTIO_FEATURES_OK && (device->features & ~device->offered || !is_modern(device)))
        status &= ~VIRTIO_FEATURES_OK;
    device->status = status | (device->status & VIRTIO_NEEDS_RESET);
    for (unsigned i = 0; set & VIRTIO_DRIVER_OK && i < device->identity.queues; i++)
        virtio_pci_notify(device, i);
}

/* --- Queues and configuration */

struct virtio_pci_queue *virtio_pci_selected(struct virtio_pci *device)
{
    return device->queue_select < device->identity.queues ? &device->queue[device->queue_select]
                                                          : NULL;
}

bool virtio_pci_pop(struct virtio_pci *device, unsigned queue, struct virtqueue_chain *chain)
{
    struct virtqueue *ring = &device->queue[queue].ring;
    if (!virtio_pci_runs(device))
        return false;
    if (virtqueue_pop(ring, chain))
        return true;
    virtqueue_want_notify(ring, true);
    if (virtqueue_pop(ring, chain)) /* the guest was faster */
        return true;
    if (ring->broken)
        virtio_pci_fail(device);
    return false;
}

void virtio_pci_push(struct virtio_pci *device, unsigned queue, const struct virtqueue_chain *chain,
                     uint32_t written)
{
    virtqueue_push(&device->queue[queue].ring, chain, written);
}

void virtio_pci_interrupt(struct virtio_pci *device, unsigned queue)
{
    if (virtqueue_must_interrupt(&device->queue[queue].ring))
        interrupt(device, ISR_QUEUE, device->queue[queue].vector);
}

uint64_t virtio_pci_config_read(const struct virtio_pci *device, uint64_t offset, unsigned size)
{
    bool inside = offset + size <= device->identity.config_size;
    return inside ? load_le(device->config + offset, size) : 0;
}

void virtio_pci_config_write(struct virtio_pci *device, uint64_t offset, uint64_t value,
                             unsigned size)
{
    if (!device->ops->config_written || offset + size > device->identity.config_size)
        return;
    store_le(device->config + offset, value, size);
    device->ops->config_written(device, (unsigned)offset, size);
}

/* --- Life */

static void reset_function(struct pci_function *function)
{
    reset_device((struct virtio_pci *)function);
}

static const struct pci_ops pci_ops = {
    .name = "virtio",
    .config_reading = virtio_modern_config_reading,
    .config_written = virtio_modern_config_written,
    .reset = reset_function,
};

bool virtio_pci_init(struct virtio_pci *device, const struct virtio_pci_ops *ops,
                     const struct virtio_pci_identity *identity)
{
    uint16_t legacy_id = identity->transitional_id;
    *device = (struct virtio_pci){
        .ops = ops,
        .identity = *identity,
        .offered = identity->features | TRANSPORT_FEATURES,
    };
    pci_init(&device->pci, &pci_ops,
             &(struct pci_identity){
                 .vendor = VIRTIO_VENDOR,
                 .device = legacy_id ? legacy_id : (uint16_t)(MODERN_ID + identity->type),
                 .class_code = identity->class_code,
                 .revision = legacy_id ? 0 : 1,
                 .interrupt_pin = 1,
                 .subsystem_vendor = VIRTIO_VENDOR,
                 .subsystem = legacy_id ? (uint16_t)identity->type : MODERN_SUBSYSTEM,
             });
    if (legacy_id)
        virtio_legacy_add(device);
    virtio_modern_add(device);
    reset_registers(device);
    return pci_add_msix(&device->pci, VIRTIO_BAR_MSIX, identity->queues + 1);
}

void virtio_pci_free(struct virtio_pci *device)
{
    pci_free(&device->pci);
}

bool virtio_pci_attach(struct virtio_pci *device, struct pci_bus *bus, unsigned slot)
{
    return pci_bus_attach(bus, &device->pci, slot, 0);
}
