/* Inside the qcow2 format: the state of an opened image, and what its files ask of each other.
 * doc/disks.md tells the order of writes. Functions return 0 or a negative errno value.
 *
 * Two locks. `lock` is held shared for reads and for writes into clusters that are there, and
 * exclusively for whatever changes a table; transfers of data are made under it, so that no cluster
 * is given away meanwhile. `cache_lock` guards the slots of the caches among shared holders. */
#ifndef DOPPEL_BACKENDS_BLOCK_QCOW2_H
#define DOPPEL_BACKENDS_BLOCK_QCOW2_H

#include "backends/block/image.h"

#include <pthread.h>

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

enum {
    QCOW2_MIN_CLUSTER_BITS = 9,
    QCOW2_MAX_CLUSTER_BITS = 21,
    QCOW2_MAX_L1_BYTES = 32 << 20,
    QCOW2_MAX_REFCOUNT_TABLE_BYTES = 8 << 20,
    QCOW2_MAX_BACKING_NAME = 1023,
    QCOW2_ENTRIES_MAX = 1024,                   /* that one qcow2_set_entries() changes */
    QCOW2_RELEASES_MAX = 8 * QCOW2_ENTRIES_MAX, /* a compressed cluster lies in up to 3 */
};

/* Offsets of header fields; all are big-endian. */
enum {
    QCOW2_H_VERSION = 4,
    QCOW2_H_BACKING_OFFSET = 8,
    QCOW2_H_BACKING_SIZE = 16,
    QCOW2_H_CLUSTER_BITS = 20,
    QCOW2_H_SIZE = 24,
    QCOW2_H_CRYPT_METHOD = 32,
    QCOW2_H_L1_SIZE = 36,
    QCOW2_H_L1_OFFSET = 40,
    QCOW2_H_REFCOUNT_TABLE_OFFSET = 48,
    QCOW2_H_REFCOUNT_TABLE_CLUSTERS = 56,
    QCOW2_H_SNAPSHOT_COUNT = 60,
    QCOW2_H_SNAPSHOT_OFFSET = 64,
    QCOW2_H_V2_SIZE = 72,
    QCOW2_H_INCOMPATIBLE = 72,
    QCOW2_H_AUTOCLEAR = 88,
    QCOW2_H_REFCOUNT_ORDER = 96,
    QCOW2_H_LENGTH = 100,
    QCOW2_H_COMPRESSION_TYPE = 104,
    QCOW2_H_V3_SIZE = 104,
};

enum {
    QCOW2_DIRTY = 1 << 0,
    QCOW2_CORRUPT = 1 << 1,
    QCOW2_EXTERNAL_DATA = 1 << 2,
    QCOW2_COMPRESSION_TYPE = 1 << 3,
    QCOW2_EXTENDED_L2 = 1 << 4,
};

/* Bits of L1 and L2 entries. */
#define QCOW2_COPIED (1ull << 63) /* the cluster's refcount is 1: it may be written in place */
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO 1ull
#define QCOW2_OFFSET 0x00fffffffffffe00ull

/* Tables of one cluster each, by their number: a number has one slot where it can be. */
struct table_slot {
    uint64_t number; /* UINT64_MAX: empty */
    uint64_t offset; /* in the file */
    uint8_t *bytes;  /* a cluster, big-endian as in the file; NULL until first used */
    /* The entries that are newer than in the file: see qcow2_commit(). */
    unsigned dirty_first, dirty_end;
};

struct table_cache {
    struct table_slot *slots;
    unsigned count;
    unsigned dirty; /* slots with newer entries */
};

/* Numbers of clusters, sorted. */
struct cluster_set {
    uint64_t *clusters;
    size_t count, capacity;
};

struct qcow2 {
    struct image *image;
    unsigned version, cluster_bits;
    uint32_t cluster_size;
    unsigned l2_bits;        /* log2 of the entries of an L2 table */
    unsigned refcount_order; /* log2 of the bits of a refcount */
    unsigned block_bits;     /* log2 of the refcounts in a block */
    bool is_zstd;            /* or else deflate */
    uint64_t autoclear;      /* features that a write makes stale */

    pthread_rwlock_t lock;
    pthread_mutex_t cache_lock;

    uint64_t l1_offset, *l1; /* host byte order */
    uint32_t l1_size;
    uint64_t refcount_table_offset, *refcount_table; /* host byte order */
    uint32_t refcount_table_size;                    /* entries, whole clusters of them */
    struct table_cache l2_cache, block_cache;
    struct cluster_set metadata; /* clusters that guest data never is in */
    uint64_t file_size;
    bool opened;  /* from then on damage is reported and marked */
    bool corrupt; /* nothing is written any more */

    /* Clusters that have the refcount 1, read as zeros, and are both after a crash. */
    uint64_t pool_first, pool_count;
    uint64_t batch;  /* how many the pool takes at a time */
    uint64_t cursor; /* no free cluster lies below */
    /* Clusters that lose a reference once no mapping in the file leads to them. */
    uint64_t *releases;
    unsigned release_count;

    pthread_mutex_t inflate_lock;
    uint64_t inflated_entry; /* the L2 entry whose data is in inflated; 0: none */
    uint8_t *inflated, *deflated;
};

enum qcow2_kind { QCOW2_UNALLOCATED, QCOW2_READS_ZERO, QCOW2_DATA, QCOW2_DEFLATED };

/* What a range of the guest's is mapped to: as much of it from its start as is alike. */
struct qcow2_extent {
    enum qcow2_kind kind;
    bool in_place;  /* data that may be overwritten */
    uint64_t entry; /* L2 entry of the first cluster */
    uint64_t host;  /* of data: the file offset of the range's first byte */
    uint64_t size;  /* bytes, not 0 */
};

/* Reports damage once, and where the image is written to marks it corrupt; is -EIO. */
int qcow2_damaged(struct qcow2 *q, const char *what, uint64_t where);

void qcow2_free(struct qcow2 *q);

/* ---- qcow2_tables.c ---- */

bool table_cache_create(struct table_cache *cache, unsigned count);
void table_cache_destroy(struct table_cache *cache);
struct table_slot *table_cache_slot(const struct table_cache *cache, uint64_t number);
/* The table's slot with its bytes, read from offset if they are not there. -EBUSY: the slot holds
 * another table's newer entries. */
int table_cache_load(struct qcow2 *q, struct table_cache *cache, uint64_t number, uint64_t offset,
                     struct table_slot **slot);
/* Marks entries of an L2 table as newer than the file's. */
void table_cache_dirty(struct table_cache *cache, struct table_slot *slot, unsigned first,
                       unsigned end);

/* False: no memory, or a cluster is there already. */
bool cluster_set_add(struct cluster_set *set, uint64_t cluster);
void cluster_set_remove(struct cluster_set *set, uint64_t cluster);
bool cluster_set_meets(const struct cluster_set *set, uint64_t first, uint64_t count);
/* Adds without order; then cluster_set_sort() says whether all differ. */
bool cluster_set_append(struct cluster_set *set, uint64_t first, uint64_t count);
bool cluster_set_sort(struct cluster_set *set);

/* ---- qcow2_refcount.c: `lock` held exclusively ---- */

/* Takes up to want clusters in a row out of the pool, and fills that first if it is empty. */
int qcow2_take(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *count);
/* Claims exactly count clusters in a row that read as zeros, outside the pool. */
int qcow2_claim(struct qcow2 *q, uint64_t count, uint64_t *first);
/* Drops a reference to each cluster, at the next qcow2_commit() after this. */
void qcow2_release(struct qcow2 *q, uint64_t first, uint64_t count);
int qcow2_apply_releases(struct qcow2 *q);
void qcow2_return_pool(struct qcow2 *q);
int qcow2_refcount(struct qcow2 *q, uint64_t cluster, uint64_t *refcount);

/* ---- qcow2_map.c ---- */

int qcow2_map(struct qcow2 *q, uint64_t offset, uint64_t size, struct qcow2_extent *extent);
/* With `lock` held exclusively. Sets count L2 entries (at most
 * QCOW2_ENTRIES_MAX) from that of offset on, all in one table, to entry, entry + step, ..., and
 * releases what they led to. hold: the entries must not reach the file before the data that is
 * written so far is on the disk. */
int qcow2_set_entries(struct qcow2 *q, uint64_t offset, unsigned count, uint64_t entry,
                      uint64_t step, bool hold);
/* Makes sure that the L2 table of offset is there for qcow2_set_entries(). */
int qcow2_own_l2(struct qcow2 *q, uint64_t offset);
/* Writes out all that is held, in order, and drops references. */
int qcow2_commit(struct qcow2 *q);

/* ---- qcow2_inflate.c ---- */

/* The file range that a compressed cluster's data lies in. */
void qcow2_compressed_range(const struct qcow2 *q, uint64_t entry, uint64_t *offset,
                            uint64_t *size);
/* Bytes [start, start + length of the list) of a compressed cluster. */
int qcow2_inflate(struct qcow2 *q, uint64_t entry, const struct iovec *iov, unsigned count,
                  uint64_t start);

static inline uint64_t qcow2_load(const void *p)
{
    uint64_t value;
    __builtin_memcpy(&value, p, 8);
    return __builtin_bswap64(value);
}

static inline void qcow2_store(void *p, uint64_t value)
{
    value = __builtin_bswap64(value);
    __builtin_memcpy(p, &value, 8);
}

static inline uint32_t qcow2_load32(const void *p)
{
    uint32_t value;
    __builtin_memcpy(&value, p, 4);
    return __builtin_bswap32(value);
}

static inline void qcow2_store32(void *p, uint32_t value)
{
    value = __builtin_bswap32(value);
    __builtin_memcpy(p, &value, 4);
}

#endif
