/* Runs a fuzz target without libFuzzer: on random strings, or on the files named. */
#include "fuzz.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef FUZZ_LIBFUZZER

void fuzz_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

#else

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* An input that takes longer hangs. */
#define HANG_SECONDS 120

struct options {
    uint64_t seed;
    uint64_t count;
    size_t max_size;
    bool keep_going;
};

/* fuzz_fail() is called from inside the target, which carries no context of ours. */
static struct {
    const uint8_t *data;
    size_t size;
    bool keep_going;
    uint64_t failures;
} current;

void fuzz_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (input");
    for (size_t i = 0; i < current.size && i < 64; i++)
        fprintf(stderr, " %02x", current.data[i]);
    fprintf(stderr, "%s)\n", current.size > 64 ? " .." : "");
    current.failures++;
    if (!current.keep_going)
        exit(1);
}

/* The sanitizers end with abort(), so that on_crash() sees their findings too. */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "abort_on_error=1";
}

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

/* Keeps the input, to be run again by its file's name. */
static void on_crash(int signal)
{
    static const char text[] = "the input is in ./crash-input\n";
    int fd = open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd >= 0 && write(fd, current.data, current.size) == (ssize_t)current.size)
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    raise(signal); /* SA_RESETHAND: now for good */
}

static void watch_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGALRM};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_ONSTACK};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction before;
        sigaction(signals[i], NULL, &before);
        if (before.sa_handler == SIG_DFL) /* not the sanitizers' */
            sigaction(signals[i], &action, NULL);
    }
}

static void run(const uint8_t *data, size_t size)
{
    current.data = data;
    current.size = size;
    alarm(HANG_SECONDS);
    LLVMFuzzerTestOneInput(data, size);
}

/* splitmix64: every seed, small ones too, starts an unrelated sequence. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void run_random(const struct options *options)
{
    uint8_t *buffer = malloc(options->max_size + sizeof(uint64_t));
    uint64_t state = options->seed;

    if (!buffer) {
        fprintf(stderr, "no memory for inputs of %zu bytes: lower --max-size\n", options->max_size);
        exit(1);
    }
    for (uint64_t i = 0; i < options->count; i++) {
        size_t size = next_random(&state) % (options->max_size + 1);
        for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
            uint64_t random = next_random(&state);
            memcpy(buffer + at, &random, sizeof(random));
        }
        run(buffer, size);
    }
    free(buffer);
}

static bool run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0)
        data = malloc((size_t)size + 1);
    bool read =
        data && fseek(file, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)size, file) == (size_t)size;
    if (read)
        run(data, (size_t)size);
    else
        perror(path);
    free(data);
    if (file)
        fclose(file);
    return read;
}

static void parse(int argc, char **argv, struct options *options)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'c'},
        {"max-size", required_argument, NULL, 'm'},
        {"keep-going", no_argument, NULL, 'k'},
        {NULL, 0, NULL, 0},
    };
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 's') {
            options->seed = strtoull(optarg, NULL, 0);
        } else if (option == 'c') {
            options->count = strtoull(optarg, NULL, 0);
        } else if (option == 'm') {
            options->max_size = strtoull(optarg, NULL, 0);
        } else if (option == 'k') {
            options->keep_going = true;
        } else {
            fprintf(stderr,
                    "usage: %s [--seed N] [--count N] [--max-size BYTES] [--keep-going] [FILE..]\n",
                    argv[0]);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options = {.seed = (uint64_t)time(NULL), .count = 100000, .max_size = 24};
    bool read = true;

    parse(argc, argv, &options);
    current.keep_going = options.keep_going;
    watch_crashes();
    if (optind < argc) {
        for (int i = optind; i < argc; i++)
            read &= run_file(argv[i]);
    } else {
        fprintf(stderr, "%llu random inputs of up to %zu bytes, --seed %llu\n",
                (unsigned long long)options.count, options.max_size,
                (unsigned long long)options.seed);
        run_random(&options);
    }
    if (current.failures)
        fprintf(stderr, "%llu failures\n", (unsigned long long)current.failures);
    return read && !current.failures ? 0 : 1;
}

#endif
