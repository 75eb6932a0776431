/* Random operations on images against a model in memory: images that we make and images of
 * qemu-img of every kind. At the end qemu-img must find no damage and read what the model holds. */
#include "images.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATIONS = 400, PIECE_MAX = 300 * 1024 };

struct kind {
    char name[32];
    char create[400]; /* shell commands; "" where the options make it */
    char options[64]; /* of the disk */
    uint64_t size;
    uint64_t holds; /* the first bytes of the disk are those of the file "data" */
};

#define DATA "head -c 3000320 /dev/urandom >data && "

static struct kind kinds[] = {
    {"raw", "", "disk,format=raw,size=9M", 9 * MIB, 0},
    {"odd_raw", "head -c 3000000 /dev/urandom >data && cp data disk", "disk,format=raw", 3000320,
     3000000},
    {"qcow2", "", "disk,format=qcow2,size=40M", 40 * MIB, 0},
    {"version_2", "qemu-img create -f qcow2 -o compat=0.10 disk 20M", "disk", 20 * MIB, 0},
    {"clusters_512", "qemu-img create -f qcow2 -o cluster_size=512 disk 9M", "disk", 9 * MIB, 0},
    {"clusters_2M", "qemu-img create -f qcow2 -o cluster_size=2M disk 64M", "disk", 64 * MIB, 0},
    {"refcounts_1", "qemu-img create -f qcow2 -o refcount_bits=1,cluster_size=4k disk 20M", "disk",
     20 * MIB, 0},
    {"refcounts_4", "qemu-img create -f qcow2 -o refcount_bits=4,cluster_size=512 disk 9M", "disk",
     9 * MIB, 0},
    {"refcounts_64", "qemu-img create -f qcow2 -o refcount_bits=64,cluster_size=512 disk 9M",
     "disk", 9 * MIB, 0},
    {"preallocated", "qemu-img create -f qcow2 -o preallocation=metadata disk 9M", "disk", 9 * MIB,
     0},
    {"lazy_refcounts", "qemu-img create -f qcow2 -o lazy_refcounts=on disk 9M", "disk", 9 * MIB, 0},
    {"raw_backing", DATA "qemu-img create -f qcow2 -b data -F raw disk 9M", "disk", 9 * MIB,
     3000320},
    {"version_2_backing", DATA "qemu-img create -f qcow2 -o compat=0.10 -b data -F raw disk 9M",
     "disk", 9 * MIB, 3000320},
    {"small_over_large",
     DATA "qemu-img create -f qcow2 -o cluster_size=4k -b data -F raw disk 1000448", "disk",
     1000448, 1000448},
    {"deflate", DATA "qemu-img convert -c -f raw -O qcow2 data disk", "disk", 3000320, 3000320},
    {"deflate_text",
     "seq 500000 | head -c 3000320 >data && qemu-img convert -c -f raw -O qcow2 data disk", "disk",
     3000320, 3000320},
    {"zstd_chain",
     "seq 500000 | head -c 3000320 >data && "
     "qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd data low && "
     "qemu-img create -f qcow2 -o cluster_size=16k -b low -F qcow2 middle 5M && "
     "qemu-img create -f qcow2 -b middle -F qcow2 disk 9M",
     "disk", 9 * MIB, 3000320},
    {"snapshots",
     DATA "qemu-img convert -f raw -O qcow2 data disk && qemu-img snapshot -c first disk", "disk",
     3000320, 3000320},
    {"compressed_snapshot",
     DATA "qemu-img convert -c -f raw -O qcow2 data disk && qemu-img snapshot -c first disk",
     "disk", 3000320, 3000320},
};

struct run {
    const struct kind *kind;
    struct image *image;
    uint8_t *model, *buffer;
    uint64_t state;
};

static void pick_range(struct run *run, uint64_t *offset, uint64_t *size)
{
    uint64_t sectors = run->kind->size / 512, most = PIECE_MAX / 512;
    uint64_t small = next_random(&run->state) % 3;
    *offset = next_random(&run->state) % sectors;
    if (next_random(&run->state) % 4 == 0) /* whole clusters */
        *offset &= ~UINT64_C(127);
    *size = 1 + next_random(&run->state) % (small ? 24 : most);
    if (*size > sectors - *offset)
        *size = sectors - *offset;
    *offset *= 512;
    *size *= 512;
}

/* Up to four pieces of the buffer, in another order than they lie. */
static unsigned scatter(struct run *run, struct iovec iov[4], uint64_t size)
{
    uint64_t first = next_random(&run->state) % (size + 1);
    iov[0] = (struct iovec){run->buffer + PIECE_MAX, first};
    iov[1] = (struct iovec){run->buffer, size - first};
    return 2;
}

static void gather(const struct iovec iov[4], unsigned count, uint8_t *bytes)
{
    iov_to_bytes(iov, count, bytes);
}

static void compare(struct run *run, uint64_t offset, uint64_t size)
{
    struct iovec iov[4];
    unsigned count = scatter(run, iov, size);
    uint8_t *bytes = malloc(size);
    cr_assert_eq(run->image->ops->read(run->image, iov, count, offset, size), 0);
    gather(iov, count, bytes);
    for (uint64_t i = 0; i < size; i++)
        cr_assert_eq(bytes[i], run->model[offset + i], "byte %#llx is %#x, not %#x",
                     (unsigned long long)(offset + i), bytes[i], run->model[offset + i]);
    free(bytes);
}

static void do_write(struct run *run, uint64_t offset, uint64_t size)
{
    struct iovec iov[4];
    unsigned count = scatter(run, iov, size);
    fill_random(&run->state, run->model + offset, size);
    iov_from_bytes(iov, count, run->model + offset);
    cr_assert_eq(run->image->ops->write(run->image, iov, count, offset, size), 0);
}

/* Each sector is zeros afterwards, or what it was. */
static void do_discard(struct run *run, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[512];
    cr_assert_eq(run->image->ops->discard(run->image, offset, size), 0);
    cr_assert_eq(read_at(run->image, run->buffer, size, offset), 0);
    for (uint64_t at = 0; at < size; at += 512)
        if (!memcmp(run->buffer + at, zeros, 512))
            memset(run->model + offset + at, 0, 512);
    compare(run, offset, size);
}

static void reopen(struct run *run)
{
    bool is_qcow2 = run->image->ops == &qcow2_ops;
    image_close(run->image);
    if (is_qcow2)
        check_image("disk", false);
    run->image = must_open(run->kind->options);
}

static void operate(struct run *run)
{
    uint64_t offset, size, what = next_random(&run->state) % 100;
    pick_range(run, &offset, &size);
    if (what < 45) {
        do_write(run, offset, size);
    } else if (what < 75) {
        compare(run, offset, size);
    } else if (what < 84) {
        do_discard(run, offset, size);
    } else if (what < 93) {
        bool may_unmap = next_random(&run->state) & 1;
        memset(run->model + offset, 0, size);
        cr_assert_eq(run->image->ops->write_zeroes(run->image, offset, size, may_unmap), 0);
        compare(run, offset, size);
    } else if (what < 98) {
        cr_assert_eq(run->image->ops->flush(run->image), 0);
    } else {
        reopen(run);
    }
}

static void load_model(struct run *run)
{
    FILE *data = run->kind->holds ? fopen("data", "rb") : NULL;
    if (!data)
        return;
    cr_assert_eq(fread(run->model, 1, run->kind->holds, data), run->kind->holds);
    fclose(data);
}

/* What qemu-img reads. */
static void compare_outside(struct run *run)
{
    FILE *file = fopen("model", "wb");
    cr_assert_eq(fwrite(run->model, 1, run->kind->size, file), run->kind->size);
    fclose(file);
    bool is_raw = !strncmp(run->kind->options, "disk,format=raw", 15);
    if (!is_raw)
        check_image("disk", false);
    must("qemu-img compare -f raw -F %s model disk", is_raw ? "raw" : "qcow2");
}

static void run_random(const struct kind *kind, uint64_t seed)
{
    images_enter();
    fprintf(stderr, "%s: seed %llu\n", kind->name, (unsigned long long)seed);
    if (*kind->create)
        must("%s", kind->create);
    struct run run = {.kind = kind, .model = calloc(1, kind->size), .state = seed};
    run.buffer = malloc(2 * PIECE_MAX);
    load_model(&run);
    run.image = must_open(kind->options);
    cr_assert_eq(run.image->size, kind->size);
    compare(&run, 0, kind->size < PIECE_MAX ? kind->size : PIECE_MAX);
    for (unsigned i = 0; i < OPERATIONS; i++)
        operate(&run);
    image_close(run.image);
    compare_outside(&run);
    free(run.model);
    free(run.buffer);
    images_leave();
}

ParameterizedTestParameters(image_random, kinds)
{
    return cr_make_param_array(struct kind, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

ParameterizedTest(const struct kind *kind, image_random, kinds)
{
    const char *seed = getenv("DOPPEL_TEST_SEED");
    run_random(kind, seed ? strtoull(seed, NULL, 0) : 1);
}

static bool snapshot_is_kept(void)
{
    return shell("qemu-img convert -l first -f qcow2 -O raw disk old && cmp old data") == 0;
}

/* Snapshots inside an image stay what they were while the disk is written. */
Test(image_random, inner_snapshots_are_kept)
{
    static uint8_t bytes[700 * KIB];
    images_enter();
    must(DATA "qemu-img convert -f raw -O qcow2 data disk && qemu-img snapshot -c first disk");
    struct image *image = must_open("disk");
    memset(bytes, 0x5a, sizeof(bytes));
    cr_assert_eq(write_at(image, bytes, sizeof(bytes), 100 * KIB), 0);
    cr_assert_eq(image->ops->discard(image, MIB, MIB), 0);
    image_close(image);
    check_image("disk", false);
    cr_assert(snapshot_is_kept());
    images_leave();
}
