/* A process that writes to an image is killed a hundred times, at any moment. After each the image
 * opens, qemu-img finds no damage but leaks, and holds all that was acknowledged. */
#include "backends/block/block.h"
#include "bus/bus.h"
#include "images.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 100, SLOTS = 24, SLOT_BYTES = 200 * 1024, DISK_BYTES = SLOTS * SLOT_BYTES };

struct kind {
    char name[32];
    char create[200];
    bool completed_is_kept; /* and not only what a flush came after */
};

static struct kind kinds[] = {
    {"plain", "qemu-img create -f qcow2 disk 8M", true},
    {"small_clusters", "qemu-img create -f qcow2 -o cluster_size=512,refcount_bits=1 disk 8M",
     true},
    {"version_2", "qemu-img create -f qcow2 -o compat=0.10,cluster_size=4k disk 8M", true},
    {"backing",
     "head -c 5000192 /dev/zero | tr '\\0' '\\1' >base && "
     "qemu-img create -f qcow2 -b base -F raw disk 8M",
     false},
};

/* Each slot of the disk is written again and again; every sector of it holds the number of the
 * write. The parent sees how far each has come. */
struct progress {
    uint64_t started, completed, flushed;
    uint64_t offset, size; /* that each write covers at least */
};

struct writer {
    struct block_image *disk;
    struct progress *progress;
    struct block_request write, flush;
    struct iovec iov;
    uint8_t bytes[SLOT_BYTES];
    uint64_t state, flushing;
    bool discards; /* gives its clusters back each time, for others to get */
};

static void write_next(struct writer *writer)
{
    struct progress *progress = writer->progress;
    uint64_t number = progress->started + 1;
    __atomic_store_n(&progress->started, number, __ATOMIC_SEQ_CST);
    for (uint64_t at = 0; at < progress->size; at += 512)
        memcpy(writer->bytes + at, &number, sizeof(number));
    writer->write.operation = writer->discards && number & 1 ? BLOCK_DISCARD : BLOCK_WRITE;
    block_submit(writer->disk, &writer->write);
}

static void on_flushed(struct block_request *request, int error)
{
    struct writer *writer = request->opaque;
    if (error)
        abort();
    __atomic_store_n(&writer->progress->flushed, writer->flushing, __ATOMIC_SEQ_CST);
    write_next(writer);
}

static void on_written(struct block_request *request, int error)
{
    struct writer *writer = request->opaque;
    if (error)
        abort();
    writer->flushing = writer->progress->started;
    __atomic_store_n(&writer->progress->completed, writer->flushing, __ATOMIC_SEQ_CST);
    if (next_random(&writer->state) % 4)
        write_next(writer);
    else
        block_submit(writer->disk, &writer->flush);
}

static void write_for_ever(struct progress *progress, uint64_t seed)
{
    struct disk_options options;
    struct error error;
    struct block_config config = {.bus = bus_create()};
    if (!disk_options_parse(&options, "--disk", "disk,format=qcow2", &error))
        abort();
    struct block_image *disk = block_open(&options, &config, &error);
    if (!disk) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    static struct writer writers[SLOTS];
    bus_lock(config.bus);
    for (unsigned i = 0; i < SLOTS; i++) {
        struct writer *writer = &writers[i];
        *writer = (struct writer){.disk = disk, .progress = &progress[i], .state = seed + i};
        writer->discards = i % 3 == 2;
        progress[i].started |= writer->discards; /* begin with a write */
        writer->iov = (struct iovec){writer->bytes, progress[i].size};
        writer->write = (struct block_request){.offset = progress[i].offset,
                                               .size = progress[i].size,
                                               .iov = &writer->iov,
                                               .iov_count = 1,
                                               .done = on_written,
                                               .opaque = writer};
        writer->flush =
            (struct block_request){.operation = BLOCK_FLUSH, .done = on_flushed, .opaque = writer};
        write_next(writer);
    }
    bus_unlock(config.bus);
    for (;;)
        pause();
}

static void check_slot(struct image *image, const struct progress *slot, const struct kind *kind,
                       bool discards)
{
    static uint8_t bytes[SLOT_BYTES];
    uint64_t kept = kind->completed_is_kept ? slot->completed : slot->flushed;
    if (discards) /* the odd ones, which may have left what was written before */
        kept &= ~UINT64_C(1);
    cr_assert_eq(read_at(image, bytes, slot->size, slot->offset), 0);
    for (uint64_t at = 0; at < slot->size; at += 512) {
        uint64_t number;
        memcpy(&number, bytes + at, sizeof(number));
        bool good = number >= kept && number <= slot->started;
        if (!kept && number == 0x0101010101010101) /* the backing file's */
            good = true;
        if (discards) /* a discard may have left zeros */
            good |= !number;
        cr_assert(good, "sector at %#llx holds write %#llx, not one of %llu to %llu",
                  (unsigned long long)(slot->offset + at), (unsigned long long)number,
                  (unsigned long long)kept, (unsigned long long)slot->started);
    }
}

static void kill_once(const struct kind *kind, struct progress *progress, uint64_t *state)
{
    pid_t child = fork();
    if (!child)
        write_for_ever(progress, next_random(state));
    next_random(state);
    usleep(1000 + next_random(state) % 30000);
    kill(child, SIGKILL);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it had ended by itself");

    check_image("disk", true);
    struct image *image = must_open("disk,format=qcow2,readonly");
    for (unsigned i = 0; i < SLOTS; i++)
        check_slot(image, &progress[i], kind, i % 3 == 2);
    image_close(image);
}

ParameterizedTestParameters(image_kill, kinds)
{
    return cr_make_param_array(struct kind, kinds, sizeof(kinds) / sizeof(kinds[0]));
}

ParameterizedTest(const struct kind *kind, image_kill, kinds)
{
    const char *seed = getenv("DOPPEL_TEST_SEED");
    uint64_t state = seed ? strtoull(seed, NULL, 0) : 1;
    fprintf(stderr, "%s: seed %llu\n", kind->name, (unsigned long long)state);
    images_enter();
    must("%s", kind->create);
    struct progress *progress = mmap(NULL, SLOTS * sizeof(*progress), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t start = 512 * (next_random(&state) % 64);
        progress[i].offset = i * SLOT_BYTES + start;
        progress[i].size = 512 * (1 + next_random(&state) % (i & 1 ? 16 : 330));
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        kill_once(kind, progress, &state);
    uint64_t writes = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        writes += progress[i].completed;
    fprintf(stderr, "%s: %llu writes\n", kind->name, (unsigned long long)writes);
    images_leave();
}
