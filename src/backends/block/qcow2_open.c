/* Opening qcow2 images. Everything in the header and the tables it names is checked before any of
 * it is used, and nothing is written before all of it is known to be sound. */
#include "backends/block/qcow2.h"
#include "base/bits.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXTENSION_END = 0,
    EXTENSION_BACKING_FORMAT = (int)0xe2792aca,
    EXTENSION_FEATURE_NAMES = 0x6803f857,
    FEATURE_NAME_ENTRY = 48,
};

enum { L2_CACHE_BYTES = 16 << 20, BLOCK_CACHE_BYTES = 4 << 20 };

/* The header while it is looked at. */
struct header {
    uint8_t *bytes; /* the first cluster */
    uint64_t length;
    uint64_t incompatible;
    const uint8_t *feature_names;
    uint32_t feature_names_size;
    char backing[QCOW2_MAX_BACKING_NAME + 1];
    char backing_format[16];
};

bool qcow2_is_header(const uint8_t *bytes, size_t size)
{
    if (size < QCOW2_H_BACKING_OFFSET || qcow2_load32(bytes) != QCOW2_MAGIC)
        return false;
    uint32_t version = qcow2_load32(bytes + QCOW2_H_VERSION);
    return version >= 2;
}

static bool damaged(const struct qcow2 *q, struct error *error, const char *what)
{
    return error_set(error,
                     "%s: %s: the image is damaged or cut off: see qemu-img check, or restore it",
                     q->image->file.path, what);
}

int qcow2_damaged(struct qcow2 *q, const char *what, uint64_t where)
{
    struct image *image = q->image;
    if (!q->opened || __atomic_exchange_n(&q->corrupt, true, __ATOMIC_RELAXED))
        return -EIO;
    log_error("%s: the image is damaged: %s %#llx%s", image->file.path, what,
              (unsigned long long)where,
              image->readonly ? "" : "; nothing more is written to it; see qemu-img check");
    uint8_t field[8];
    if (!image->readonly && q->version >= 3 &&
        host_file_read(&image->file, field, sizeof(field), QCOW2_H_INCOMPATIBLE) == 0) {
        qcow2_store(field, qcow2_load(field) | QCOW2_CORRUPT);
        host_file_write(&image->file, field, sizeof(field), QCOW2_H_INCOMPATIBLE);
    }
    return -EIO;
}

/* ---- The header ---- */

static bool read_header(struct qcow2 *q, struct header *header, struct error *error)
{
    const char *path = q->image->file.path;
    uint8_t fixed[QCOW2_H_V3_SIZE];
    int status = host_file_read(&q->image->file, fixed, sizeof(fixed), 0);
    if (!status)
        status = host_file_size(&q->image->file, &q->file_size);
    if (status)
        return error_set(error, "%s: cannot be read: %s", path, strerror(-status));
    if (q->file_size < QCOW2_H_V2_SIZE)
        return damaged(q, error, "it is shorter than its header");
    q->version = qcow2_load32(fixed + QCOW2_H_VERSION);
    q->cluster_bits = qcow2_load32(fixed + QCOW2_H_CLUSTER_BITS);
    if (q->version > 3)
        return error_set(error,
                         "%s: is of version %u of qcow2; 2 and 3 are known: convert it with "
                         "qemu-img convert",
                         path, q->version);
    if (q->cluster_bits < QCOW2_MIN_CLUSTER_BITS || q->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
        return damaged(q, error, "its cluster size is not one of 512 bytes to 2 MiB");
    q->cluster_size = 1u << q->cluster_bits;
    header->bytes = malloc(q->cluster_size);
    if (!header->bytes)
        return error_set(error, "%s: out of memory", path);
    status = host_file_read(&q->image->file, header->bytes, q->cluster_size, 0);
    if (status)
        return error_set(error, "%s: cannot be read: %s", path, strerror(-status));
    header->length = QCOW2_H_V2_SIZE;
    q->refcount_order = 4;
    if (q->version == 2)
        return true;
    header->length = qcow2_load32(fixed + QCOW2_H_LENGTH);
    header->incompatible = qcow2_load(fixed + QCOW2_H_INCOMPATIBLE);
    q->autoclear = qcow2_load(fixed + QCOW2_H_AUTOCLEAR);
    q->refcount_order = qcow2_load32(fixed + QCOW2_H_REFCOUNT_ORDER);
    if (header->length < QCOW2_H_V3_SIZE || header->length > q->cluster_size || header->length % 8)
        return damaged(q, error, "the length of its header is wrong");
    return q->refcount_order <= 6 ||
           damaged(q, error, "the width of its refcounts is over 64 bits");
}

static bool read_extensions(struct qcow2 *q, struct header *header, struct error *error)
{
    uint64_t backing = qcow2_load(header->bytes + QCOW2_H_BACKING_OFFSET);
    uint64_t end = backing && backing < q->cluster_size ? backing : q->cluster_size;
    for (uint64_t at = header->length; at + 8 <= end;) {
        uint32_t type = qcow2_load32(header->bytes + at);
        uint32_t size = qcow2_load32(header->bytes + at + 4);
        const uint8_t *data = header->bytes + at + 8;
        if (type == EXTENSION_END)
            break;
        if (size > end - at - 8)
            return damaged(q, error, "a header extension is too long");
        if (type == (uint32_t)EXTENSION_BACKING_FORMAT && size < sizeof(header->backing_format)) {
            memcpy(header->backing_format, data, size);
        } else if (type == EXTENSION_FEATURE_NAMES) {
            header->feature_names = data;
            header->feature_names_size = size;
        }
        at += 8 + align_up(size, 8);
    }
    return true;
}

static const char *feature_name(const struct header *header, unsigned bit, char name[48])
{
    static const char *const known[] = {"dirty", "corrupt", "external data file",
                                        "compression type", "extended L2 entries"};
    if (bit < ARRAY_SIZE(known))
        return known[bit];
    for (uint32_t at = 0; at + FEATURE_NAME_ENTRY <= header->feature_names_size;
         at += FEATURE_NAME_ENTRY) {
        const uint8_t *entry = header->feature_names + at;
        if (entry[0] != 0 || entry[1] != bit)
            continue;
        memcpy(name, entry + 2, 46);
        name[46] = 0;
        for (char *c = name; *c; c++)
            if (*c < ' ' || *c > '~')
                *c = '?';
        return name;
    }
    return "one without a name";
}

static bool check_features(struct qcow2 *q, const struct header *header, struct error *error)
{
    const char *path = q->image->file.path;
    char name[48];
    uint64_t unknown =
        header->incompatible & ~(uint64_t)(QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_COMPRESSION_TYPE);
    if (unknown) {
        unsigned bit = (unsigned)__builtin_ctzll(unknown);
        return error_set(error,
                         "%s: uses a feature of qcow2 that is not offered: %s (bit %u): "
                         "convert it with qemu-img convert",
                         path, feature_name(header, bit, name), bit);
    }
    if (header->incompatible & QCOW2_CORRUPT && !q->image->readonly)
        return error_set(error,
                         "%s: is marked as corrupt: repair it with qemu-img check -r all, "
                         "or open it readonly",
                         path);
    if (header->incompatible & QCOW2_DIRTY && !q->image->readonly)
        return error_set(error,
                         "%s: was not closed by the program that used it with lazy "
                         "refcounts: repair it with qemu-img check -r all, or open it "
                         "readonly",
                         path);
    uint8_t type =
        header->length > QCOW2_H_COMPRESSION_TYPE ? header->bytes[QCOW2_H_COMPRESSION_TYPE] : 0;
    if (!(header->incompatible & QCOW2_COMPRESSION_TYPE) != !type)
        return damaged(q, error, "its compression type contradicts its features");
    if (type > 1)
        return error_set(error,
                         "%s: its clusters are compressed by method %u; deflate (0) and "
                         "zstd (1) are known: convert it with qemu-img convert",
                         path, type);
    q->is_zstd = type == 1;
    if (qcow2_load32(header->bytes + QCOW2_H_CRYPT_METHOD))
        return error_set(error,
                         "%s: is encrypted, which is not offered: convert it with qemu-img "
                         "convert",
                         path);
    return true;
}

/* Backing file names are bytes between two places of the first cluster. */
static bool read_backing_name(struct qcow2 *q, struct header *header, struct error *error)
{
    uint64_t offset = qcow2_load(header->bytes + QCOW2_H_BACKING_OFFSET);
    uint32_t size = qcow2_load32(header->bytes + QCOW2_H_BACKING_SIZE);
    if (!offset)
        return true;
    if (size > QCOW2_MAX_BACKING_NAME || offset > q->cluster_size ||
        size > q->cluster_size - offset || offset < header->length)
        return damaged(q, error, "the name of its backing file does not lie in its first cluster");
    memcpy(header->backing, header->bytes + offset, size);
    return strlen(header->backing) == size ||
           damaged(q, error, "the name of its backing file holds a zero byte");
}

/* ---- Tables ---- */

/* Whether whole clusters at offset lie in the file. The last may be cut off by its end. */
static bool in_file(const struct qcow2 *q, uint64_t offset, uint64_t clusters)
{
    uint64_t end = align_up(q->file_size, q->cluster_size);
    return offset && !(offset & (q->cluster_size - 1)) && offset < end &&
           clusters <= (end - offset) >> q->cluster_bits;
}

static uint64_t *read_table(struct qcow2 *q, uint64_t offset, uint64_t entries, struct error *error)
{
    uint64_t *table = malloc(8 * entries + 8);
    int status = table ? host_file_read(&q->image->file, table, 8 * entries, offset) : -ENOMEM;
    if (status) {
        error_set(error, "%s: its tables cannot be read: %s", q->image->file.path,
                  strerror(-status));
        free(table);
        return NULL;
    }
    for (uint64_t i = 0; i < entries; i++)
        table[i] = qcow2_load(&table[i]);
    return table;
}

static bool read_l1(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    q->l1_size = qcow2_load32(header + QCOW2_H_L1_SIZE);
    q->l1_offset = qcow2_load(header + QCOW2_H_L1_OFFSET);
    uint64_t covers = 1ull << (q->cluster_bits + q->l2_bits);
    uint64_t needed = (q->image->size + covers - 1) / covers;
    uint64_t clusters = (8ull * q->l1_size + q->cluster_size - 1) >> q->cluster_bits;
    if (q->l1_size > QCOW2_MAX_L1_BYTES / 8 || q->l1_size < needed)
        return damaged(q, error, "its L1 table does not fit its size");
    if (q->l1_size && !in_file(q, q->l1_offset, clusters))
        return damaged(q, error, "its L1 table lies outside the file");
    q->l1 = read_table(q, q->l1_offset, q->l1_size, error);
    if (!q->l1)
        return false;
    bool good = cluster_set_append(&q->metadata, q->l1_offset >> q->cluster_bits, clusters);
    for (uint32_t i = 0; good && i < q->l1_size; i++) {
        uint64_t offset = q->l1[i] & QCOW2_OFFSET;
        if (q->l1[i] & ~(QCOW2_OFFSET | QCOW2_COPIED) || (!offset && q->l1[i]) ||
            (offset && !in_file(q, offset, 1)))
            return damaged(q, error, "an L2 table lies outside the file");
        if (offset)
            good = cluster_set_append(&q->metadata, offset >> q->cluster_bits, 1);
    }
    return good || error_set(error, "%s: out of memory", q->image->file.path);
}

static bool read_refcount_table(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    uint32_t clusters = qcow2_load32(header + QCOW2_H_REFCOUNT_TABLE_CLUSTERS);
    q->refcount_table_offset = qcow2_load(header + QCOW2_H_REFCOUNT_TABLE_OFFSET);
    if (!clusters || (uint64_t)clusters << q->cluster_bits > QCOW2_MAX_REFCOUNT_TABLE_BYTES ||
        !in_file(q, q->refcount_table_offset, clusters))
        return damaged(q, error, "its refcount table lies outside the file");
    q->refcount_table_size = clusters << (q->cluster_bits - 3);
    q->refcount_table = read_table(q, q->refcount_table_offset, q->refcount_table_size, error);
    if (!q->refcount_table)
        return false;
    bool good =
        cluster_set_append(&q->metadata, q->refcount_table_offset >> q->cluster_bits, clusters);
    for (uint32_t i = 0; good && i < q->refcount_table_size; i++) {
        uint64_t offset = q->refcount_table[i];
        if (!offset)
            continue;
        if (!in_file(q, offset, 1))
            return damaged(q, error, "a refcount block lies outside the file");
        good = cluster_set_append(&q->metadata, offset >> q->cluster_bits, 1);
    }
    return good || error_set(error, "%s: out of memory", q->image->file.path);
}

/* Snapshots are kept as they are: their clusters have refcounts. */
static bool check_snapshots(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    return !qcow2_load32(header + QCOW2_H_SNAPSHOT_COUNT) ||
           in_file(q, qcow2_load(header + QCOW2_H_SNAPSHOT_OFFSET), 1) ||
           damaged(q, error, "its snapshot table lies outside the file");
}

static bool read_tables(struct qcow2 *q, const uint8_t *header, struct error *error)
{
    uint64_t size = qcow2_load(header + QCOW2_H_SIZE);
    if (size > IMAGE_SIZE_MAX)
        return damaged(q, error, "its size is absurd");
    q->image->size = align_down(size, 512);
    q->l2_bits = q->cluster_bits - 3;
    q->block_bits = q->cluster_bits + 3 - q->refcount_order;
    if (!cluster_set_append(&q->metadata, 0, 1))
        return error_set(error, "%s: out of memory", q->image->file.path);
    if (!read_l1(q, header, error) || !read_refcount_table(q, header, error) ||
        !check_snapshots(q, header, error))
        return false;
    return cluster_set_sort(&q->metadata) || damaged(q, error, "two of its tables overlap");
}

static bool create_caches(struct qcow2 *q, struct error *error)
{
    uint32_t tables = L2_CACHE_BYTES >> q->cluster_bits;
    uint32_t blocks = BLOCK_CACHE_BYTES >> q->cluster_bits;
    tables = tables < q->l1_size || !q->l1_size ? tables : q->l1_size;
    blocks = blocks < q->refcount_table_size ? blocks : q->refcount_table_size;
    q->releases = calloc(QCOW2_RELEASES_MAX, sizeof(*q->releases));
    return (table_cache_create(&q->l2_cache, tables) &&
            table_cache_create(&q->block_cache, blocks) && q->releases) ||
           error_set(error, "%s: out of memory", q->image->file.path);
}

/* ---- Truncation ---- */

static bool table_is_cut_off(struct qcow2 *q, uint64_t index)
{
    struct qcow2_extent extent;
    uint64_t covers = 1ull << (q->cluster_bits + q->l2_bits);
    uint64_t at = index * covers, end = at + covers;
    for (end = end < q->image->size ? end : q->image->size; at < end; at += extent.size)
        if (qcow2_map(q, at, end - at, &extent))
            return true;
    return false;
}

/* A file that was cut off lacks clusters that have a refcount. Only then are all mappings looked
 * at, for refcounts may also be left from a crash. */
static bool check_end(struct qcow2 *q, struct error *error)
{
    uint64_t end = align_up(q->file_size, q->cluster_size) >> q->cluster_bits;
    uint64_t block_end = align_up(end + 1, 1ull << q->block_bits);
    bool in_use = false;
    for (uint64_t cluster = end; cluster < block_end && !in_use; cluster++) {
        uint64_t refcount;
        int status = qcow2_refcount(q, cluster, &refcount);
        if (status)
            return error_set(error, "%s: cannot be read: %s", q->image->file.path,
                             strerror(-status));
        in_use = refcount;
    }
    for (uint32_t i = 0; in_use && i < q->l1_size; i++)
        if (q->l1[i] && table_is_cut_off(q, i))
            return damaged(q, error, "some of its clusters lie outside the file");
    return true;
}

/* ---- All of it ---- */

void qcow2_free(struct qcow2 *q)
{
    table_cache_destroy(&q->l2_cache);
    table_cache_destroy(&q->block_cache);
    pthread_rwlock_destroy(&q->lock);
    pthread_mutex_destroy(&q->cache_lock);
    pthread_mutex_destroy(&q->inflate_lock);
    free(q->metadata.clusters);
    free(q->l1);
    free(q->refcount_table);
    free(q->releases);
    free(q->inflated);
    free(q->deflated);
    free(q);
}

static struct qcow2 *qcow2_new(struct image *image)
{
    struct qcow2 *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->image = image;
    /* Readers come one after the other without end; writers must get their turn. */
    pthread_rwlockattr_t writers_first;
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&q->lock, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    pthread_mutex_init(&q->cache_lock, NULL);
    pthread_mutex_init(&q->inflate_lock, NULL);
    return q;
}

static bool open_backing(struct qcow2 *q, const struct header *header, struct error *error)
{
    enum disk_format format = DISK_PROBE;
    if (!*header->backing)
        return true;
    if (*header->backing_format && !disk_format_parse(header->backing_format, &format))
        return error_set(error, "%s: the format \"%s\" of its backing file is not offered",
                         q->image->file.path, header->backing_format);
    q->image->backing = image_open_backing(q->image, header->backing, format, error);
    return q->image->backing;
}

bool qcow2_open(struct image *image, struct error *error)
{
    struct header header = {0};
    struct qcow2 *q = qcow2_new(image);
    if (!q)
        return error_set(error, "%s: out of memory", image->file.path);
    image->ops = &qcow2_ops;
    image->format = q;
    bool good = read_header(q, &header, error) && read_extensions(q, &header, error) &&
                check_features(q, &header, error) && read_backing_name(q, &header, error) &&
                read_tables(q, header.bytes, error) && create_caches(q, error) &&
                check_end(q, error) && open_backing(q, &header, error);
    free(header.bytes);
    q->opened = good;
    if (!good) {
        image_close(image->backing);
        image->backing = NULL;
        qcow2_free(q);
    }
    return good;
}

bool qcow2_begin_writing(struct image *image, struct error *error)
{
    static const uint8_t none[8];
    struct qcow2 *q = image->format;
    if (!q->autoclear)
        return true;
    int status = host_file_write(&image->file, none, sizeof(none), QCOW2_H_AUTOCLEAR);
    if (!status)
        status = host_file_sync(&image->file);
    return !status ||
           error_set(error, "%s: cannot be written: %s", image->file.path, strerror(-status));
}
