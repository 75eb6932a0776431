/* From the guest's offsets to the file's: L1 and L2 tables.
 *
 * A new mapping is written to the file at once if what it covers read as zeros before: its cluster
 * reads as zeros until the data arrives. A mapping that replaces older data waits in the cache
 * until the new data is on the disk, and with it the parts that were copied. */
#include "backends/block/qcow2.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned l2_entries(const struct qcow2 *q)
{
    return 1u << q->l2_bits;
}

static uint64_t l1_index(const struct qcow2 *q, uint64_t offset)
{
    return offset >> (q->cluster_bits + q->l2_bits);
}

static unsigned l2_index(const struct qcow2 *q, uint64_t offset)
{
    return (offset >> q->cluster_bits) & (l2_entries(q) - 1);
}

/* ---- Lookup ---- */

/* What an entry says; false: nonsense. */
static bool classify(const struct qcow2 *q, uint64_t entry, struct qcow2_extent *extent)
{
    extent->entry = entry;
    extent->in_place = false;
    if (entry & QCOW2_COMPRESSED) {
        uint64_t at, size;
        extent->kind = QCOW2_DEFLATED;
        qcow2_compressed_range(q, entry, &at, &size);
        return at < q->file_size && !(entry & QCOW2_COPIED);
    }
    uint64_t host = entry & QCOW2_OFFSET;
    bool zero = entry & QCOW2_ZERO && q->version >= 3;
    if (entry & ~(QCOW2_COPIED | QCOW2_OFFSET | (zero ? QCOW2_ZERO : 0)) ||
        host & (q->cluster_size - 1) || (host && host >= q->file_size) ||
        (!host && entry & QCOW2_COPIED))
        return false;
    extent->kind = zero ? QCOW2_READS_ZERO : host ? QCOW2_DATA : QCOW2_UNALLOCATED;
    extent->in_place = extent->kind == QCOW2_DATA && entry & QCOW2_COPIED;
    return true;
}

/* Whether the entry of the nth cluster after extent's first goes on with it. */
static bool goes_on(const struct qcow2 *q, const struct qcow2_extent *extent, uint64_t entry,
                    unsigned n)
{
    struct qcow2_extent next;
    if (extent->kind == QCOW2_DEFLATED || !classify(q, entry, &next) || next.kind != extent->kind)
        return false;
    return extent->kind != QCOW2_DATA || entry == extent->entry + ((uint64_t)n << q->cluster_bits);
}

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t size, struct qcow2_extent *extent)
{
    uint64_t l1 = l1_index(q, offset), table = q->l1[l1] & QCOW2_OFFSET;
    unsigned first = l2_index(q, offset), run = l2_entries(q) - first;
    uint64_t within = offset & (q->cluster_size - 1), host = 0;
    *extent = (struct qcow2_extent){.kind = QCOW2_UNALLOCATED};
    if (table) {
        unsigned most = run;
        uint64_t wanted = (within + size + q->cluster_size - 1) >> q->cluster_bits;
        struct table_slot *slot;
        pthread_mutex_lock(&q->cache_lock);
        int status = table_cache_load(q, &q->l2_cache, l1, table, &slot);
        bool sound = false;
        if (!status) {
            const uint8_t *entries = slot->bytes + 8 * first;
            sound = classify(q, qcow2_load(entries), extent);
            most = wanted < most ? (unsigned)wanted : most;
            for (run = 1; run < most && goes_on(q, extent, qcow2_load(entries + 8 * run), run);)
                run++;
        }
        pthread_mutex_unlock(&q->cache_lock);
        if (status)
            return status;
        if (!sound)
            return qcow2_damaged(q, "nonsense in the L2 entry of the disk's offset", offset);
        host = extent->entry & QCOW2_OFFSET;
    }
    uint64_t covered = ((uint64_t)run << q->cluster_bits) - within;
    extent->size = size < covered ? size : covered;
    extent->host = host + within;
    if (extent->kind == QCOW2_DATA && cluster_set_meets(&q->metadata, host >> q->cluster_bits, run))
        return qcow2_damaged(q, "data lies in a table, at the disk's offset", offset);
    return 0;
}

/* ---- Changes ---- */

static int write_l1(struct qcow2 *q, uint64_t index, uint64_t entry)
{
    uint8_t bytes[8];
    qcow2_store(bytes, entry);
    int status = host_file_write(&q->image->file, bytes, sizeof(bytes), q->l1_offset + 8 * index);
    if (!status)
        q->l1[index] = entry;
    return status;
}

/* Frees the table's slot of another table's newer entries. */
static int load_l2(struct qcow2 *q, uint64_t index, uint64_t offset, struct table_slot **slot)
{
    int status = table_cache_load(q, &q->l2_cache, index, offset, slot);
    if (status != -EBUSY)
        return status;
    status = qcow2_commit(q);
    return status ? status : table_cache_load(q, &q->l2_cache, index, offset, slot);
}

/* Gives the active L1 table an L2 table of its own in place of one that snapshots share. */
static int copy_l2(struct qcow2 *q, uint64_t index, uint64_t copy)
{
    uint64_t old = q->l1[index] & QCOW2_OFFSET;
    struct table_slot *slot;
    int status = load_l2(q, index, old, &slot);
    if (!status && slot->dirty_end)
        status = qcow2_commit(q);
    if (!status)
        status = host_file_write(&q->image->file, slot->bytes, q->cluster_size, copy);
    if (!status)
        status = host_file_sync(&q->image->file);
    if (!status)
        status = write_l1(q, index, copy | QCOW2_COPIED);
    if (status)
        return status;
    slot->offset = copy;
    cluster_set_remove(&q->metadata, old >> q->cluster_bits);
    qcow2_release(q, old >> q->cluster_bits, 1);
    return 0;
}

int qcow2_own_l2(struct qcow2 *q, uint64_t offset)
{
    uint64_t index = l1_index(q, offset), cluster, count;
    if (q->l1[index] & QCOW2_COPIED)
        return 0;
    int status = qcow2_take(q, 1, &cluster, &count);
    if (status)
        return status;
    if (!cluster_set_add(&q->metadata, cluster))
        return -ENOMEM;
    if (q->l1[index] & QCOW2_OFFSET)
        status = copy_l2(q, index, cluster << q->cluster_bits);
    else
        status = write_l1(q, index, cluster << q->cluster_bits | QCOW2_COPIED);
    if (status) {
        cluster_set_remove(&q->metadata, cluster);
        qcow2_release(q, cluster, 1);
    }
    return status;
}

static void release_old(struct qcow2 *q, uint64_t entry)
{
    uint64_t at = entry & QCOW2_OFFSET, size = 1;
    if (entry & QCOW2_COMPRESSED)
        qcow2_compressed_range(q, entry, &at, &size);
    else if (!at)
        return;
    uint64_t first = at >> q->cluster_bits, last = (at + size - 1) >> q->cluster_bits;
    qcow2_release(q, first, last - first + 1);
}

int qcow2_set_entries(struct qcow2 *q, uint64_t offset, unsigned count, uint64_t entry,
                      uint64_t step, bool hold)
{
    uint64_t index = l1_index(q, offset);
    unsigned first = l2_index(q, offset);
    struct table_slot *slot;
    int status = 0;
    if (q->release_count > QCOW2_RELEASES_MAX - 4 * QCOW2_ENTRIES_MAX)
        status = qcow2_commit(q);
    if (!status)
        status = load_l2(q, index, q->l1[index] & QCOW2_OFFSET, &slot);
    if (status)
        return status;
    uint8_t *entries = slot->bytes + 8 * first;
    for (unsigned i = 0; i < count; i++) {
        release_old(q, qcow2_load(entries + 8 * i));
        qcow2_store(entries + 8 * i, entry + i * step);
    }
    if (!hold)
        status = host_file_write(&q->image->file, entries, 8 * count, slot->offset + 8 * first);
    if (hold || status) /* what could not be written is tried again */
        table_cache_dirty(&q->l2_cache, slot, first, first + count);
    return status;
}

/* ---- Commit ---- */

static int write_held(struct qcow2 *q)
{
    struct table_cache *cache = &q->l2_cache;
    int status = host_file_sync(&q->image->file);
    for (unsigned i = 0; !status && cache->dirty && i < cache->count; i++) {
        struct table_slot *slot = &cache->slots[i];
        if (!slot->dirty_end)
            continue;
        uint64_t start = 8ull * slot->dirty_first, end = 8ull * slot->dirty_end;
        status = host_file_write(&q->image->file, slot->bytes + start, end - start,
                                 slot->offset + start);
        if (!status) {
            slot->dirty_first = slot->dirty_end = 0;
            cache->dirty--;
        }
    }
    return status;
}

int qcow2_commit(struct qcow2 *q)
{
    int status = q->corrupt ? -EIO : 0;
    if (!status && q->l2_cache.dirty)
        status = write_held(q);
    if (!status)
        status = host_file_sync(&q->image->file);
    if (!status)
        status = qcow2_apply_releases(q);
    return status;
}
