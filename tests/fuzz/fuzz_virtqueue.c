/* A virtqueue whose rings are random and change at any time, in the midst of a chain too. What must
 * hold: nothing crashes or hangs, chains lie in memory, and what a device copies stays in them. */
#include "base/bits.h"
#include "devices/virtio/queue.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

/* Two pieces of RAM that follow each other for the guest, but not for the host. */
enum { PIECE = 0x8000, RAM = 2 * PIECE, PIECES = 2 };
enum { DESCRIPTORS = 0, AVAILABLE = 0x4000, USED = 0x5000, TABLES = 0x6000, DESCRIPTOR = 16 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4, HELD_MAX = 4 };

/* The input, byte by byte; zeros after its end. */
struct input {
    const uint8_t *data;
    size_t size;
};

struct guest {
    uint8_t *piece[PIECES];
    struct input input;
    struct virtqueue queue;
    struct virtqueue_chain *held[HELD_MAX]; /* popped, not yet given back */
    unsigned held_count;
};

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;
    if (bytes > input->size)
        bytes = (unsigned)input->size;
    memcpy(&value, input->data, bytes);
    input->data += bytes;
    input->size -= bytes;
    return value;
}

/* --- Memory */

static uint8_t *byte_at(struct guest *guest, uint64_t address)
{
    return guest->piece[address / PIECE % PIECES] + address % PIECE;
}

static void store(struct guest *guest, uint64_t address, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        *byte_at(guest, address + i) = (uint8_t)(value >> (8 * i));
}

/* Another of the guest's CPUs writes while the device looks for a buffer. */
static void *map(void *opaque, uint64_t address, uint64_t *size)
{
    struct guest *guest = opaque;
    uint8_t kind = (uint8_t)take(&guest->input, 1);
    if (kind > 0xe0)
        store(guest, take(&guest->input, 2) % TABLES, kind, 1);
    if (address >= RAM)
        return NULL;
    uint64_t room = PIECE - address % PIECE;
    *size = *size < room ? *size : room;
    return byte_at(guest, address);
}

static bool read_memory(void *opaque, uint64_t address, void *data, uint64_t size)
{
    struct guest *guest = opaque;
    if (address > RAM || size > RAM - address)
        return false;
    for (uint64_t i = 0; i < size; i++)
        ((uint8_t *)data)[i] = *byte_at(guest, address + i);
    return true;
}

static bool write_memory(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    (void)address;
    (void)data;
    (void)size;
    return false;
}

static void written(void *opaque, uint64_t address, uint64_t size)
{
    (void)opaque;
    if (address > RAM || size > RAM - address)
        fuzz_fail("written(%#llx, %#llx) lies outside memory", (unsigned long long)address,
                  (unsigned long long)size);
}

static const struct dma_ops memory = {read_memory, write_memory, map, written};

/* --- The driver */

/* Chains of two descriptors that are read, then two that are written. */
static void fill_table(struct guest *guest, uint64_t table)
{
    for (unsigned i = 0; i < 32; i++, table += DESCRIPTOR) {
        store(guest, table, PIECE - 100 + 64 * i, 8);
        store(guest, table + 8, 48, 4);
        store(guest, table + 12, (i & 2 ? WRITE : 0) | ((i & 3) < 3 ? NEXT : 0), 2);
        store(guest, table + 14, i + 1, 2);
    }
}

static void start(struct guest *guest)
{
    struct input *input = &guest->input;
    const uint8_t kind = (uint8_t)take(input, 1);
    const struct dma dma = {&memory, guest};
    const uint64_t features =
        (kind & 1 ? VIRTIO_F_INDIRECT_DESC : 0) | (kind & 2 ? VIRTIO_F_EVENT_IDX : 0);
    const uint16_t size = kind > 0xf0 ? (uint16_t)take(input, 2) : (uint16_t)(1u << (kind >> 4));
    for (unsigned i = 0; i < guest->held_count; i++)
        free(guest->held[i]);
    guest->held_count = 0;
    fill_table(guest, DESCRIPTORS);
    fill_table(guest, TABLES);
    store(guest, AVAILABLE, 0, 4);
    if ((kind & 0xc) == 4)
        virtqueue_start_legacy(&guest->queue, &dma, size, (uint32_t)take(input, 1) & 15, features);
    else if ((kind & 0xc) == 8)
        virtqueue_start(&guest->queue, &dma, size, take(input, 2), take(input, 3), take(input, 2),
                        features);
    else
        virtqueue_start(&guest->queue, &dma, size, DESCRIPTORS, AVAILABLE, USED, features);
}

/* A descriptor that is often sound. */
static void describe(struct guest *guest)
{
    struct input *input = &guest->input;
    const uint8_t kind = (uint8_t)take(input, 1), index = (uint8_t)take(input, 1);
    const bool indirect = kind > 0xd0;
    const uint64_t at = (kind & 1 ? DESCRIPTORS : TABLES) + DESCRIPTOR * (index & 31u);
    const unsigned flags = kind > 0xf8 ? kind & 7u
                           : indirect  ? INDIRECT
                                       : kind >> 1 & (NEXT | WRITE);
    uint64_t address = kind & 8 ? take(input, 2) : PIECE + (uint64_t)take(input, 1);
    uint32_t length = (uint32_t)take(input, kind & 16 ? 2 : 1);
    if (indirect) {
        address = TABLES + DESCRIPTOR * (address & 31);
        length = DESCRIPTOR * (length & 63);
    }
    store(guest, at, kind == 0xff ? take(input, 8) : address, 8);
    store(guest, at + 8, kind == 0xfe ? take(input, 4) : length, 4);
    store(guest, at + 12, flags, 2);
    store(guest, at + 14, kind & 32 ? take(input, 1) : (index & 31u) + 1, 2);
}

static void offer(struct guest *guest)
{
    const struct virtqueue *queue = &guest->queue;
    const uint8_t kind = (uint8_t)take(&guest->input, 1);
    const unsigned count = kind > 0xf8 ? (unsigned)take(&guest->input, 2) : kind & 3u;
    uint8_t index[2];
    if (!queue->size || queue->broken || !read_memory(guest, queue->available + 2, index, 2))
        return;
    unsigned at = (unsigned)load_le(index, 2);
    store(guest, queue->available + 4 + 2 * (at & (queue->size - 1u)), kind >> 2, 2);
    store(guest, queue->available + 2, at + count, 2);
}

/* --- The device */

static void check(struct guest *guest, const struct virtqueue_chain *chain)
{
    const unsigned count = chain->out_count + chain->in_count;
    uint64_t total = 0;
    if (count > VIRTQUEUE_CHAIN_MAX)
        fuzz_fail("a chain has %u pieces", count);
    for (unsigned i = 0; i < count; i++) {
        uint64_t room = PIECE - chain->address[i] % PIECE;
        if (chain->address[i] >= RAM || chain->iov[i].iov_len > room ||
            chain->iov[i].iov_base != byte_at(guest, chain->address[i]))
            fuzz_fail("a piece lies outside memory");
        total += chain->iov[i].iov_len;
    }
    if (total != chain->out_size + chain->in_size)
        fuzz_fail("a chain of %llu bytes says that it has %llu", (unsigned long long)total,
                  (unsigned long long)(chain->out_size + chain->in_size));
}

static void pop(struct guest *guest)
{
    struct virtqueue_chain *chain = malloc(sizeof(*chain));
    uint8_t data[300];
    if (!chain)
        abort();
    if (guest->held_count == HELD_MAX || !virtqueue_pop(&guest->queue, chain)) {
        free(chain);
        return;
    }
    check(guest, chain);
    const uint64_t offset = take(&guest->input, 2), size = take(&guest->input, 2) % sizeof(data);
    if (virtqueue_read(chain, offset, data, size) > size ||
        virtqueue_write(chain, offset, memset(data, 1, sizeof(data)), size) > size)
        fuzz_fail("more than %u bytes were copied", (unsigned)size);
    guest->held[guest->held_count++] = chain;
}

/* In any order; a device says that it has written at most what there was room for. */
static void push(struct guest *guest)
{
    const uint8_t kind = (uint8_t)take(&guest->input, 1);
    if (!guest->held_count)
        return;
    const unsigned which = kind % guest->held_count;
    struct virtqueue_chain *chain = guest->held[which];
    const uint64_t room = chain->in_size < UINT32_MAX ? chain->in_size : UINT32_MAX;
    virtqueue_push(&guest->queue, chain, (uint32_t)(kind & 0x80 ? room : room / 2));
    free(chain);
    guest->held[which] = guest->held[--guest->held_count];
    virtqueue_must_interrupt(&guest->queue);
}

/* Several at once, or all taken back. */
static void stage(struct guest *guest)
{
    const bool back = take(&guest->input, 1) & 1;
    if (guest->held_count)
        return; /* whoever stages pops nothing else meanwhile */
    for (unsigned i = 0; i < 2; i++)
        pop(guest);
    for (unsigned i = 0; i < guest->held_count; i++) {
        virtqueue_stage(&guest->queue, guest->held[i], 0);
        free(guest->held[i]);
    }
    guest->held_count = 0;
    if (back)
        virtqueue_take_back(&guest->queue);
    else
        virtqueue_publish(&guest->queue);
}

static void operate(struct guest *guest)
{
    struct input *input = &guest->input;
    uint8_t kind = (uint8_t)take(input, 1);
    switch (kind & 15) {
    case 0 ... 5:
        describe(guest);
        break;
    case 6 ... 8:
        offer(guest);
        break;
    case 9 ... 10:
        pop(guest);
        break;
    case 11:
        push(guest);
        break;
    case 12:
        stage(guest);
        break;
    case 13:
        virtqueue_want_notify(&guest->queue, kind & 0x80);
        break;
    case 14:
        store(guest, take(input, 2) % RAM, take(input, 2), 2);
        break;
    case 15:
        if (kind > 0xe0)
            start(guest);
        break;
    }
    if (guest->queue.broken && kind & 0x80)
        start(guest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest guest = {.input = {data, size}};
    for (unsigned i = 0; i < PIECES; i++)
        if (!(guest.piece[i] = calloc(1, PIECE)))
            abort();
    start(&guest);
    while (guest.input.size)
        operate(&guest);
    while (guest.held_count)
        free(guest.held[--guest.held_count]);
    for (unsigned i = 0; i < PIECES; i++)
        free(guest.piece[i]);
    return 0;
}
