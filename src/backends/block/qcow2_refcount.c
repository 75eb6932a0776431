/* Which clusters of the file are in use.
 *
 * Clusters are claimed in batches ahead of their use: first they are made to read as zeros and get
 * the refcount 1, and both reach the disk; only then are they handed out. So a mapping may be
 * written at any time afterwards, and a cluster that only a part of was written is zeros elsewhere.
 * What a crash leaves of a batch is leaked, but takes no room: holes. */
#include "backends/block/qcow2.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_BYTES_MIN = 4 << 20, BATCH_BYTES_MAX = 128 << 20 };

static uint64_t block_entries(const struct qcow2 *q)
{
    return 1ull << q->block_bits;
}

/* ---- Entries of a block: 1 to 64 bits, big-endian; narrow ones from the lowest bit on ---- */

static uint64_t get_entry(const struct qcow2 *q, const uint8_t *block, uint64_t i)
{
    unsigned order = q->refcount_order;
    if (order < 3)
        return bits_get(block[i >> (3 - order)], (i << order) & 7, 1u << order);
    uint64_t value = 0;
    for (unsigned byte = 0, bytes = 1u << (order - 3); byte < bytes; byte++)
        value = value << 8 | block[(i << (order - 3)) + byte];
    return value;
}

static void set_entry(const struct qcow2 *q, uint8_t *block, uint64_t i, uint64_t value)
{
    unsigned order = q->refcount_order;
    if (order < 3) {
        unsigned shift = (i << order) & 7, mask = ((1u << (1u << order)) - 1) << shift;
        uint8_t *byte = &block[i >> (3 - order)];
        *byte = (uint8_t)((*byte & ~mask) | (value << shift & mask));
        return;
    }
    for (unsigned byte = 1u << (order - 3); byte-- > 0; value >>= 8)
        block[(i << (order - 3)) + byte] = (uint8_t)value;
}

static int write_entries(struct qcow2 *q, const struct table_slot *slot, uint64_t first,
                         uint64_t count)
{
    uint64_t start = (first << q->refcount_order) / 8;
    uint64_t end = (((first + count) << q->refcount_order) + 7) / 8;
    return host_file_write(&q->image->file, slot->bytes + start, end - start, slot->offset + start);
}

static int load_block(struct qcow2 *q, uint64_t number, struct table_slot **slot)
{
    return table_cache_load(q, &q->block_cache, number, q->refcount_table[number], slot);
}

int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *refcount)
{
    uint64_t number = cluster >> q->block_bits;
    struct table_slot *slot;
    *refcount = 0;
    if (number >= q->refcount_table_size || !q->refcount_table[number])
        return 0;
    int status = load_block(q, number, &slot);
    if (!status)
        *refcount = get_entry(q, slot->bytes, cluster & (block_entries(q) - 1));
    return status;
}

/* ---- New clusters ---- */

/* Makes free clusters read as zeros and the file reach over them. */
static int clean(struct qcow2 *q, uint64_t first, uint64_t count)
{
    const struct host_file *file = &q->image->file;
    uint64_t start = first << q->cluster_bits, end = (first + count) << q->cluster_bits;
    if (end > IMAGE_SIZE_MAX)
        return -EFBIG;
    if (cluster_set_meets(&q->metadata, first, count))
        return qcow2_damaged(q, "a table has the refcount 0, at the file offset", start);
    int status = 0;
    if (start < q->file_size)
        status =
            host_file_zero(file, start, (end < q->file_size ? end : q->file_size) - start, true);
    if (status || end <= q->file_size)
        return status;
    status = file->is_block_device ? -ENOSPC : host_file_truncate(file, end);
    if (!status)
        q->file_size = end;
    return status;
}

/* A refcount block for a part of the file that has none, and so nothing in use either. It lies at
 * the start of what it describes. */
static int add_block(struct qcow2 *q, uint64_t number)
{
    uint64_t cluster = number << q->block_bits;
    uint64_t offset = cluster << q->cluster_bits;
    struct table_slot *slot;
    uint8_t entry[8];
    int status = clean(q, cluster, 1);
    if (!status)
        status = table_cache_load(q, &q->block_cache, number, offset, &slot);
    if (status)
        return status;
    set_entry(q, slot->bytes, 0, 1);
    status = write_entries(q, slot, 0, 1);
    if (!status)
        status = host_file_sync(&q->image->file);
    qcow2_store(entry, offset);
    if (!status)
        status = host_file_write(&q->image->file, entry, sizeof(entry),
                                 q->refcount_table_offset + 8 * number);
    if (!status && !cluster_set_add(&q->metadata, cluster))
        status = -ENOMEM;
    if (status)
        slot->number = UINT64_MAX;
    else
        q->refcount_table[number] = offset;
    return status;
}

/* Lays new refcount blocks and what they first describe at the start of a part of the file that
 * none describes yet: the blocks, a larger refcount table if that is needed, and count clusters,
 * from *first on. */
struct region {
    uint64_t number, blocks; /* of refcount blocks */
    uint64_t base;           /* cluster */
    uint64_t table_clusters;
    uint64_t total; /* clusters */
};

static void plan_region(const struct qcow2 *q, uint64_t count, struct region *region)
{
    uint64_t number = q->refcount_table_size;
    while (number && !q->refcount_table[number - 1])
        number--;
    uint64_t in_file = align_up(q->file_size, (uint64_t)q->cluster_size << q->block_bits) >>
                       (q->cluster_bits + q->block_bits);
    *region = (struct region){.number = number > in_file ? number : in_file};
    region->base = region->number << q->block_bits;
    for (uint64_t blocks = 1; blocks != region->blocks;) {
        region->blocks = blocks;
        uint64_t entries = region->number + blocks;
        if (entries > q->refcount_table_size)
            region->table_clusters =
                align_up(8 * (entries + entries / 2), q->cluster_size) >> q->cluster_bits;
        region->total = blocks + region->table_clusters + count;
        blocks = (region->total + block_entries(q) - 1) >> q->block_bits;
    }
}

static int write_region_blocks(struct qcow2 *q, const struct region *region)
{
    uint8_t *block = malloc(q->cluster_size);
    int status = block ? 0 : -ENOMEM;
    for (uint64_t i = 0; !status && i < region->blocks; i++) {
        uint64_t before = i << q->block_bits;
        memset(block, 0, q->cluster_size);
        for (uint64_t entry = 0; entry < block_entries(q) && before + entry < region->total;
             entry++)
            set_entry(q, block, entry, 1);
        status = host_file_write(&q->image->file, block, q->cluster_size,
                                 (region->base + i) << q->cluster_bits);
    }
    free(block);
    return status;
}

/* Writes the table, larger by table_clusters or in place, with the region's blocks in it. */
static int write_region_table(struct qcow2 *q, const struct region *region)
{
    uint64_t clusters = region->table_clusters;
    uint64_t size = clusters ? (clusters << q->cluster_bits) / 8 : q->refcount_table_size;
    if (8 * size > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
        return -EFBIG;
    uint64_t *table = calloc(size, sizeof(*table)), *raw = calloc(size, sizeof(*raw));
    uint64_t offset =
        clusters ? (region->base + region->blocks) << q->cluster_bits : q->refcount_table_offset;
    int status = table && raw ? 0 : -ENOMEM;
    if (!status) {
        memcpy(table, q->refcount_table, q->refcount_table_size * sizeof(*table));
        for (uint64_t i = 0; i < region->blocks; i++)
            table[region->number + i] = (region->base + i) << q->cluster_bits;
        for (uint64_t i = 0; i < size; i++)
            qcow2_store(&raw[i], table[i]);
        status = host_file_write(&q->image->file, raw, 8 * size, offset);
    }
    if (!status && clusters) {
        uint8_t fields[12];
        qcow2_store(fields, offset);
        qcow2_store32(fields + 8, (uint32_t)clusters);
        status = host_file_sync(&q->image->file);
        if (!status)
            status = host_file_write(&q->image->file, fields, sizeof(fields),
                                     QCOW2_H_REFCOUNT_TABLE_OFFSET);
    }
    free(raw);
    if (status) {
        free(table);
        return status;
    }
    free(q->refcount_table);
    q->refcount_table = table;
    q->refcount_table_size = (uint32_t)size;
    q->refcount_table_offset = offset;
    return 0;
}

static int add_region(struct qcow2 *q, uint64_t count, uint64_t *first)
{
    struct region region;
    plan_region(q, count, &region);
    uint64_t old_offset = q->refcount_table_offset;
    uint64_t old_clusters = (8ull * q->refcount_table_size) >> q->cluster_bits;
    int status = clean(q, region.base, region.total);
    if (!status)
        status = write_region_blocks(q, &region);
    if (!status)
        status = host_file_sync(&q->image->file);
    if (!status)
        status = write_region_table(q, &region);
    if (status)
        return status;
    for (uint64_t i = 0; i < region.blocks + region.table_clusters; i++)
        if (!cluster_set_add(&q->metadata, region.base + i))
            return -ENOMEM;
    *first = region.base + region.blocks + region.table_clusters;
    if (!region.table_clusters)
        return 0;
    for (uint64_t i = 0; i < old_clusters; i++)
        cluster_set_remove(&q->metadata, (old_offset >> q->cluster_bits) + i);
    qcow2_release(q, old_offset >> q->cluster_bits, old_clusters);
    return 0;
}

/* Claims a run of least to want clusters that one refcount block describes. *count 0: there is
 * none below the end of the refcount table. */
static int claim_run(struct qcow2 *q, uint64_t least, uint64_t want, uint64_t *first,
                     uint64_t *count)
{
    uint64_t entries = block_entries(q);
    *count = 0;
    for (uint64_t at = q->cursor; at >> q->block_bits < q->refcount_table_size;) {
        uint64_t number = at >> q->block_bits, i = at & (entries - 1), run = 0;
        struct table_slot *slot;
        int status = q->refcount_table[number] ? 0 : add_block(q, number);
        if (!status)
            status = load_block(q, number, &slot);
        if (status)
            return status;
        while (i < entries && get_entry(q, slot->bytes, i))
            i++;
        while (i + run < entries && run < want && !get_entry(q, slot->bytes, i + run))
            run++;
        at = (number << q->block_bits) + i + run;
        if (run < least)
            continue;
        *first = (number << q->block_bits) + i;
        status = clean(q, *first, run);
        if (status)
            return status;
        for (uint64_t k = 0; k < run; k++)
            set_entry(q, slot->bytes, i + k, 1);
        status = write_entries(q, slot, i, run);
        if (!status)
            status = host_file_sync(&q->image->file);
        if (status)
            slot->number = UINT64_MAX;
        else
            *count = run;
        return status;
    }
    return 0;
}

int qcow2_take(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *count)
{
    if (!q->pool_count) {
        uint64_t least = BATCH_BYTES_MIN >> q->cluster_bits,
                 most = BATCH_BYTES_MAX >> q->cluster_bits;
        if (q->batch < least)
            q->batch = least;
        int status = claim_run(q, 1, q->batch, &q->pool_first, &q->pool_count);
        if (!status && !q->pool_count) {
            status = add_region(q, 1, &q->pool_first);
            q->pool_count = !status;
        }
        if (status) {
            q->pool_count = 0;
            return status;
        }
        q->cursor = q->pool_first + q->pool_count;
        q->batch = 2 * q->batch < most ? 2 * q->batch : most;
    }
    *first = q->pool_first;
    *count = want < q->pool_count ? want : q->pool_count;
    q->pool_first += *count;
    q->pool_count -= *count;
    return 0;
}

int qcow2_claim(struct qcow2 *q, uint64_t count, uint64_t *first)
{
    uint64_t found = 0;
    int status = claim_run(q, count, count, first, &found);
    return status || found ? status : add_region(q, count, first);
}

/* ---- Clusters that are no longer used ---- */

void qcow2_release(struct qcow2 *q, uint64_t first, uint64_t count)
{
    /* A full list, where the commit that would empty it failed: the clusters are leaked. */
    for (uint64_t i = 0; i < count && q->release_count < QCOW2_RELEASES_MAX; i++)
        q->releases[q->release_count++] = first + i;
}

/* Drops a reference to each of count clusters of one block; *freed bounds those that are free now.
 */
static int drop_in_block(struct qcow2 *q, uint64_t first, uint64_t count)
{
    uint64_t number = first >> q->block_bits, i = first & (block_entries(q) - 1);
    struct table_slot *slot;
    if (number >= q->refcount_table_size || !q->refcount_table[number])
        return qcow2_damaged(q, "a cluster in use has no refcount, at the file offset",
                             first << q->cluster_bits);
    int status = load_block(q, number, &slot);
    if (status)
        return status;
    for (uint64_t k = 0; k < count; k++) {
        uint64_t refcount = get_entry(q, slot->bytes, i + k);
        if (!refcount)
            return qcow2_damaged(q, "a cluster in use has the refcount 0, at the file offset",
                                 (first + k) << q->cluster_bits);
        set_entry(q, slot->bytes, i + k, refcount - 1);
    }
    status = write_entries(q, slot, i, count);
    for (uint64_t k = 0, run; !status && k < count; k += run) {
        run = 1;
        if (get_entry(q, slot->bytes, i + k))
            continue;
        while (k + run < count && !get_entry(q, slot->bytes, i + k + run))
            run++;
        /* Merely to give room back: claim_run() makes sure of the zeros. */
        host_file_punch(&q->image->file, (first + k) << q->cluster_bits, run << q->cluster_bits);
        if (first + k < q->cursor)
            q->cursor = first + k;
    }
    return status;
}

int qcow2_apply_releases(struct qcow2 *q)
{
    int status = 0;
    unsigned done = 0;
    while (!status && done < q->release_count) {
        uint64_t first = q->releases[done], run = 1;
        uint64_t room = block_entries(q) - (first & (block_entries(q) - 1));
        while (done + run < q->release_count && run < room &&
               q->releases[done + run] == first + run)
            run++;
        status = drop_in_block(q, first, run);
        done += (unsigned)run;
    }
    q->release_count = 0; /* after an error the rest is leaked */
    return status;
}

void qcow2_return_pool(struct qcow2 *q)
{
    uint64_t first = q->pool_first, count = q->pool_count;
    if (!count)
        return;
    q->pool_count = 0;
    if (drop_in_block(q, first, count) == 0 && !q->image->file.is_block_device &&
        q->file_size == (first + count) << q->cluster_bits)
        host_file_truncate(&q->image->file, first << q->cluster_bits);
}
