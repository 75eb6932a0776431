/* Tables in memory: the caches of L2 tables and refcount blocks, and the set of their clusters. */
#include "backends/block/qcow2.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Caches ---- */

bool table_cache_create(struct table_cache *cache, unsigned count)
{
    *cache = (struct table_cache){.slots = calloc(count, sizeof(*cache->slots)), .count = count};
    for (unsigned i = 0; cache->slots && i < count; i++)
        cache->slots[i].number = UINT64_MAX;
    return cache->slots;
}

void table_cache_destroy(struct table_cache *cache)
{
    for (unsigned i = 0; cache->slots && i < cache->count; i++)
        free(cache->slots[i].bytes);
    free(cache->slots);
}

struct table_slot *table_cache_slot(const struct table_cache *cache, uint64_t number)
{
    return &cache->slots[number % cache->count];
}

int table_cache_load(struct qcow2 *q, struct table_cache *cache, uint64_t number, uint64_t offset,
                     struct table_slot **found)
{
    struct table_slot *slot = *found = table_cache_slot(cache, number);
    if (slot->number == number && slot->offset == offset)
        return 0;
    if (slot->dirty_end)
        return -EBUSY;
    if (!slot->bytes)
        slot->bytes = malloc(q->cluster_size);
    if (!slot->bytes)
        return -ENOMEM;
    slot->number = UINT64_MAX; /* in case the read fails */
    int status = host_file_read(&q->image->file, slot->bytes, q->cluster_size, offset);
    if (status)
        return status;
    slot->number = number;
    slot->offset = offset;
    return 0;
}

void table_cache_dirty(struct table_cache *cache, struct table_slot *slot, unsigned first,
                       unsigned end)
{
    if (!slot->dirty_end) {
        cache->dirty++;
        slot->dirty_first = first;
        slot->dirty_end = end;
        return;
    }
    slot->dirty_first = first < slot->dirty_first ? first : slot->dirty_first;
    slot->dirty_end = end > slot->dirty_end ? end : slot->dirty_end;
}

/* ---- Sets ---- */

/* The place of the first member that is not below cluster. */
static size_t lower_bound(const struct cluster_set *set, uint64_t cluster)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->clusters[middle] < cluster)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool reserve(struct cluster_set *set, uint64_t more)
{
    if (more <= set->capacity - set->count)
        return true;
    size_t capacity = set->count + more + set->count / 2 + 64;
    uint64_t *clusters = realloc(set->clusters, capacity * sizeof(*clusters));
    if (!clusters)
        return false;
    set->clusters = clusters;
    set->capacity = capacity;
    return true;
}

bool cluster_set_add(struct cluster_set *set, uint64_t cluster)
{
    size_t at = lower_bound(set, cluster);
    if ((at < set->count && set->clusters[at] == cluster) || !reserve(set, 1))
        return false;
    memmove(&set->clusters[at + 1], &set->clusters[at], (set->count - at) * sizeof(*set->clusters));
    set->clusters[at] = cluster;
    set->count++;
    return true;
}

void cluster_set_remove(struct cluster_set *set, uint64_t cluster)
{
    size_t at = lower_bound(set, cluster);
    if (at == set->count || set->clusters[at] != cluster)
        return;
    set->count--;
    memmove(&set->clusters[at], &set->clusters[at + 1], (set->count - at) * sizeof(*set->clusters));
}

bool cluster_set_meets(const struct cluster_set *set, uint64_t first, uint64_t count)
{
    size_t at = lower_bound(set, first);
    return at < set->count && set->clusters[at] - first < count;
}

bool cluster_set_append(struct cluster_set *set, uint64_t first, uint64_t count)
{
    if (!reserve(set, count))
        return false;
    for (uint64_t i = 0; i < count; i++)
        set->clusters[set->count++] = first + i;
    return true;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

bool cluster_set_sort(struct cluster_set *set)
{
    qsort(set->clusters, set->count, sizeof(*set->clusters), compare);
    for (size_t i = 1; i < set->count; i++)
        if (set->clusters[i] == set->clusters[i - 1])
            return false;
    return true;
}
