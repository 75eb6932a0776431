/* qcow2 images with some bytes changed, cut off or made longer, and then reads and writes as of a
 * guest. What must hold: no crash or hang, errors are errno values, and a file that is refused or
 * only read stays as it is. */
#include "backends/block/image.h"
#include "backends/block/qcow2.h"
#include "base/bits.h"
#include "fuzz.h"
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { FILE_MAX = 1 << 20, DATA_MAX = 1 << 16, OPERATIONS = 24 };

/* ---- Sound images ---- */

/* Clusters of the file, by what they hold. */
enum { HEADER, TABLE, BLOCK, L1, L2, DATA, PACKED = DATA + 2, CLUSTERS };

struct seed {
    unsigned version, cluster_bits, refcount_order;
    bool has_backing;
};

static const struct seed seeds[] = {
    {3, 9, 4, false}, {3, 12, 0, false}, {2, 9, 4, true}, {3, 9, 6, true}, {3, 14, 3, true},
};

/* One byte to 64 bits. */
static void put_refcount(uint8_t *block, unsigned order, unsigned i)
{
    if (order < 3)
        block[i >> (3 - order)] |= (uint8_t)(1u << ((i << order) & 7));
    else
        block[((i + 1) << (order - 3)) - 1] = 1;
}

static uint64_t packed_entry(uint8_t *file, const struct seed *seed)
{
    uint8_t plain[1 << 14];
    size_t size = 1u << seed->cluster_bits, at = (size_t)PACKED << seed->cluster_bits;
    z_stream stream = {
        .next_in = plain, .avail_in = (uInt)size, .next_out = file + at, .avail_out = (uInt)size};
    memset(plain, 0x33, size);
    deflateInit2(&stream, 9, Z_DEFLATED, -12, 8, Z_DEFAULT_STRATEGY);
    deflate(&stream, Z_FINISH);
    deflateEnd(&stream);
    return QCOW2_COMPRESSED | at;
}

/* The size of the file. The disk is one L2 table's worth and a half. */
static size_t make_image(uint8_t *file, const struct seed *seed, const char *backing)
{
    unsigned bits = seed->cluster_bits;
    uint64_t per_l2 = 1ull << (2 * bits - 3);
    memset(file, 0, (size_t)CLUSTERS << bits);
    qcow2_store32(file, QCOW2_MAGIC);
    qcow2_store32(file + QCOW2_H_VERSION, seed->version);
    qcow2_store32(file + QCOW2_H_CLUSTER_BITS, bits);
    qcow2_store(file + QCOW2_H_SIZE, per_l2 + per_l2 / 2);
    qcow2_store32(file + QCOW2_H_L1_SIZE, 2);
    qcow2_store(file + QCOW2_H_L1_OFFSET, L1 << bits);
    qcow2_store(file + QCOW2_H_REFCOUNT_TABLE_OFFSET, TABLE << bits);
    qcow2_store32(file + QCOW2_H_REFCOUNT_TABLE_CLUSTERS, 1);
    if (seed->version == 3) {
        qcow2_store32(file + QCOW2_H_REFCOUNT_ORDER, seed->refcount_order);
        qcow2_store32(file + QCOW2_H_LENGTH, QCOW2_H_V3_SIZE);
    }
    if (seed->has_backing) {
        qcow2_store(file + QCOW2_H_BACKING_OFFSET, 256);
        qcow2_store32(file + QCOW2_H_BACKING_SIZE, (uint32_t)strlen(backing));
        memcpy(file + 256, backing, strlen(backing));
    }
    qcow2_store(file + (TABLE << bits), BLOCK << bits);
    for (unsigned i = 0; i < CLUSTERS; i++)
        put_refcount(file + (BLOCK << bits), seed->version == 3 ? seed->refcount_order : 4, i);
    uint8_t *l2 = file + (L2 << bits);
    qcow2_store(file + (L1 << bits), QCOW2_COPIED | L2 << bits);
    qcow2_store(l2, QCOW2_COPIED | DATA << bits);
    qcow2_store(l2 + 8, QCOW2_COPIED | (DATA + 1) << bits);
    qcow2_store(l2 + 24, packed_entry(file, seed));
    if (seed->version == 3)
        qcow2_store(l2 + 32, QCOW2_ZERO);
    return (size_t)CLUSTERS << bits;
}

/* ---- Changes ---- */

/* Places that matter, and values that are almost right there. */
static void change(uint8_t *file, size_t *size, const struct seed *seed, struct input *input)
{
    unsigned bits = seed->cluster_bits, what = (unsigned)take(input, 1);
    size_t at = take(input, 2);
    uint64_t value = take(input, 1);
    if (what % 4 == 0) {
        at %= 112; /* the header */
    } else if (what % 4 == 1) {
        at = ((TABLE + at % 4) << bits) + 8 * (at / 4 % 6); /* an entry of a table */
    }
    at %= FILE_MAX - 8;
    if (what / 4 % 4 == 0)
        file[at] = (uint8_t)value;
    else if (what / 4 % 4 == 1)
        qcow2_store(file + at, (value % 16) << bits | (value & 16 ? QCOW2_COPIED : 0) |
                                   (value & 32 ? QCOW2_COMPRESSED : 0) |
                                   (value & 64 ? 1ull << (value % 64) : 0));
    else if (what / 4 % 4 == 2)
        qcow2_store32(file + at, (uint32_t)(value & 128 ? ~value : value));
    else if (value < 8)
        *size = value < 4 ? at % (*size + 1) : *size + at;
    if (*size > FILE_MAX)
        *size = FILE_MAX;
}

/* ---- Running ---- */

struct host {
    int fd; /* a memory file */
    char path[64];
};

static struct host make_file(const uint8_t *bytes, size_t size)
{
    struct host host = {.fd = memfd_create("image", MFD_CLOEXEC)};
    snprintf(host.path, sizeof(host.path), "/proc/self/fd/%d", host.fd);
    if (host.fd < 0 || pwrite(host.fd, bytes, size, 0) != (ssize_t)size)
        abort();
    return host;
}

static void check_unchanged(const struct host *host, const uint8_t *bytes, size_t size,
                            const char *when)
{
    uint8_t *now = malloc(FILE_MAX + 1);
    ssize_t count = pread(host->fd, now, FILE_MAX + 1, 0);
    if (count != (ssize_t)size || memcmp(now, bytes, size))
        fuzz_fail("the file has changed: %s", when);
    free(now);
}

static void operate(struct image *image, struct input *input)
{
    static uint8_t data[DATA_MAX];
    uint64_t sectors = image->size / 512, what = take(input, 1), size = 1 + take(input, 1) % 96;
    uint64_t offset = take(input, 2);
    if (!sectors)
        return;
    if (what & 64)
        offset = sectors - 1 - offset % sectors; /* from the end */
    offset %= sectors;
    if (size > sectors - offset)
        size = sectors - offset;
    offset *= 512;
    size *= 512;
    struct iovec iov[2] = {{data + size / 2, size - size / 2}, {data, size / 2}};
    int status = 0;
    if (image->readonly || what % 8 < 3)
        status = image->ops->read(image, iov, 2, offset, size);
    else if (what % 8 < 5)
        status = image->ops->write(image, iov, 2, offset, size);
    else if (what % 8 == 5)
        status = image->ops->discard(image, offset, size);
    else if (what % 8 == 6)
        status = image->ops->write_zeroes(image, offset, size, what & 32);
    else
        status = image->ops->flush(image);
    if (status > 0 || status < -4095)
        fuzz_fail("an operation returned %d", status);
}

static struct image *open_file(const struct host *host, bool readonly, uint64_t size)
{
    struct error error = {""};
    struct disk_options options = {.file = (char *)host->path,
                                   .format = DISK_QCOW2,
                                   .readonly = readonly,
                                   .size = readonly ? 0 : size};
    struct image *image = image_open(&options, &error);
    if (!image && !*error.text)
        fuzz_fail("no message");
    return image;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX], base_bytes[3000];
    struct input input = {data, size};
    const struct seed *seed = &seeds[take(&input, 1) % ARRAY_SIZE(seeds)];
    struct host base = make_file(base_bytes, sizeof(base_bytes));
    size_t file_size = make_image(file, seed, base.path);
    for (unsigned i = 0, count = take(&input, 1) % 8; i < count; i++)
        change(file, &file_size, seed, &input);

    uint64_t how = take(&input, 1), new_size = how & 16 ? (how >> 5) << 17 : 0;
    struct host host = make_file(file, file_size);
    for (unsigned opened = 0; opened < 2; opened++) {
        struct image *image = open_file(&host, how & 1, new_size);
        for (unsigned i = 0; image && i < OPERATIONS / 2; i++)
            operate(image, &input);
        image_close(image);
        if (how & 1)
            check_unchanged(&host, file, file_size, "it was only read");
        else if (!image && !opened && !new_size)
            check_unchanged(&host, file, file_size, "it was refused");
    }
    close(host.fd);
    close(base.fd);
    return 0;
}
