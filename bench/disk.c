/* How fast a disk image can be read and written: requests of one size, so many at a time, through
 * the queue that devices use.
 *
 *   bench_disk FILE[,OPTIONS] [--write] [--random] [--size BYTES] [--depth N] [--seconds N]
 *
 * FILE and its options are those of --disk. Sequential reads of 1 MiB at depth 8 for 3 seconds are
 * the default. --write destroys what the image holds. */
#include "backends/block/block.h"
#include "bus/bus.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 256 };

struct run {
    struct block_image *disk;
    struct bus *bus;
    bool write, random, stopping;
    uint64_t size, places, next, state;
    uint64_t completed; /* bus lock, as all that changes */
    unsigned in_flight;
};

struct slot {
    struct run *run;
    struct block_request request;
    struct iovec iov;
};

static uint64_t next_place(struct run *run)
{
    if (!run->random)
        return run->next++ % run->places;
    run->state = run->state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (run->state >> 20) % run->places;
}

static void start(struct slot *slot)
{
    slot->request.offset = next_place(slot->run) * slot->run->size;
    block_submit(slot->run->disk, &slot->request);
}

static void on_done(struct block_request *request, int error)
{
    struct slot *slot = request->opaque;
    if (error) {
        fprintf(stderr, "a request failed: %s\n", strerror(-error));
        exit(1);
    }
    slot->run->completed++;
    if (slot->run->stopping)
        slot->run->in_flight--;
    else
        start(slot);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void measure(struct run *run, unsigned depth, unsigned seconds)
{
    struct slot *slots = calloc(depth, sizeof(*slots));
    double began = now();
    bus_lock(run->bus);
    for (unsigned i = 0; i < depth; i++) {
        slots[i].run = run;
        slots[i].iov = (struct iovec){aligned_alloc(4096, run->size), run->size};
        memset(slots[i].iov.iov_base, (int)i + 1, run->size);
        slots[i].request =
            (struct block_request){.operation = run->write ? BLOCK_WRITE : BLOCK_READ,
                                   .size = run->size,
                                   .iov = &slots[i].iov,
                                   .iov_count = 1,
                                   .done = on_done,
                                   .opaque = &slots[i]};
        run->in_flight++;
        start(&slots[i]);
    }
    bus_unlock(run->bus);
    sleep(seconds);
    bus_lock(run->bus);
    run->stopping = true;
    block_drain(run->disk);
    double took = now() - began;
    bus_unlock(run->bus);
    printf("%.0f requests/s, %.1f MB/s\n", (double)run->completed / took,
           (double)run->completed * (double)run->size / took / 1e6);
    for (unsigned i = 0; i < depth; i++)
        free(slots[i].iov.iov_base);
    free(slots);
}

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s FILE[,OPTIONS] [--write] [--random] [--size BYTES] [--depth N] "
            "[--seconds N]\n",
            name);
    return 1;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"write", no_argument, NULL, 'w'},         {"random", no_argument, NULL, 'r'},
        {"size", required_argument, NULL, 's'},    {"depth", required_argument, NULL, 'd'},
        {"seconds", required_argument, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    struct run run = {.size = 1 << 20, .state = 1};
    unsigned long depth = 8, seconds = 3;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (option == 'w')
            run.write = true;
        else if (option == 'r')
            run.random = true;
        else if (option == 's')
            run.size = strtoull(optarg, NULL, 0);
        else if (option == 'd')
            depth = strtoul(optarg, NULL, 0);
        else if (option == 't')
            seconds = strtoul(optarg, NULL, 0);
        else
            return usage(argv[0]);
    }
    if (optind != argc - 1 || !depth || depth > DEPTH_MAX || !run.size || run.size % 4096)
        return usage(argv[0]);

    struct disk_options options;
    struct error error;
    run.bus = bus_create();
    struct block_config config = {.bus = run.bus};
    if (!disk_options_parse(&options, "disk", argv[optind], &error) ||
        !(run.disk = block_open(&options, &config, &error))) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    run.places = block_size(run.disk) / run.size;
    if (!run.places) {
        fprintf(stderr, "the disk is smaller than a request\n");
        return 1;
    }
    measure(&run, (unsigned)depth, (unsigned)seconds);
    block_close(run.disk);
    bus_destroy(run.bus);
    disk_options_free(&options);
    return 0;
}
