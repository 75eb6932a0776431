/* Virtqueues on memory without a CPU: the driver's side is written here. */
#include "devices/virtio/queue.h"

#include "base/bits.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* Two pieces of RAM that follow each other for the guest, but not for the host. */
enum { PIECE = 0x10000, RAM = 2 * PIECE };
enum { SIZE = 8, DESCRIPTORS = 0x1000, AVAILABLE = 0x2000, USED = 0x3000, BUFFER = 0x8000 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct guest {
    uint8_t low[PIECE], gap[64], high[PIECE];
    uint64_t told; /* bytes that written() was called for */
    struct virtqueue queue;
    struct virtqueue_chain chain;
    uint16_t available; /* the driver's index */
};

static void *map(void *opaque, uint64_t address, uint64_t *size)
{
    struct guest *guest = opaque;
    if (address >= RAM)
        return NULL;
    uint64_t room = PIECE - address % PIECE;
    *size = *size < room ? *size : room;
    return (address < PIECE ? guest->low : guest->high) + address % PIECE;
}

static bool read_memory(void *opaque, uint64_t address, void *data, uint64_t size)
{
    for (uint64_t done = 0, part; done < size; done += part) {
        part = size - done;
        void *host = map(opaque, address + done, &part);
        if (!host)
            return false;
        memcpy((uint8_t *)data + done, host, part);
    }
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
    struct guest *guest = opaque;
    cr_assert(address < RAM && size <= RAM - address);
    guest->told += size;
}

static const struct dma_ops ops = {
    .read = read_memory, .write = write_memory, .map = map, .written = written};

static void start(struct guest *guest, uint64_t features)
{
    guest->available = 0;
    memset(guest->low + DESCRIPTORS, 0, 0x3000);
    virtqueue_start(&guest->queue, &(struct dma){&ops, guest}, SIZE, DESCRIPTORS, AVAILABLE, USED,
                    features);
    cr_assert_null(guest->queue.broken, "%s", guest->queue.broken);
}

static struct guest *guest_create(uint64_t features)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    start(guest, features);
    return guest;
}

static void describe(struct guest *guest, uint64_t table, unsigned index, uint64_t address,
                     uint32_t length, unsigned flags, unsigned next)
{
    uint8_t *entry = guest->low + table + 16 * index;
    store_le(entry, address, 8);
    store_le(entry + 8, length, 4);
    store_le(entry + 12, flags, 2);
    store_le(entry + 14, next, 2);
}

static void offer(struct guest *guest, unsigned head)
{
    store_le(guest->low + AVAILABLE + 4 + 2 * (guest->available % SIZE), head, 2);
    store_le(guest->low + AVAILABLE + 2, ++guest->available, 2);
}

static bool pop(struct guest *guest)
{
    return virtqueue_pop(&guest->queue, &guest->chain);
}

static void breaks(struct guest *guest, const char *why)
{
    cr_expect_not(pop(guest), "not \"%s\"", why);
    cr_assert(guest->queue.broken, "not \"%s\"", why);
    cr_expect(strstr(guest->queue.broken, why), "\"%s\" is not \"%s\"", guest->queue.broken, why);
    cr_expect_not(pop(guest));
}

Test(virtqueue, chains_come_in_order)
{
    struct guest *guest = guest_create(0);
    cr_assert_not(pop(guest));
    describe(guest, DESCRIPTORS, 3, BUFFER, 16, NEXT, 1);
    describe(guest, DESCRIPTORS, 1, BUFFER + 16, 512, NEXT | WRITE, 7);
    describe(guest, DESCRIPTORS, 7, BUFFER + 0x1000, 1, WRITE, 0);
    offer(guest, 3);
    offer(guest, 7);
    cr_assert(pop(guest));
    cr_assert_eq(guest->chain.head, 3);
    cr_assert_eq(guest->chain.out_count, 1);
    cr_assert_eq(guest->chain.in_count, 2);
    cr_assert_eq(guest->chain.out_size, 16);
    cr_assert_eq(guest->chain.in_size, 513);
    cr_assert_eq(guest->chain.iov[0].iov_base, guest->low + BUFFER);
    cr_assert_eq(guest->chain.iov[2].iov_base, guest->low + BUFFER + 0x1000);
    cr_assert_eq(guest->chain.address[1], BUFFER + 16);
    cr_assert(pop(guest));
    cr_assert_eq(guest->chain.head, 7);
    cr_assert_eq(guest->chain.out_count, 0);
    cr_assert_not(pop(guest));
    free(guest);
}

Test(virtqueue, used_chains_are_told)
{
    struct guest *guest = guest_create(0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 512, WRITE, 0);
    offer(guest, 0);
    cr_assert(pop(guest));
    guest->told = 0;
    virtqueue_push(&guest->queue, &guest->chain, 300);
    cr_assert_eq(load_le(guest->low + USED + 2, 2), 1);
    cr_assert_eq(load_le(guest->low + USED + 4, 4), 0);
    cr_assert_eq(load_le(guest->low + USED + 8, 4), 300);
    cr_assert_eq(guest->told, 300 + 8 + 2);
    free(guest);
}

Test(virtqueue, indices_wrap)
{
    struct guest *guest = guest_create(0);
    describe(guest, DESCRIPTORS, 5, BUFFER, 512, 0, 0);
    for (unsigned i = 0; i < 70000; i++) {
        offer(guest, 5);
        cr_assert(pop(guest));
        virtqueue_push(&guest->queue, &guest->chain, 0);
        cr_assert(virtqueue_must_interrupt(&guest->queue));
    }
    cr_assert_eq(load_le(guest->low + USED + 2, 2), 70000 & 0xffff);
    free(guest);
}

Test(virtqueue, buffers_may_lie_in_several_pieces)
{
    struct guest *guest = guest_create(0);
    describe(guest, DESCRIPTORS, 0, PIECE - 100, 300, WRITE, 0);
    offer(guest, 0);
    cr_assert(pop(guest));
    cr_assert_eq(guest->chain.in_count, 2);
    cr_assert_eq(guest->chain.iov[0].iov_len, 100);
    cr_assert_eq(guest->chain.iov[1].iov_base, guest->high);
    cr_assert_eq(guest->chain.iov[1].iov_len, 200);
    free(guest);
}

Test(virtqueue, indirect_tables)
{
    struct guest *guest = guest_create(VIRTIO_F_INDIRECT_DESC);
    describe(guest, DESCRIPTORS, 0, BUFFER + 0x2000, 8, NEXT, 1);
    describe(guest, DESCRIPTORS, 1, BUFFER, 48, INDIRECT | WRITE, 0);
    describe(guest, BUFFER, 0, BUFFER + 0x1000, 16, NEXT, 2);
    describe(guest, BUFFER, 2, BUFFER + 0x1100, 32, WRITE, 0);
    offer(guest, 0);
    cr_assert(pop(guest));
    cr_assert_eq(guest->chain.out_count, 2);
    cr_assert_eq(guest->chain.out_size, 24);
    cr_assert_eq(guest->chain.in_size, 32);
    free(guest);
}

Test(virtqueue, interrupts_are_given_up_by_flag)
{
    struct guest *guest = guest_create(0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 512, 0, 0);
    cr_expect_not(virtqueue_must_interrupt(&guest->queue));
    for (unsigned unwanted = 0; unwanted < 2; unwanted++) {
        store_le(guest->low + AVAILABLE, unwanted, 2);
        offer(guest, 0);
        cr_assert(pop(guest));
        virtqueue_push(&guest->queue, &guest->chain, 0);
        cr_expect_eq(virtqueue_must_interrupt(&guest->queue), !unwanted);
        cr_expect_not(virtqueue_must_interrupt(&guest->queue));
    }
    virtqueue_want_notify(&guest->queue, false);
    cr_expect_eq(load_le(guest->low + USED, 2), 1);
    virtqueue_want_notify(&guest->queue, true);
    cr_expect_eq(load_le(guest->low + USED, 2), 0);
    free(guest);
}

Test(virtqueue, interrupts_wait_for_an_event)
{
    struct guest *guest = guest_create(VIRTIO_F_EVENT_IDX);
    describe(guest, DESCRIPTORS, 0, BUFFER, 512, 0, 0);
    store_le(guest->low + AVAILABLE + 4 + 2 * SIZE, 2, 2); /* used_event: the third */
    for (unsigned i = 0; i < 5; i++) {
        offer(guest, 0);
        cr_assert(pop(guest));
        virtqueue_push(&guest->queue, &guest->chain, 0);
        cr_expect_eq(virtqueue_must_interrupt(&guest->queue), i == 2, "chain %u", i);
    }
    virtqueue_want_notify(&guest->queue, true);
    cr_expect_eq(load_le(guest->low + USED + 4 + 8 * SIZE, 2), 5); /* avail_event */
    free(guest);
}

Test(virtqueue, rings_must_be_sound)
{
    struct guest *guest = guest_create(0);
    static const struct {
        unsigned size;
        uint64_t descriptors, available, used;
        const char *why;
    } rings[] = {
        {0, DESCRIPTORS, AVAILABLE, USED, "no power of 2"},
        {12, DESCRIPTORS, AVAILABLE, USED, "no power of 2"},
        {2048, DESCRIPTORS, AVAILABLE, USED, "no power of 2"},
        {8, DESCRIPTORS + 8, AVAILABLE, USED, "misaligned"},
        {8, DESCRIPTORS, AVAILABLE + 1, USED, "misaligned"},
        {8, DESCRIPTORS, AVAILABLE, USED + 2, "misaligned"},
        {8, RAM, AVAILABLE, USED, "in memory"},
        {8, DESCRIPTORS, UINT64_MAX - 1, USED, "in memory"},
        {8, DESCRIPTORS, AVAILABLE, PIECE - 8, "in memory"},
        {8, DESCRIPTORS, AVAILABLE, RAM - 8, "in memory"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rings); i++) {
        virtqueue_start(&guest->queue, &(struct dma){&ops, guest}, (uint16_t)rings[i].size,
                        rings[i].descriptors, rings[i].available, rings[i].used, 0);
        breaks(guest, rings[i].why);
        virtqueue_push(&guest->queue, &guest->chain, 0);
        virtqueue_want_notify(&guest->queue, true);
        cr_expect_not(virtqueue_must_interrupt(&guest->queue));
    }
    virtqueue_start_legacy(&guest->queue, &(struct dma){&ops, guest}, SIZE, 1, 0);
    cr_expect_null(guest->queue.broken);
    cr_expect_eq(guest->queue.available, 0x1000 + 16 * SIZE);
    cr_expect_eq(guest->queue.used, 0x2000);
    virtqueue_reset(&guest->queue);
    cr_expect_not(pop(guest));
    free(guest);
}

Test(virtqueue, nonsense_breaks_the_queue)
{
    struct guest *guest = guest_create(0);
    offer(guest, SIZE);
    breaks(guest, "begins outside");

    start(guest, 0);
    store_le(guest->low + AVAILABLE + 2, SIZE + 1, 2);
    breaks(guest, "more chains");

    start(guest, 0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 16, NEXT, 1);
    describe(guest, DESCRIPTORS, 1, BUFFER, 16, NEXT, 0);
    offer(guest, 0);
    breaks(guest, "loop");

    start(guest, 0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 16, NEXT, SIZE);
    offer(guest, 0);
    breaks(guest, "outside the table");

    start(guest, 0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 16, NEXT | WRITE, 1);
    describe(guest, DESCRIPTORS, 1, BUFFER, 16, 0, 0);
    offer(guest, 0);
    breaks(guest, "comes after one to write");

    static const struct {
        uint64_t address;
        uint32_t length;
        const char *why;
    } buffers[] = {{BUFFER, 0, "empty"},
                   {RAM - 8, 16, "in memory"},
                   {UINT64_MAX, 16, "in memory"},
                   {0, UINT32_MAX, "in memory"}};
    for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
        start(guest, 0);
        describe(guest, DESCRIPTORS, 0, buffers[i].address, buffers[i].length, 0, 0);
        offer(guest, 0);
        breaks(guest, buffers[i].why);
    }
    free(guest);
}

Test(virtqueue, indirect_nonsense_breaks_the_queue)
{
    struct guest *guest = guest_create(0);
    describe(guest, DESCRIPTORS, 0, BUFFER, 16, INDIRECT, 0);
    offer(guest, 0);
    breaks(guest, "where there must be none"); /* not negotiated */

    static const struct {
        uint64_t address;
        uint32_t length, flags;
        const char *why;
    } tables[] = {{BUFFER, 0, INDIRECT, "wrong size"},
                  {BUFFER, 40, INDIRECT, "wrong size"},
                  {BUFFER, 16 * 4096, INDIRECT, "wrong size"},
                  {RAM, 16, INDIRECT, "in memory"},
                  {BUFFER, 16, INDIRECT | NEXT, "where there must be none"},
                  {BUFFER, 16, INDIRECT, "where there must be none"}, /* nested */
                  {BUFFER + 16, 32, INDIRECT, "loop"}};
    describe(guest, BUFFER, 0, BUFFER, 16, INDIRECT, 0);
    describe(guest, BUFFER, 1, BUFFER, 16, NEXT, 1);
    describe(guest, BUFFER, 2, BUFFER, 16, NEXT, 0);
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        start(guest, VIRTIO_F_INDIRECT_DESC);
        describe(guest, DESCRIPTORS, 0, tables[i].address, tables[i].length, tables[i].flags, 1);
        describe(guest, DESCRIPTORS, 1, BUFFER, 16, 0, 0);
        offer(guest, 0);
        breaks(guest, tables[i].why);
    }
    free(guest);
}

/* Random rings: whatever is popped lies in memory. */
Test(virtqueue, random_rings)
{
    struct guest *guest = guest_create(0);
    unsigned state = 1, popped = 0;
    for (unsigned round = 0; round < 20000; round++) {
        start(guest, (uint64_t)(rand_r(&state) % 4) << 28);
        for (unsigned i = 0; i < SIZE; i++) {
            uint64_t address = (uint64_t)rand_r(&state) % (RAM + 0x400);
            uint32_t length = (uint32_t)rand_r(&state) % 64 * (rand_r(&state) % 16 ? 16 : 4096);
            describe(guest, DESCRIPTORS, i, rand_r(&state) % 4 ? address : DESCRIPTORS, length,
                     rand_r(&state) % 8, rand_r(&state) % (SIZE + 1));
        }
        for (unsigned i = rand_r(&state) % 4; i < 4; i++)
            offer(guest, rand_r(&state) % (SIZE + 1));
        for (unsigned i = 0; i < 8 && pop(guest); i++, popped++) {
            uint64_t size = 0;
            for (unsigned k = 0; k < guest->chain.out_count + guest->chain.in_count; k++) {
                size += guest->chain.iov[k].iov_len;
                cr_assert(guest->chain.address[k] + guest->chain.iov[k].iov_len <= RAM);
            }
            cr_assert_eq(size, guest->chain.out_size + guest->chain.in_size);
            virtqueue_push(&guest->queue, &guest->chain, (uint32_t)rand_r(&state));
        }
    }
    cr_assert_gt(popped, 1000);
    free(guest);
}

static uint16_t used_index(const struct guest *guest)
{
    return (uint16_t)load_le(guest->low + USED + 2, 2);
}

Test(virtqueue, shows_staged_chains_together_or_not_at_all)
{
    struct guest *guest = guest_create(0);
    for (unsigned i = 0; i < 3; i++) {
        describe(guest, DESCRIPTORS, i, BUFFER + 0x100 * i, 0x100, WRITE, 0);
        offer(guest, i);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2; i++) {
            cr_assert(pop(guest));
            cr_assert_eq(guest->chain.head, i);
            virtqueue_stage(&guest->queue, &guest->chain, 10 + i);
            cr_assert_eq(used_index(guest), 0);
        }
        if (!round)
            virtqueue_take_back(&guest->queue);
    }
    virtqueue_publish(&guest->queue);
    cr_assert_eq(used_index(guest), 2);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(load_le(guest->low + USED + 4 + 8 * i, 4), i);
        cr_assert_eq(load_le(guest->low + USED + 8 + 8 * i, 4), 10 + i);
    }
    cr_assert(pop(guest));
    cr_assert_eq(guest->chain.head, 2);
    virtqueue_push(&guest->queue, &guest->chain, 0);
    cr_assert_eq(used_index(guest), 3);
    free(guest);
}
