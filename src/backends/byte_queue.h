/* A bounded first-in, first-out queue of bytes. */
#ifndef DOPPEL_BACKENDS_BYTE_QUEUE_H
#define DOPPEL_BACKENDS_BYTE_QUEUE_H

#include "base/types.h"

struct byte_queue {
    uint8_t *bytes;
    size_t size, head, count;
};

static inline size_t byte_queue_room(const struct byte_queue *queue)
{
    return queue->size - queue->count;
}

/* Appends what fits. */
static inline void byte_queue_push(struct byte_queue *queue, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count && queue->count < queue->size; i++)
        queue->bytes[(queue->head + queue->count++) % queue->size] = bytes[i];
}

/* Copies up to max of the oldest bytes, which stay; returns how many. */
static inline size_t byte_queue_peek(const struct byte_queue *queue, uint8_t *bytes, size_t max)
{
    size_t count = queue->count < max ? queue->count : max;
    for (size_t i = 0; i < count; i++)
        bytes[i] = queue->bytes[(queue->head + i) % queue->size];
    return count;
}

/* Removes the oldest bytes; count is at most queue->count. */
static inline void byte_queue_drop(struct byte_queue *queue, size_t count)
{
    queue->head = (queue->head + count) % queue->size;
    queue->count -= count;
}

#endif
