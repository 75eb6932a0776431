/* Split virtqueues (Virtio 1.2, 2.7): what every virtio device has under it, whatever transport the
 * guest finds it by.
 *
 * A device pops chains of buffers off a queue, fills or reads them, pushes them back, and
 * interrupts the guest where virtqueue_must_interrupt() says so. Everything in the rings is the
 * guest's and may change at any time: what is nonsense breaks the queue, which then has no more
 * chains. The device sets DEVICE_NEEDS_RESET. Bus lock held. */
#ifndef DOPPEL_DEVICES_VIRTIO_QUEUE_H
#define DOPPEL_DEVICES_VIRTIO_QUEUE_H

#include "base/types.h"
#include "bus/dma.h"

#include <sys/uio.h>

/* The largest queue, and the most pieces of memory in a chain. */
#define VIRTQUEUE_SIZE_MAX 1024
#define VIRTQUEUE_CHAIN_MAX 1024

/* Feature bits that queues know (Virtio 1.2, 6). */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)

struct virtqueue {
    struct dma dma;
    uint16_t size; /* entries, a power of 2; 0: the queue is not in use */
    bool event_idx, indirect;
    uint64_t descriptors, available, used; /* guest-physical */
    uint8_t *host_descriptors, *host_available, *host_used;

    uint16_t next_available; /* the index of the next chain */
    uint16_t next_used;      /* that of the next one to give back */
    uint16_t staged;         /* behind it, but not given back yet */
    uint16_t told_used;      /* next_used when must_interrupt() was last asked */
    const char *broken;      /* why; NULL: it is not */
};

/* A chain of buffers as host memory, in guest order: what the device reads, then what it writes. It
 * is good until it is pushed. */
struct virtqueue_chain {
    uint16_t head;
    unsigned out_count, in_count; /* pieces */
    uint64_t out_size, in_size;   /* bytes */
    struct iovec iov[VIRTQUEUE_CHAIN_MAX];
    uint64_t address[VIRTQUEUE_CHAIN_MAX]; /* of each piece, guest-physical */
};

/* Starts a queue from its first entry. Breaks it where a ring is misaligned, not of RAM in one
 * piece, or its size no power of 2 up to VIRTQUEUE_SIZE_MAX. */
void virtqueue_start(struct virtqueue *queue, const struct dma *dma, uint16_t size,
                     uint64_t descriptors, uint64_t available, uint64_t used, uint64_t features);
/* The same for a legacy device: the rings follow each other from the page on (2.7.2). */
void virtqueue_start_legacy(struct virtqueue *queue, const struct dma *dma, uint16_t size,
                            uint32_t page, uint64_t features);
void virtqueue_reset(struct virtqueue *queue);

/* The next chain; false: there is none, or the queue is broken. */
bool virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *chain);

/* Gives a chain back of which the device has written the first `written` bytes of the in part. */
void virtqueue_push(struct virtqueue *queue, const struct virtqueue_chain *chain, uint32_t written);
/* The same in two steps, for several chains that the guest must see at once: those that are staged
 * it sees when they are published. Or they are taken back: then they are popped again. Whoever
 * stages pushes and pops nothing else meanwhile. */
void virtqueue_stage(struct virtqueue *queue, const struct virtqueue_chain *chain,
                     uint32_t written);
void virtqueue_publish(struct virtqueue *queue);
void virtqueue_take_back(struct virtqueue *queue);

/* Whether the guest wants an interrupt for what was pushed since this was last asked. */
bool virtqueue_must_interrupt(struct virtqueue *queue);

/* Copies size bytes at an offset of what the device reads, or writes. Returns how many there were.
 */
uint64_t virtqueue_read(const struct virtqueue_chain *chain, uint64_t offset, void *data,
                        uint64_t size);
uint64_t virtqueue_write(const struct virtqueue_chain *chain, uint64_t offset, const void *data,
                         uint64_t size);
/* The pieces of [offset, offset + size) of what the device writes (in) or reads, as a list, which
 * has room for VIRTQUEUE_CHAIN_MAX; returns how many there are. The range lies in the chain. */
unsigned virtqueue_part(const struct virtqueue_chain *chain, bool in, uint64_t offset,
                        uint64_t size, struct iovec *part);

/* Tells the guest whether it needs to notify of new chains. After switching it on the device pops
 * once more: the guest may have been faster. */
void virtqueue_want_notify(struct virtqueue *queue, bool want);

#endif
