/* bench_guest [--time MS] [--once] [--busybox FILE] [NAME]...: runs the benches whose group, or
 * whose GROUP/BENCH, is named (all by default) and prints one line for each:
 *
 *     bench GROUP/BENCH rounds=COUNT ns=MEDIAN min=FASTEST checksum=HEX
 *     bench GROUP/BENCH skipped
 *     bench GROUP/BENCH failed
 *
 * between lines that tell the clock:
 *
 *     clock NANOSECONDS
 *
 * `--time` bounds the time that a bench goes on for; it is one unmeasured round and at least one
 * more.
 * `--once` runs one round only. `bench_guest true` does nothing, and `bench_guest boot` prints a
 * line and powers the machine off: as first process it shows when a guest has started. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 4096
#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS 1000000ull

struct options {
    uint64_t time; /* in nanoseconds */
    bool once;
    char **names;
    int name_count;
};

static const struct bench_group *const groups[] = {
    &bench_integer, &bench_memory,  &bench_float, &bench_strings,
    &bench_system,  &bench_selfmod, &bench_tools,
};

_Noreturn void bench_fail(const char *what)
{
    fprintf(stderr, "bench_guest: ");
    perror(what);
    _exit(1);
}

void *bench_alloc(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail("mmap");
    memset(memory, 0, size);
    return memory;
}

uint64_t bench_hash(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = bench_mix(hash, bytes[i]);
    return hash;
}

void bench_spawn(const char *const argv[], uint64_t *output)
{
    int ends[2];
    if (output && pipe(ends))
        bench_fail("pipe");
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        if (output) {
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            close(ends[1]);
        }
        execv(argv[0], (char *const *)argv);
        bench_fail(argv[0]);
    }
    if (output) {
        char data[4096];
        ssize_t got;
        close(ends[1]);
        while ((got = read(ends[0], data, sizeof(data))) > 0)
            *output = bench_hash(*output, data, (size_t)got);
        close(ends[0]);
    }
    int status;
    if (waitpid(child, &status, 0) != child || status != 0)
        bench_fail("a program that the bench runs");
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* In a process of its own; returns its exit status. */
static int measure(const struct bench *bench, const char *name, const struct options *options,
                   const struct bench_env *env)
{
    static uint64_t times[ROUNDS_MAX];
    size_t rounds = 0;
    void *state = bench->prepare ? bench->prepare(env) : NULL;
    uint64_t begin = now(), checksum = bench->round(state), end = now();
    if (options->once) {
        times[rounds++] = end - begin;
    } else {
        uint64_t stop = end + options->time;
        do {
            begin = now();
            uint64_t again = bench->round(state);
            end = now();
            times[rounds++] = end - begin;
            if (again != checksum) {
                fprintf(stderr, "bench_guest: %s: two rounds differ\n", name);
                return 1;
            }
        } while (end < stop && rounds < ROUNDS_MAX);
    }
    qsort(times, rounds, sizeof(times[0]), compare);
    printf("bench %s rounds=%zu ns=%llu min=%llu checksum=%016llx\n", name, rounds,
           (unsigned long long)times[rounds / 2], (unsigned long long)times[0],
           (unsigned long long)checksum);
    fflush(stdout);
    return 0;
}

static bool run_bench(const struct bench *bench, const char *name, const struct options *options,
                      const struct bench_env *env)
{
    if (bench->available && !bench->available()) {
        printf("bench %s skipped\n", name);
        fflush(stdout);
        return true;
    }
    int status;
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0)
        _exit(measure(bench, name, options, env));
    if (waitpid(child, &status, 0) == child && status == 0)
        return true;
    printf("bench %s failed\n", name);
    fflush(stdout);
    return false;
}

static bool wanted(const struct options *options, const char *group, const char *name)
{
    for (int i = 0; i < options->name_count; i++)
        if (!strcmp(options->names[i], group) || !strcmp(options->names[i], name))
            return true;
    return options->name_count == 0;
}

static void print_clock(void)
{
    printf("clock %llu\n", (unsigned long long)now());
    fflush(stdout);
}

/* A folder in memory; the guest's root is in memory. */
static const char *make_folder(char path[64])
{
    struct stat status;
    snprintf(path, 64, "%s/bench-XXXXXX", stat("/dev/shm", &status) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(path))
        bench_fail(path);
    return path;
}

static int power_off(void)
{
    print_clock();
    tcdrain(STDOUT_FILENO);
    reboot(RB_POWER_OFF);
    return 1;
}

int main(int argc, char **argv)
{
    char folder[64], name[64];
    struct options options = {.time = 100 * NS_PER_MS};
    struct bench_env env = {.program = "/proc/self/exe", .busybox = "/bin/busybox"};
    bool good = true;

    if (argc == 2 && !strcmp(argv[1], "true"))
        return 0;
    if (argc == 2 && !strcmp(argv[1], "boot"))
        return power_off();
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (!strcmp(argv[at], "--once"))
            options.once = true;
        else if (!strcmp(argv[at], "--time") && at + 1 < argc)
            options.time = strtoull(argv[++at], NULL, 10) * NS_PER_MS;
        else if (!strcmp(argv[at], "--busybox") && at + 1 < argc)
            env.busybox = argv[++at];
        else
            break;
    }
    if (at < argc && argv[at][0] == '-') {
        fprintf(stderr, "bench_guest: %s: no such option; see the head of bench/guest/main.c\n",
                argv[at]);
        return 1;
    }
    options.names = argv + at;
    options.name_count = argc - at;
    env.folder = make_folder(folder);

    print_clock();
    for (size_t i = 0; i < COUNT_OF(groups); i++)
        for (size_t j = 0; j < groups[i]->count; j++) {
            snprintf(name, sizeof(name), "%s/%s", groups[i]->name, groups[i]->benches[j].name);
            if (wanted(&options, groups[i]->name, name))
                good &= run_bench(&groups[i]->benches[j], name, &options, &env);
        }
    print_clock();

    const char *const remove[] = {env.busybox, "rm", "-r", folder, NULL};
    bench_spawn(remove, NULL);
    return good ? 0 : 1;
}
