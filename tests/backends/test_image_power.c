/* Power failures. The host's file is watched: what was written since it was last synced may be lost
 * in part, sector by sector, in any order. Whatever is left must be a sound image with all that was
 * flushed, and in each sector either that or what was written after it.
 *
 * Built with the linker's --wrap for the functions of host_file.h that change a file. */
#include "backends/block/host_file.h"
#include "images.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 8, STEPS = 100, DISK = 4 << 20, SECTORS = DISK / 512, RECENT = 12 };
enum { FILE_MAX = 512 << 20 };

/* ---- The host's file ---- */

struct change {
    uint64_t offset, size; /* size: of the file after a truncation */
    uint8_t *bytes;        /* NULL: zeros */
    bool truncates;
};

struct store {
    uint8_t *bytes; /* sparse */
    uint64_t size;
};

/* The wrapped functions get no context of ours. */
static struct {
    bool on;
    struct store synced;
    struct change *changes; /* since then */
    unsigned count, capacity;
    struct run *run;
} watched;

static void may_crash(struct run *run);

static void note(uint64_t offset, uint64_t size, const uint8_t *bytes, bool truncates)
{
    if (!watched.on)
        return;
    if (watched.count == watched.capacity) {
        watched.capacity = 2 * watched.capacity + 64;
        watched.changes = realloc(watched.changes, watched.capacity * sizeof(struct change));
    }
    struct change *change = &watched.changes[watched.count++];
    *change = (struct change){.offset = offset, .size = size, .truncates = truncates};
    if (bytes) {
        change->bytes = malloc(size);
        memcpy(change->bytes, bytes, size);
    }
    cr_assert_leq(truncates ? size : offset + size, FILE_MAX);
}

static void apply(struct store *store, const struct change *change, uint64_t from, uint64_t size)
{
    if (change->truncates) {
        if (change->size < store->size)
            memset(store->bytes + change->size, 0, store->size - change->size);
        store->size = change->size;
        return;
    }
    uint8_t *to = store->bytes + change->offset + from;
    uint64_t end = change->offset + from + size;
    if (change->bytes) {
        memcpy(to, change->bytes + from, size);
        store->size = end > store->size ? end : store->size;
    } else {
        memset(to, 0, size);
    }
}

int __real_host_file_writev(const struct host_file *, const struct iovec *, unsigned, uint64_t);
int __real_host_file_write(const struct host_file *, const void *, size_t, uint64_t);
int __real_host_file_punch(const struct host_file *, uint64_t, uint64_t);
int __real_host_file_zero(const struct host_file *, uint64_t, uint64_t, bool);
int __real_host_file_truncate(const struct host_file *, uint64_t);
int __real_host_file_sync(const struct host_file *);
int __wrap_host_file_writev(const struct host_file *, const struct iovec *, unsigned, uint64_t);
int __wrap_host_file_write(const struct host_file *, const void *, size_t, uint64_t);
int __wrap_host_file_punch(const struct host_file *, uint64_t, uint64_t);
int __wrap_host_file_zero(const struct host_file *, uint64_t, uint64_t, bool);
int __wrap_host_file_truncate(const struct host_file *, uint64_t);
int __wrap_host_file_sync(const struct host_file *);

int __wrap_host_file_writev(const struct host_file *file, const struct iovec *iov, unsigned count,
                            uint64_t offset)
{
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++)
        size += iov[i].iov_len;
    uint8_t *bytes = malloc(size);
    iov_to_bytes(iov, count, bytes);
    note(offset, size, bytes, false);
    free(bytes);
    return __real_host_file_writev(file, iov, count, offset);
}

int __wrap_host_file_write(const struct host_file *file, const void *bytes, size_t size,
                           uint64_t offset)
{
    note(offset, size, bytes, false);
    return __real_host_file_write(file, bytes, size, offset);
}

int __wrap_host_file_punch(const struct host_file *file, uint64_t offset, uint64_t size)
{
    note(offset, size, NULL, false);
    return __real_host_file_punch(file, offset, size);
}

int __wrap_host_file_zero(const struct host_file *file, uint64_t offset, uint64_t size,
                          bool may_unmap)
{
    note(offset, size, NULL, false);
    return __real_host_file_zero(file, offset, size, may_unmap);
}

int __wrap_host_file_truncate(const struct host_file *file, uint64_t size)
{
    note(0, size, NULL, true);
    return __real_host_file_truncate(file, size);
}

int __wrap_host_file_sync(const struct host_file *file)
{
    if (watched.on)
        may_crash(watched.run);
    for (unsigned i = 0; i < watched.count; i++) {
        apply(&watched.synced, &watched.changes[i], 0, watched.changes[i].size);
        free(watched.changes[i].bytes);
    }
    watched.count = 0;
    return __real_host_file_sync(file);
}

/* ---- The disk ---- */

struct kind {
    char name[32];
    char create[200];
};

static struct kind kinds[] = {
    {"plain", "qemu-img create -f qcow2 disk 4M"},
    {"small_clusters", "qemu-img create -f qcow2 -o cluster_size=4k disk 4M"},
    {"tiny_clusters", "qemu-img create -f qcow2 -o cluster_size=512,refcount_bits=8 disk 4M"},
    {"backing", "head -c 3M /dev/zero | tr '\\0' '\\1' >base && "
                "qemu-img create -f qcow2 -o cluster_size=8k -b base -F raw disk 4M"},
    {"compressed", "head -c 4M /dev/zero | tr '\\0' '\\1' >base && "
                   "qemu-img convert -c -f raw -O qcow2 -o cluster_size=8k base disk"},
    {"shared", "head -c 4M /dev/zero | tr '\\0' '\\1' >base && "
               "qemu-img convert -f raw -O qcow2 -o cluster_size=8k base disk && "
               "qemu-img snapshot -c first disk"},
};

/* Every sector holds the number of the write that it comes from. */
struct run {
    const char *name;
    struct image *image;
    uint64_t state, number;
    uint64_t flushed[SECTORS], recent[SECTORS][RECENT];
    unsigned recent_count[SECTORS];
    uint8_t bytes[DISK], left[DISK];
};

static uint64_t number_of(const uint8_t *bytes, unsigned sector)
{
    uint64_t number;
    memcpy(&number, bytes + 512 * sector, sizeof(number));
    return number;
}

static void flush(struct run *run)
{
    cr_assert_eq(run->image->ops->flush(run->image), 0);
    cr_assert_eq(read_at(run->image, run->bytes, DISK, 0), 0);
    for (unsigned i = 0; i < SECTORS; i++) {
        run->flushed[i] = number_of(run->bytes, i);
        run->recent_count[i] = 0;
    }
}

/* Remembers that sectors may now hold a number. */
static void expect(struct run *run, unsigned first, unsigned count, uint64_t number)
{
    for (unsigned i = first; i < first + count; i++)
        if (run->recent_count[i] == RECENT) {
            flush(run);
            break;
        }
    for (unsigned i = first; i < first + count; i++)
        run->recent[i][run->recent_count[i]++] = number;
}

static void step(struct run *run)
{
    unsigned first = next_random(&run->state) % SECTORS, what = next_random(&run->state) % 20;
    unsigned count = 1 + next_random(&run->state) % (next_random(&run->state) % 4 ? 30 : 400);
    count = count < SECTORS - first ? count : SECTORS - first;
    uint64_t number = what < 12 ? ++run->number : 0;
    if (what < 18)
        expect(run, first, count, number);
    if (what < 12) {
        for (unsigned i = 0; i < count; i++)
            memcpy(run->bytes + 512 * i, &number, sizeof(number));
        cr_assert_eq(write_at(run->image, run->bytes, 512 * count, 512 * first), 0);
    } else if (what < 15) {
        cr_assert_eq(run->image->ops->discard(run->image, 512 * first, 512 * count), 0);
    } else if (what < 18) {
        cr_assert_eq(run->image->ops->write_zeroes(run->image, 512 * first, 512 * count, true), 0);
    } else {
        flush(run);
    }
}

static bool may_hold(const struct run *run, unsigned sector, uint64_t number)
{
    bool may = number == run->flushed[sector];
    for (unsigned i = 0; i < run->recent_count[sector]; i++)
        may |= number == run->recent[sector][i];
    return may;
}

/* ---- The failure ---- */

/* What is left on the disk: all, none, or some sectors of each change. */
static void fail_into(struct run *run, struct store *left)
{
    for (unsigned i = 0; i < watched.count; i++) {
        const struct change *change = &watched.changes[i];
        unsigned fate = next_random(&run->state) % 4;
        if (change->truncates || fate == 0) {
            if (fate)
                apply(left, change, 0, change->size);
            continue;
        }
        for (uint64_t from = 0, part; from < change->size; from += part) {
            part = 512 - (change->offset + from) % 512;
            part = part < change->size - from ? part : change->size - from;
            if (fate == 1 || next_random(&run->state) % 2)
                apply(left, change, from, part);
        }
    }
}

static void store_copy(struct store *store, const struct store *from)
{
    *store = (struct store){.bytes = calloc(1, FILE_MAX), .size = from->size};
    memcpy(store->bytes, from->bytes, from->size);
}

static void crash(struct run *run)
{
    struct store left;
    store_copy(&left, &watched.synced);
    fail_into(run, &left);
    int fd = open("left", O_RDWR | O_CREAT | O_TRUNC, 0666);
    cr_assert_eq(pwrite(fd, left.bytes, left.size, 0), (ssize_t)left.size);
    close(fd);
    free(left.bytes);

    check_image("left", true);
    watched.on = false;
    struct image *image = must_open("left,format=qcow2,readonly");
    cr_assert_eq(read_at(image, run->left, DISK, 0), 0);
    image_close(image);
    watched.on = true;
    for (unsigned i = 0; i < SECTORS; i++) {
        uint64_t number = number_of(run->left, i);
        cr_assert(may_hold(run, i, number), "%s: sector %u holds %#llx, flushed was %#llx",
                  run->name, i, (unsigned long long)number, (unsigned long long)run->flushed[i]);
    }
}

/* In the midst of an operation: when the image is about to sync the file. */
static void may_crash(struct run *run)
{
    if (next_random(&run->state) % 10 == 0)
        crash(run);
}

static void watch_from_now(struct run *run)
{
    FILE *file = fopen("disk", "rb");
    watched.synced.bytes = calloc(1, FILE_MAX);
    watched.synced.size = fread(watched.synced.bytes, 1, FILE_MAX, file);
    fclose(file);
    watched.run = run;
    watched.on = true;
}

ParameterizedTestParameters(image_power, kinds)
{
    return cr_make_param_array(struct kind, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

/* From a new image, where there is most to copy, to a used one. */
static void run_round(const struct kind *kind, uint64_t seed)
{
    struct run *run = calloc(1, sizeof(*run));
    run->name = kind->name;
    run->state = seed;
    must("rm -f disk && %s", kind->create);
    run->image = must_open("disk");
    flush(run);
    watch_from_now(run);
    for (unsigned i = 0; i < STEPS; i++) {
        step(run);
        if (next_random(&run->state) % 30 == 0)
            crash(run);
    }
    image_close(run->image);
    watched.on = false;
    free(watched.synced.bytes);
    check_image("disk", false);
    free(run);
}

ParameterizedTest(const struct kind *kind, image_power, kinds)
{
    const char *given = getenv("DOPPEL_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 1;
    fprintf(stderr, "%s: seed %llu\n", kind->name, (unsigned long long)seed);
    images_enter();
    for (unsigned i = 0; i < ROUNDS; i++)
        run_round(kind, seed + i);
    free(watched.changes);
    images_leave();
}
