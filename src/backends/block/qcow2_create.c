/* Making qcow2 images, and making them larger. */
#include "backends/block/qcow2.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A new image: header, refcount table, refcount block, then the L1 table. */
enum { NEW_CLUSTER_BITS = 16, NEW_CLUSTER = 1 << NEW_CLUSTER_BITS };
enum { TABLE_AT = 1, BLOCK_AT = 2, L1_AT = 3 };

static uint64_t l1_entries(uint64_t size, unsigned cluster_bits)
{
    uint64_t covers = 1ull << (2 * cluster_bits - 3);
    return (size + covers - 1) / covers;
}

bool qcow2_create(const struct host_file *file, uint64_t size, struct error *error)
{
    uint8_t start[2 * NEW_CLUSTER] = {0}, block[2048] = {0};
    uint64_t entries = l1_entries(size, NEW_CLUSTER_BITS);
    uint64_t clusters = L1_AT + (align_up(8 * entries, NEW_CLUSTER) >> NEW_CLUSTER_BITS);
    if (8 * entries > QCOW2_MAX_L1_BYTES)
        return error_set(error, "%s: size= is larger than a qcow2 image can be", file->path);

    qcow2_store32(start, QCOW2_MAGIC);
    qcow2_store32(start + QCOW2_H_VERSION, 3);
    qcow2_store32(start + QCOW2_H_CLUSTER_BITS, NEW_CLUSTER_BITS);
    qcow2_store(start + QCOW2_H_SIZE, size);
    qcow2_store32(start + QCOW2_H_L1_SIZE, (uint32_t)entries);
    qcow2_store(start + QCOW2_H_L1_OFFSET, L1_AT * NEW_CLUSTER);
    qcow2_store(start + QCOW2_H_REFCOUNT_TABLE_OFFSET, TABLE_AT * NEW_CLUSTER);
    qcow2_store32(start + QCOW2_H_REFCOUNT_TABLE_CLUSTERS, 1);
    qcow2_store32(start + QCOW2_H_REFCOUNT_ORDER, 4);
    qcow2_store32(start + QCOW2_H_LENGTH, QCOW2_H_V3_SIZE);
    qcow2_store(start + TABLE_AT * NEW_CLUSTER, BLOCK_AT * NEW_CLUSTER);
    for (uint64_t i = 0; i < clusters; i++)
        block[2 * i + 1] = 1;

    /* The header last: a crash on the way leaves nothing that is taken for an image. */
    int status = host_file_truncate(file, clusters << NEW_CLUSTER_BITS);
    if (!status)
        status = host_file_write(file, block, sizeof(block), BLOCK_AT * NEW_CLUSTER);
    if (!status)
        status = host_file_sync(file);
    if (!status)
        status = host_file_write(file, start, sizeof(start), 0);
    if (!status)
        status = host_file_sync(file);
    return !status || error_set(error, "%s: cannot be written: %s", file->path, strerror(-status));
}

/* Puts a copy of the L1 table with more entries at a new place; the header is changed by
 * write_size(). */
static int enlarge_l1(struct qcow2 *q, uint64_t entries, uint64_t *offset)
{
    uint64_t clusters = align_up(8 * entries, q->cluster_size) >> q->cluster_bits, first;
    uint64_t *table = calloc(entries, sizeof(*table)), *raw = calloc(entries, sizeof(*raw));
    int status = table && raw ? qcow2_claim(q, clusters, &first) : -ENOMEM;
    if (!status) {
        memcpy(table, q->l1, q->l1_size * sizeof(*table));
        for (uint32_t i = 0; i < q->l1_size; i++)
            qcow2_store(&raw[i], table[i]);
        *offset = first << q->cluster_bits;
        status = host_file_write(&q->image->file, raw, 8 * entries, *offset);
    }
    free(raw);
    if (status) {
        free(table);
        return status;
    }
    free(q->l1);
    q->l1 = table;
    return 0;
}

static int write_size(struct qcow2 *q, uint64_t size, uint64_t l1_size, uint64_t l1_offset)
{
    uint8_t fields[QCOW2_H_REFCOUNT_TABLE_OFFSET - QCOW2_H_SIZE] = {0};
    qcow2_store(fields, size);
    qcow2_store32(fields + QCOW2_H_L1_SIZE - QCOW2_H_SIZE, (uint32_t)l1_size);
    qcow2_store(fields + QCOW2_H_L1_OFFSET - QCOW2_H_SIZE, l1_offset);
    int status = host_file_sync(&q->image->file);
    if (!status)
        status = host_file_write(&q->image->file, fields, sizeof(fields), QCOW2_H_SIZE);
    return status ? status : host_file_sync(&q->image->file);
}

/* Moves the L1 table to where it has room for size. */
static int move_l1(struct qcow2 *q, uint64_t size, uint64_t entries)
{
    uint64_t old_offset = q->l1_offset, offset;
    uint64_t old_clusters = align_up(8ull * q->l1_size, q->cluster_size) >> q->cluster_bits;
    int status = enlarge_l1(q, entries, &offset);
    if (!status)
        status = write_size(q, size, entries, offset);
    if (status)
        return status;
    q->l1_size = (uint32_t)entries;
    q->l1_offset = offset;
    for (uint64_t i = 0; i < old_clusters; i++)
        cluster_set_remove(&q->metadata, (old_offset >> q->cluster_bits) + i);
    for (uint64_t i = 0; i < align_up(8 * entries, q->cluster_size) >> q->cluster_bits; i++)
        if (!cluster_set_add(&q->metadata, (offset >> q->cluster_bits) + i))
            return -ENOMEM;
    qcow2_release(q, old_offset >> q->cluster_bits, old_clusters);
    return qcow2_commit(q);
}

bool qcow2_grow(struct image *image, uint64_t size, struct error *error)
{
    struct qcow2 *q = image->format;
    uint64_t entries = l1_entries(size, q->cluster_bits), old = image->size;
    if (8 * entries > QCOW2_MAX_L1_BYTES)
        return error_set(error,
                         "%s: size= is larger than it can become with its cluster size: "
                         "convert it with qemu-img convert",
                         image->file.path);
    int status = entries > q->l1_size ? move_l1(q, size, entries)
                                      : write_size(q, size, q->l1_size, q->l1_offset);
    /* A larger backing file must not show in the new part, nor what lay behind the old end. */
    uint64_t zeros = align_up(old, q->cluster_size);
    if (image->backing && image->backing->size > zeros)
        zeros = image->backing->size;
    image->size = size;
    zeros = zeros < size ? zeros : size;
    if (!status && zeros > old)
        status = image->ops->write_zeroes(image, old, zeros - old, true);
    if (!status)
        status = image->ops->flush(image);
    return !status ||
           error_set(error, "%s: cannot be enlarged: %s", image->file.path, strerror(-status));
}
