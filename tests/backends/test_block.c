/* The queue of a disk: who is called, when and in which order, on an image that does as told. */
#include "backends/block/block.h"
#include "backends/block/image.h"
#include "bus/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISK = 1 << 20 };

/* An image whose operations wait, fail and count. */
struct fake {
    struct image *image;
    struct bus *bus;
    struct block_image *disk;
    pthread_mutex_t gate; /* held: operations wait */
    int error;            /* what they return */
    unsigned begun;
    uint8_t data[DISK];

    /* Bus lock. */
    unsigned completed;
    int errors[64];
    unsigned stalls, resumes;
};

static int begin(struct image *image)
{
    struct fake *fake = image->format;
    __atomic_add_fetch(&fake->begun, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&fake->gate);
    pthread_mutex_unlock(&fake->gate);
    return __atomic_load_n(&fake->error, __ATOMIC_SEQ_CST);
}

static int fake_read(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                     uint64_t size)
{
    struct fake *fake = image->format;
    int error = begin(image);
    (void)size;
    if (!error)
        iov_from_bytes(iov, count, fake->data + offset);
    return error;
}

static int fake_write(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                      uint64_t size)
{
    struct fake *fake = image->format;
    int error = begin(image);
    (void)size;
    if (!error)
        iov_to_bytes(iov, count, fake->data + offset);
    return error;
}

static int fake_discard(struct image *image, uint64_t offset, uint64_t size)
{
    (void)offset;
    (void)size;
    return begin(image);
}

static int fake_write_zeroes(struct image *image, uint64_t offset, uint64_t size, bool may_unmap)
{
    struct fake *fake = image->format;
    int error = begin(image);
    (void)may_unmap;
    if (!error)
        memset(fake->data + offset, 0, size);
    return error;
}

static int fake_flush(struct image *image)
{
    return begin(image);
}

static void fake_close(struct image *image)
{
    (void)image;
}

static const struct image_ops fake_ops = {
    .name = "fake",
    .read = fake_read,
    .write = fake_write,
    .discard = fake_discard,
    .write_zeroes = fake_write_zeroes,
    .flush = fake_flush,
    .close = fake_close,
};

static void on_stall(void *opaque, bool stalled, const char *message)
{
    struct fake *fake = opaque;
    cr_expect(strstr(message, stalled ? "is full" : "there is room"), "%s", message);
    fake->stalls += stalled;
    fake->resumes += !stalled;
}

static struct fake *fake_create(bool readonly, bool may_stall)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    struct error error;
    pthread_mutex_init(&fake->gate, NULL);
    fake->bus = bus_create();
    fake->image = calloc(1, sizeof(*fake->image));
    *fake->image = (struct image){.ops = &fake_ops,
                                  .file = {.fd = -1, .path = strdup("fake")},
                                  .size = DISK,
                                  .readonly = readonly,
                                  .format = fake};
    struct block_config config = {
        .bus = fake->bus, .stall = may_stall ? on_stall : NULL, .opaque = fake};
    fake->disk = block_over(fake->image, &config, &error);
    cr_assert(fake->disk, "%s", error.text);
    return fake;
}

static void fake_destroy(struct fake *fake)
{
    block_close(fake->disk);
    bus_destroy(fake->bus);
    free(fake);
}

static void on_done(struct block_request *request, int error)
{
    struct fake *fake = request->opaque;
    fake->errors[fake->completed++] = error;
}

/* Until so many requests are completed, or they never will be. */
static void wait_completed(struct fake *fake, unsigned count)
{
    for (unsigned i = 0; i < 10000; i++) {
        bus_lock(fake->bus);
        bool done = fake->completed >= count;
        bus_unlock(fake->bus);
        if (done)
            return;
        usleep(1000);
    }
    cr_assert(false, "%u requests are completed, not %u", fake->completed, count);
}

static void wait_begun(struct fake *fake, unsigned count)
{
    for (unsigned i = 0; i < 10000; i++) {
        if (__atomic_load_n(&fake->begun, __ATOMIC_SEQ_CST) >= count)
            return;
        usleep(1000);
    }
    cr_assert(false, "%u requests have begun, not %u", fake->begun, count);
}

static void submit(struct fake *fake, struct block_request *requests, unsigned count)
{
    bus_lock(fake->bus);
    for (unsigned i = 0; i < count; i++)
        block_submit(fake->disk, &requests[i]);
    bus_unlock(fake->bus);
}

static struct block_request flush_of(struct fake *fake)
{
    return (struct block_request){.operation = BLOCK_FLUSH, .done = on_done, .opaque = fake};
}

Test(block, data_goes_both_ways)
{
    struct fake *fake = fake_create(false, false);
    uint8_t out[1024], in[1024];
    memset(out, 0x5a, sizeof(out));
    struct iovec from[] = {{out, 1000}, {out + 1000, 24}}, to[] = {{in + 512, 512}, {in, 512}};
    struct block_request write = {.operation = BLOCK_WRITE,
                                  .offset = 512,
                                  .size = 1024,
                                  .iov = from,
                                  .iov_count = 2,
                                  .done = on_done,
                                  .opaque = fake};
    struct block_request read = write;
    read.operation = BLOCK_READ;
    read.iov = to;
    submit(fake, &write, 1);
    wait_completed(fake, 1);
    submit(fake, &read, 1);
    wait_completed(fake, 2);
    cr_assert_arr_eq(in, out, sizeof(in));
    cr_assert_eq(fake->errors[0], 0);
    struct block_statistics statistics;
    block_get_statistics(fake->disk, &statistics);
    cr_assert_eq(statistics.operations[BLOCK_READ].requests, 1);
    cr_assert_eq(statistics.operations[BLOCK_WRITE].bytes, 1024);
    cr_assert_eq(statistics.in_flight, 0);
    fake_destroy(fake);
}

Test(block, nonsense_is_refused)
{
    struct fake *fake = fake_create(false, false);
    uint8_t bytes[1024];
    struct iovec iov = {bytes, sizeof(bytes)};
    static const struct {
        uint64_t offset, size;
    } ranges[] = {{DISK, 1024},
                  {DISK - 512, 1024},
                  {100, 1024},
                  {0, 512},
                  {0, 1000},
                  {UINT64_MAX - 511, 1024},
                  {0, UINT64_MAX & ~511ull}};
    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        struct block_request request = {.operation = BLOCK_WRITE,
                                        .offset = ranges[i].offset,
                                        .size = ranges[i].size,
                                        .iov = &iov,
                                        .iov_count = 1,
                                        .done = on_done,
                                        .opaque = fake};
        submit(fake, &request, 1);
        wait_completed(fake, (unsigned)i + 1);
        cr_expect_eq(fake->errors[i], -EINVAL, "range %zu", i);
    }
    cr_expect_eq(fake->begun, 0);
    fake_destroy(fake);
}

Test(block, readonly_disks_are_not_written)
{
    struct fake *fake = fake_create(true, false);
    struct block_request requests[] = {flush_of(fake), flush_of(fake)};
    requests[0].operation = BLOCK_DISCARD;
    requests[0].size = 512;
    submit(fake, &requests[0], 1);
    wait_completed(fake, 1);
    submit(fake, &requests[1], 1);
    wait_completed(fake, 2);
    cr_expect_eq(fake->errors[0], -EROFS);
    cr_expect_eq(fake->errors[1], 0);
    fake_destroy(fake);
}

Test(block, requests_run_at_the_same_time)
{
    struct fake *fake = fake_create(false, false);
    struct block_request requests[] = {flush_of(fake), flush_of(fake), flush_of(fake)};
    pthread_mutex_lock(&fake->gate);
    submit(fake, requests, 3);
    wait_begun(fake, 3);
    pthread_mutex_unlock(&fake->gate);
    wait_completed(fake, 3);
    fake_destroy(fake);
}

Test(block, errors_reach_the_device)
{
    struct fake *fake = fake_create(false, true);
    struct block_request request = flush_of(fake);
    fake->error = -EIO;
    submit(fake, &request, 1);
    wait_completed(fake, 1);
    cr_expect_eq(fake->errors[0], -EIO);
    cr_expect_eq(fake->stalls, 0);
    fake_destroy(fake);
}

/* With more requests than threads, and the bus lock held all the while. */
Test(block, drain_ends_everything)
{
    struct fake *fake = fake_create(false, false);
    struct block_request requests[20];
    pthread_mutex_lock(&fake->gate);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        requests[i] = flush_of(fake);
    submit(fake, requests, ARRAY_SIZE(requests));
    wait_begun(fake, 4);
    pthread_mutex_unlock(&fake->gate);
    bus_lock(fake->bus);
    block_drain(fake->disk);
    cr_expect_eq(fake->completed, ARRAY_SIZE(requests));
    bus_unlock(fake->bus);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        cr_expect_eq(fake->errors[i], 0);
    fake_destroy(fake);
}

Test(block, cancel_spares_what_has_begun)
{
    struct fake *fake = fake_create(false, false);
    struct block_request requests[20];
    pthread_mutex_lock(&fake->gate);
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
        requests[i] = flush_of(fake);
    submit(fake, requests, ARRAY_SIZE(requests));
    wait_begun(fake, 4);
    bus_lock(fake->bus);
    pthread_mutex_unlock(&fake->gate);
    block_cancel(fake->disk);
    cr_expect_eq(fake->completed, ARRAY_SIZE(requests));
    bus_unlock(fake->bus);
    unsigned cancelled = 0;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        cr_expect(!fake->errors[i] || fake->errors[i] == -ECANCELED);
        cancelled += fake->errors[i] == -ECANCELED;
    }
    cr_expect_eq(cancelled + fake->begun, ARRAY_SIZE(requests));
    fake_destroy(fake);
}

Test(block, paused_disks_wait)
{
    struct fake *fake = fake_create(false, false);
    struct block_request requests[] = {flush_of(fake), flush_of(fake)};
    bus_lock(fake->bus);
    block_pause(fake->disk);
    bus_unlock(fake->bus);
    submit(fake, requests, 2);
    usleep(20000);
    cr_expect_eq(fake->begun, 0);
    bus_lock(fake->bus);
    block_resume(fake->disk);
    bus_unlock(fake->bus);
    wait_completed(fake, 2);
    fake_destroy(fake);
}

/* A full host disk is no error: the requests go on in their order when there is room. */
Test(block, full_host_disk_stalls)
{
    struct fake *fake = fake_create(false, true);
    uint8_t bytes[3][512];
    struct iovec iov[3];
    struct block_request requests[3];
    for (unsigned i = 0; i < 3; i++) {
        memset(bytes[i], (int)i + 1, sizeof(bytes[i]));
        iov[i] = (struct iovec){bytes[i], 512};
        requests[i] = (struct block_request){.operation = BLOCK_WRITE,
                                             .offset = i * 512,
                                             .size = 512,
                                             .iov = &iov[i],
                                             .iov_count = 1,
                                             .done = on_done,
                                             .opaque = fake};
    }
    fake->error = -ENOSPC;
    submit(fake, requests, 3);
    wait_begun(fake, 1);
    usleep(50000);
    bus_lock(fake->bus);
    cr_expect_eq(fake->completed, 0);
    cr_expect_eq(fake->stalls, 1);
    cr_expect_eq(fake->resumes, 0);
    bus_unlock(fake->bus);
    __atomic_store_n(&fake->error, 0, __ATOMIC_SEQ_CST);
    wait_completed(fake, 3);
    cr_expect_eq(fake->resumes, 1);
    for (unsigned i = 0; i < 3; i++)
        cr_expect_eq(fake->data[i * 512], i + 1);
    fake_destroy(fake);
}

/* A device that is reset does not wait for room, and a disk can be closed. */
Test(block, stalled_requests_end_at_a_reset)
{
    struct fake *fake = fake_create(false, true);
    struct block_request requests[] = {flush_of(fake), flush_of(fake)};
    fake->error = -ENOSPC;
    submit(fake, requests, 1);
    wait_begun(fake, 1);
    usleep(20000);
    submit(fake, requests + 1, 1);
    bus_lock(fake->bus);
    block_cancel(fake->disk);
    cr_expect_eq(fake->completed, 2);
    cr_expect_eq(fake->errors[0], -ENOSPC);
    cr_expect_eq(fake->stalls, fake->resumes);
    bus_unlock(fake->bus);
    submit(fake, requests, 1);
    fake_destroy(fake);
}

Test(block, without_an_owner_a_full_disk_is_an_error)
{
    struct fake *fake = fake_create(false, false);
    struct block_request request = flush_of(fake);
    fake->error = -ENOSPC;
    submit(fake, &request, 1);
    wait_completed(fake, 1);
    cr_expect_eq(fake->errors[0], -ENOSPC);
    fake_destroy(fake);
}
