/* Reads and writes of qcow2 images. */
#include "backends/block/qcow2.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The tables must be changed: not an error, but a reason to take the lock exclusively. */
enum { NEEDS_CHANGE = 1 };

static struct qcow2 *of(const struct image *image)
{
    return image->format;
}

/* ---- Reads ---- */

static int read_extent(struct qcow2 *q, const struct qcow2_extent *extent, const struct iovec *iov,
                       unsigned count, uint64_t offset)
{
    switch (extent->kind) {
    case QCOW2_DATA:
        return host_file_readv(&q->image->file, iov, count, extent->host);
    case QCOW2_DEFLATED:
        return qcow2_inflate(q, extent->entry, iov, count, offset & (q->cluster_size - 1));
    case QCOW2_UNALLOCATED:
        if (q->image->backing)
            return image_read_padded(q->image->backing, iov, count, offset, extent->size);
        break;
    case QCOW2_READS_ZERO:
        break;
    }
    iov_zero(iov, count);
    return 0;
}

/* Lock held either way. */
static int read_locked(struct qcow2 *q, const struct iovec *iov, unsigned count, uint64_t offset,
                       uint64_t size)
{
    struct iovec part[HOST_FILE_IOV_MAX];
    for (uint64_t done = 0; done < size;) {
        struct qcow2_extent extent;
        int status = qcow2_map(q, offset + done, size - done, &extent);
        if (status)
            return status;
        unsigned parts = iov_part(part, iov, count, done, extent.size);
        status = read_extent(q, &extent, part, parts, offset + done);
        if (status)
            return status;
        done += extent.size;
    }
    return 0;
}

/* A table that is not in memory may need a slot that holds another's newer entries. */
static int commit_for(struct qcow2 *q)
{
    pthread_rwlock_wrlock(&q->lock);
    int status = qcow2_commit(q);
    pthread_rwlock_unlock(&q->lock);
    return status;
}

static int qcow2_read(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                      uint64_t size)
{
    struct qcow2 *q = of(image);
    int status;
    do {
        pthread_rwlock_rdlock(&q->lock);
        status = read_locked(q, iov, count, offset, size);
        pthread_rwlock_unlock(&q->lock);
    } while (status == -EBUSY && (status = commit_for(q)) == 0);
    return status;
}

/* ---- Writes ---- */

/* Writes from *done on as far as clusters may be overwritten. Lock held either way. */
static int write_in_place(struct qcow2 *q, const struct iovec *iov, unsigned count, uint64_t offset,
                          uint64_t size, uint64_t *done)
{
    struct iovec part[HOST_FILE_IOV_MAX];
    while (*done < size) {
        struct qcow2_extent extent;
        int status = qcow2_map(q, offset + *done, size - *done, &extent);
        if (status == -EBUSY || (!status && !extent.in_place))
            return NEEDS_CHANGE;
        if (status)
            return status;
        unsigned parts = iov_part(part, iov, count, *done, extent.size);
        status = host_file_writev(&q->image->file, part, parts, extent.host);
        if (status)
            return status;
        *done += extent.size;
    }
    return 0;
}

/* Whether what lies at a cluster's start or anywhere behind is zeros as far as is known without
 * reading it. */
static bool reads_zero(const struct qcow2 *q, const struct qcow2_extent *extent, uint64_t offset)
{
    const struct image *backing = q->image->backing;
    return extent->kind == QCOW2_READS_ZERO ||
           (extent->kind == QCOW2_UNALLOCATED &&
            (!backing || align_down(offset, q->cluster_size) >= backing->size));
}

/* Copies the guest's range into a new cluster. */
static int copy_range(struct qcow2 *q, uint64_t offset, uint64_t end, uint64_t host)
{
    end = end < q->image->size ? end : q->image->size;
    if (offset >= end)
        return 0;
    struct iovec iov = {malloc(end - offset), end - offset};
    if (!iov.iov_base)
        return -ENOMEM;
    int status = read_locked(q, &iov, 1, offset, iov.iov_len);
    if (!status)
        status = host_file_writev(&q->image->file, &iov, 1, host);
    free(iov.iov_base);
    return status;
}

/* Writes up to size bytes, all with the mapping of extent, into new clusters: *written of them. */
static int write_new(struct qcow2 *q, const struct qcow2_extent *extent, const struct iovec *iov,
                     unsigned count, uint64_t offset, uint64_t skip, uint64_t *written)
{
    struct iovec part[HOST_FILE_IOV_MAX];
    uint64_t within = offset & (q->cluster_size - 1), first, clusters;
    uint64_t wanted = (within + extent->size + q->cluster_size - 1) >> q->cluster_bits;
    int status = qcow2_own_l2(q, offset);
    if (!status)
        status = qcow2_take(q, wanted < QCOW2_ENTRIES_MAX ? wanted : QCOW2_ENTRIES_MAX, &first,
                            &clusters);
    if (status)
        return status;

    uint64_t host = first << q->cluster_bits, room = (clusters << q->cluster_bits) - within;
    uint64_t size = extent->size < room ? extent->size : room;
    uint64_t start = offset - within, end = start + (clusters << q->cluster_bits);
    bool replaces = !reads_zero(q, extent, offset);
    if (replaces)
        status = copy_range(q, start, offset, host);
    if (!status && replaces)
        status = copy_range(q, offset + size, end, host + within + size);
    if (!status)
        status = host_file_writev(&q->image->file, part, iov_part(part, iov, count, skip, size),
                                  host + within);
    if (status) {
        qcow2_release(q, first, clusters);
        return status;
    }
    *written = size;
    return qcow2_set_entries(q, offset, (unsigned)clusters, host | QCOW2_COPIED, q->cluster_size,
                             replaces);
}

/* Lock held exclusively. */
static int write_locked(struct qcow2 *q, const struct iovec *iov, unsigned count, uint64_t offset,
                        uint64_t size, uint64_t done)
{
    for (;;) {
        int status = write_in_place(q, iov, count, offset, size, &done);
        if (status != NEEDS_CHANGE)
            return status;
        struct qcow2_extent extent;
        status = qcow2_map(q, offset + done, size - done, &extent);
        if (status == -EBUSY && (status = qcow2_commit(q)) == 0)
            continue;
        uint64_t written;
        if (!status)
            status = write_new(q, &extent, iov, count, offset + done, done, &written);
        if (status)
            return status;
        done += written;
    }
}

static bool is_corrupt(const struct qcow2 *q)
{
    return __atomic_load_n(&q->corrupt, __ATOMIC_RELAXED);
}

static int qcow2_write(struct image *image, const struct iovec *iov, unsigned count,
                       uint64_t offset, uint64_t size)
{
    struct qcow2 *q = of(image);
    uint64_t done = 0;
    if (is_corrupt(q))
        return -EIO;
    pthread_rwlock_rdlock(&q->lock);
    int status = write_in_place(q, iov, count, offset, size, &done);
    pthread_rwlock_unlock(&q->lock);
    if (status != NEEDS_CHANGE)
        return status;
    pthread_rwlock_wrlock(&q->lock);
    status = is_corrupt(q) ? -EIO : write_locked(q, iov, count, offset, size, done);
    pthread_rwlock_unlock(&q->lock);
    return status;
}

/* ---- Discard and zeros: whole clusters lose their place in the file ---- */

/* Maps whole clusters to nothing, or to zeros where older data would show through. Lock held
 * exclusively. */
static int unmap(struct qcow2 *q, uint64_t offset, uint64_t size)
{
    const struct image *backing = q->image->backing;
    while (size) {
        struct qcow2_extent extent;
        int status = qcow2_map(q, offset, size, &extent);
        if (status == -EBUSY && (status = qcow2_commit(q)) == 0)
            continue;
        if (status)
            return status;
        uint64_t most = (uint64_t)QCOW2_ENTRIES_MAX << q->cluster_bits;
        uint64_t part = extent.size < most ? extent.size : most;
        bool covers = backing && offset < backing->size;
        bool done = extent.kind == QCOW2_UNALLOCATED ? !covers : extent.entry == QCOW2_ZERO;
        if (!done)
            status = qcow2_own_l2(q, offset);
        if (!done && !status)
            status = qcow2_set_entries(q, offset, (unsigned)(part >> q->cluster_bits),
                                       covers ? QCOW2_ZERO : 0, 0, false);
        if (status)
            return status;
        offset += part;
        size -= part;
    }
    return 0;
}

/* The whole clusters of a range; the image's last one may be cut off by its end. */
static void whole_clusters(const struct qcow2 *q, uint64_t offset, uint64_t size, uint64_t *start,
                           uint64_t *end)
{
    *start = align_up(offset, q->cluster_size);
    *end = offset + size == q->image->size ? align_up(offset + size, q->cluster_size)
                                           : align_down(offset + size, q->cluster_size);
    if (*end < *start)
        *end = *start;
}

/* Version 2 has no clusters of zeros, so that a backing file would show. */
static bool can_unmap(const struct qcow2 *q)
{
    return q->version >= 3 || !q->image->backing;
}

static int unmap_range(struct qcow2 *q, uint64_t start, uint64_t end)
{
    if (start == end)
        return 0;
    pthread_rwlock_wrlock(&q->lock);
    int status = is_corrupt(q) ? -EIO : unmap(q, start, end - start);
    pthread_rwlock_unlock(&q->lock);
    return status;
}

static int qcow2_discard(struct image *image, uint64_t offset, uint64_t size)
{
    struct qcow2 *q = of(image);
    uint64_t start, end;
    whole_clusters(q, offset, size, &start, &end);
    return can_unmap(q) ? unmap_range(q, start, end) : 0;
}

static int write_zeros(struct image *image, uint64_t offset, uint64_t end)
{
    static const uint8_t zeros[65536];
    while (offset < end) {
        uint64_t part = end - offset < sizeof(zeros) ? end - offset : sizeof(zeros);
        struct iovec iov = {(void *)zeros, part};
        int status = qcow2_write(image, &iov, 1, offset, part);
        if (status)
            return status;
        offset += part;
    }
    return 0;
}

static int qcow2_write_zeroes(struct image *image, uint64_t offset, uint64_t size, bool may_unmap)
{
    (void)may_unmap; /* a claimed cluster costs the host nothing either */
    struct qcow2 *q = of(image);
    uint64_t start, end;
    whole_clusters(q, offset, size, &start, &end);
    if (start == end || !can_unmap(q))
        return write_zeros(image, offset, offset + size);
    int status = write_zeros(image, offset, start);
    if (!status)
        status = unmap_range(q, start, end);
    return status ? status : write_zeros(image, end, offset + size);
}

/* ---- Flush and the end ---- */

static int qcow2_flush(struct image *image)
{
    struct qcow2 *q = of(image);
    int status = is_corrupt(q) ? -EIO : host_file_sync(&image->file);
    if (status)
        return status;
    pthread_rwlock_rdlock(&q->lock);
    bool held = q->l2_cache.dirty || q->release_count;
    pthread_rwlock_unlock(&q->lock);
    return held ? commit_for(q) : 0;
}

static void qcow2_close(struct image *image)
{
    struct qcow2 *q = of(image);
    if (!image->readonly && !image->file.volatile_data && qcow2_commit(q) == 0) {
        qcow2_return_pool(q);
        host_file_sync(&image->file);
    }
    qcow2_free(q);
}

const struct image_ops qcow2_ops = {
    .name = "qcow2",
    .read = qcow2_read,
    .write = qcow2_write,
    .discard = qcow2_discard,
    .write_zeroes = qcow2_write_zeroes,
    .flush = qcow2_flush,
    .close = qcow2_close,
};
