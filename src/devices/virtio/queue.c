#include "devices/virtio/queue.h"

#include "base/bits.h"

#include <string.h>

/* Descriptors (2.7.5), in x86's byte order as all of the rings are. */
struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

/* The rings: flags, index, entries, event. */
enum { RING_FLAGS = 0, RING_INDEX = 2, RING_ENTRIES = 4, USED_ENTRY = 8 };
enum { AVAILABLE_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };
enum { LEGACY_ALIGNMENT = 4096 };

static bool break_queue(struct virtqueue *queue, const char *why)
{
    if (!queue->broken)
        queue->broken = why;
    return false;
}

/* The guest's other CPUs and threads write there at the same time. */
static uint16_t load16(const uint8_t *p)
{
    return __atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE);
}

static void store16(uint8_t *p, uint16_t value)
{
    __atomic_store_n((uint16_t *)(void *)p, value, __ATOMIC_RELEASE);
}

static uint64_t available_size(uint16_t size)
{
    return RING_ENTRIES + 2ull * size + 2;
}

static uint64_t used_size(uint16_t size)
{
    return RING_ENTRIES + (uint64_t)USED_ENTRY * size + 2;
}

/* ---- Starting ---- */

/* RAM in one piece, or NULL. */
static uint8_t *map_whole(const struct dma *dma, uint64_t address, uint64_t size)
{
    uint64_t got = size;
    uint8_t *host = dma->ops->map(dma->opaque, address, &got);
    return host && got == size ? host : NULL;
}

void virtqueue_start(struct virtqueue *queue, const struct dma *dma, uint16_t size,
                     uint64_t descriptors, uint64_t available, uint64_t used, uint64_t features)
{
    *queue = (struct virtqueue){.dma = *dma,
                                .descriptors = descriptors,
                                .available = available,
                                .used = used,
                                .event_idx = features & VIRTIO_F_EVENT_IDX,
                                .indirect = features & VIRTIO_F_INDIRECT_DESC};
    if (!is_power_of_two(size) || size > VIRTQUEUE_SIZE_MAX) {
        break_queue(queue, "its size is no power of 2 that is offered");
        return;
    }
    if (descriptors % 16 || available % 2 || used % 4) {
        break_queue(queue, "a ring is misaligned");
        return;
    }
    queue->size = size;
    queue->host_descriptors = map_whole(dma, descriptors, sizeof(struct descriptor) * size);
    queue->host_available = map_whole(dma, available, available_size(size));
    queue->host_used = map_whole(dma, used, used_size(size));
    if (!queue->host_descriptors || !queue->host_available || !queue->host_used)
        break_queue(queue, "a ring does not lie in memory");
}

void virtqueue_start_legacy(struct virtqueue *queue, const struct dma *dma, uint16_t size,
                            uint32_t page, uint64_t features)
{
    uint64_t descriptors = (uint64_t)page * PAGE_SIZE;
    uint64_t available = descriptors + sizeof(struct descriptor) * size;
    uint64_t used = align_up(available + available_size(size), LEGACY_ALIGNMENT);
    virtqueue_start(queue, dma, size, descriptors, available, used, features);
}

void virtqueue_reset(struct virtqueue *queue)
{
    *queue = (struct virtqueue){0};
}

/* ---- Chains ---- */

/* Adds a buffer, in as many pieces as its memory has. */
static bool add_buffer(struct virtqueue *queue, struct virtqueue_chain *chain,
                       const struct descriptor *descriptor)
{
    bool in = descriptor->flags & DESC_WRITE;
    uint64_t address = descriptor->address, left = descriptor->length;
    if (!left)
        return break_queue(queue, "a buffer is empty");
    if (!in && chain->in_count)
        return break_queue(queue, "a buffer to read comes after one to write");
    while (left) {
        unsigned at = chain->out_count + chain->in_count;
        uint64_t size = left;
        if (at == VIRTQUEUE_CHAIN_MAX)
            return break_queue(queue, "a chain has too many pieces");
        void *host = queue->dma.ops->map(queue->dma.opaque, address, &size);
        if (!host)
            return break_queue(queue, "a buffer does not lie in memory");
        chain->iov[at] = (struct iovec){host, size};
        chain->address[at] = address;
        *(in ? &chain->in_count : &chain->out_count) += 1;
        *(in ? &chain->in_size : &chain->out_size) += size;
        address += size;
        left -= size;
    }
    return true;
}

/* Follows a table of count descriptors from one on. A chain has no more of them than its table, or
 * it has a loop. */
static bool follow(struct virtqueue *queue, struct virtqueue_chain *chain, const uint8_t *table,
                   unsigned count, unsigned first, struct descriptor *indirect)
{
    unsigned index = first;
    for (unsigned length = 0; length < count; length++) {
        struct descriptor descriptor;
        memcpy(&descriptor, table + sizeof(descriptor) * index, sizeof(descriptor));
        if (descriptor.flags & DESC_INDIRECT) {
            if (!indirect || !queue->indirect || descriptor.flags & DESC_NEXT)
                return break_queue(queue, "an indirect descriptor where there must be none");
            *indirect = descriptor;
            return true;
        }
        if (!add_buffer(queue, chain, &descriptor))
            return false;
        if (!(descriptor.flags & DESC_NEXT))
            return true;
        index = descriptor.next;
        if (index >= count)
            return break_queue(queue, "a descriptor's successor lies outside the table");
    }
    return break_queue(queue, "a chain has a loop");
}

static bool follow_indirect(struct virtqueue *queue, struct virtqueue_chain *chain,
                            const struct descriptor *indirect)
{
    unsigned count = indirect->length / sizeof(struct descriptor);
    if (!count || indirect->length % sizeof(struct descriptor) || count > VIRTQUEUE_CHAIN_MAX)
        return break_queue(queue, "an indirect table has a wrong size");
    struct descriptor table[VIRTQUEUE_CHAIN_MAX];
    if (!queue->dma.ops->read(queue->dma.opaque, indirect->address, table, indirect->length))
        return break_queue(queue, "an indirect table does not lie in memory");
    return follow(queue, chain, (const uint8_t *)table, count, 0, NULL);
}

bool virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain)
{
    if (!queue->size || queue->broken)
        return false;
    uint16_t waiting = load16(queue->host_available + RING_INDEX) - queue->next_available;
    if (!waiting)
        return false;
    if (waiting > queue->size)
        return break_queue(queue, "more chains are available than the queue has room for");
    uint16_t entry = queue->next_available & (queue->size - 1);
    chain->head = load16(queue->host_available + RING_ENTRIES + 2 * entry);
    chain->out_count = chain->in_count = 0;
    chain->out_size = chain->in_size = 0;
    if (chain->head >= queue->size)
        return break_queue(queue, "a chain begins outside the table");

    struct descriptor indirect = {.flags = 0};
    if (!follow(queue, chain, queue->host_descriptors, queue->size, chain->head, &indirect) ||
        (indirect.flags && !follow_indirect(queue, chain, &indirect)))
        return false;
    queue->next_available++;
    return true;
}

unsigned virtqueue_part(const struct virtqueue_chain *chain, bool in, uint64_t offset,
                        uint64_t size, struct iovec *part)
{
    unsigned count = 0;
    for (const struct iovec *iov = chain->iov + (in ? chain->out_count : 0); size; iov++) {
        if (offset >= iov->iov_len) {
            offset -= iov->iov_len;
            continue;
        }
        uint64_t here = iov->iov_len - offset < size ? iov->iov_len - offset : size;
        part[count++] = (struct iovec){(uint8_t *)iov->iov_base + offset, here};
        size -= here;
        offset = 0;
    }
    return count;
}

/* Copies between a part of a chain and data, as far as the chain reaches. */
static uint64_t copy(const struct virtqueue_chain *chain, bool in, uint64_t offset, uint8_t *data,
                     uint64_t size)
{
    struct iovec part[VIRTQUEUE_CHAIN_MAX];
    uint64_t there = in ? chain->in_size : chain->out_size;
    uint64_t left = offset < there ? there - offset : 0;
    size = size < left ? size : left;
    unsigned count = virtqueue_part(chain, in, offset, size, part);
    for (unsigned i = 0; i < count; data += part[i++].iov_len) {
        if (in)
            memcpy(part[i].iov_base, data, part[i].iov_len);
        else
            memcpy(data, part[i].iov_base, part[i].iov_len);
    }
    return size;
}

uint64_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *data,
                        uint64_t size)
{
    return copy(chain, false, offset, data, size);
}

uint64_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *data,
                         uint64_t size)
{
    return copy(chain, true, offset, (uint8_t *)(uintptr_t)data, size);
}

/* ---- Used chains ---- */

static void tell_written(const struct virtqueue *queue, const struct virtqueue_chain *chain,
                         uint64_t written)
{
    for (unsigned i = chain->out_count; written && i < chain->out_count + chain->in_count; i++) {
        uint64_t size = chain->iov[i].iov_len < written ? chain->iov[i].iov_len : written;
        queue->dma.ops->written(queue->dma.opaque, chain->address[i], size);
        written -= size;
    }
}

static void tell_used_written(const struct virtqueue *queue, uint64_t offset, uint64_t size)
{
    queue->dma.ops->written(queue->dma.opaque, queue->used + offset, size);
}

void virtqueue_stage(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t written)
{
    if (!queue->size || queue->broken)
        return;
    tell_written(queue, chain, written);
    uint32_t entry[2] = {chain->head, written};
    uint16_t index = queue->next_used + queue->staged++;
    uint64_t offset = RING_ENTRIES + USED_ENTRY * (index & (queue->size - 1u));
    memcpy(queue->host_used + offset, entry, sizeof(entry));
    tell_used_written(queue, offset, sizeof(entry));
}

void virtqueue_publish(struct virtqueue *queue)
{
    if (!queue->staged)
        return;
    queue->next_used += queue->staged;
    queue->staged = 0;
    store16(queue->host_used + RING_INDEX, queue->next_used);
    tell_used_written(queue, RING_INDEX, 2);
}

void virtqueue_take_back(struct virtqueue *queue)
{
    queue->next_available -= queue->staged;
    queue->staged = 0;
}

void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t written)
{
    virtqueue_stage(queue, chain, written);
    virtqueue_publish(queue);
}

bool virtqueue_must_interrupt(struct virtqueue *queue)
{
    if (!queue->size || queue->broken)
        return false;
    uint16_t before = queue->told_used, now = queue->next_used;
    queue->told_used = now;
    if (before == now)
        return false;
    /* The guest writes what it waits for, then looks at the index; here it is the other way. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!queue->event_idx)
        return !(load16(queue->host_available + RING_FLAGS) & AVAILABLE_NO_INTERRUPT);
    uint16_t event = load16(queue->host_available + RING_ENTRIES + 2 * queue->size);
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

void virtqueue_want_notify(struct virtqueue *queue, bool want)
{
    if (!queue->size || queue->broken)
        return;
    uint64_t offset = RING_FLAGS;
    if (queue->event_idx) {
        if (!want)
            return; /* the event that is set has passed */
        offset = RING_ENTRIES + (uint64_t)USED_ENTRY * queue->size;
        store16(queue->host_used + offset, queue->next_available);
    } else {
        store16(queue->host_used + offset, want ? 0 : USED_NO_NOTIFY);
    }
    tell_used_written(queue, offset, 2);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
