/* What the kernel does for programs. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static uint64_t getpid_round(void *state)
{
    uint64_t changes = 0;
    long pid = syscall(SYS_getpid);
    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        changes += syscall(SYS_getpid) != pid;
    return changes;
}

static uint64_t clock_round(void *state)
{
    struct timespec last = {0}, now;
    uint64_t backwards = 0;
    (void)state;
    for (unsigned i = 0; i < 10000; i++, last = now) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        backwards +=
            now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec);
    }
    return backwards;
}

static uint64_t fork_round(void *state)
{
    uint64_t sum = 0;
    (void)state;
    for (int i = 0; i < 6; i++) {
        int status;
        pid_t child = fork();
        if (child < 0)
            bench_fail("fork");
        if (child == 0)
            _exit(i);
        if (waitpid(child, &status, 0) != child)
            bench_fail("waitpid");
        sum += (uint64_t)WEXITSTATUS(status);
    }
    return sum;
}

static void *exec_prepare(const struct bench_env *env)
{
    return (void *)env;
}

static uint64_t exec_round(void *state)
{
    const struct bench_env *env = state;
    const char *const argv[] = {env->program, "true", NULL};
    for (unsigned i = 0; i < 3; i++)
        bench_spawn(argv, NULL);
    return 3;
}

static uint8_t *map(size_t pages)
{
    uint8_t *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        bench_fail("mmap");
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    return memory;
}

static uint64_t page_faults_round(void *state)
{
    enum { PAGES = 1000 };
    uint8_t *memory = map(PAGES);
    uint64_t sum = 0;
    (void)state;
    for (size_t i = 0; i < PAGES; i++) {
        memory[i * PAGE] = (uint8_t)i;
        sum += memory[i * PAGE];
    }
    munmap(memory, PAGES * PAGE);
    return sum;
}

static uint64_t mmap_round(void *state)
{
    uint64_t sum = 0;
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint8_t *memory = map(4);
        sum += ++memory[i % 4 * PAGE];
        munmap(memory, 4 * PAGE);
    }
    return sum;
}

/* --- two processes and two pipes --- */

static uint64_t pipe_round(void *state)
{
    int there[2], back[2];
    uint64_t sum = 0;
    unsigned char byte;
    (void)state;
    if (pipe(there) || pipe(back))
        bench_fail("pipe");
    pid_t child = fork();
    if (child < 0)
        bench_fail("fork");
    if (child == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            byte++;
            if (write(back[1], &byte, 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < 200; i++) {
        byte = (unsigned char)i;
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            bench_fail("pipe");
        sum += byte;
    }
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
    waitpid(child, NULL, 0);
    return sum;
}

/* --- signals --- */

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals = signals + 1;
}

static uint64_t signal_round(void *state)
{
    struct sigaction action = {.sa_handler = count_signal};
    (void)state;
    signals = 0;
    sigaction(SIGUSR1, &action, NULL);
    for (unsigned i = 0; i < 500; i++)
        raise(SIGUSR1);
    return (uint64_t)signals;
}

/* --- files in memory --- */

#define FILE_BYTES (256 << 10)

struct file {
    char path[128];
    uint8_t data[FILE_BYTES];
};

static void *file_prepare(const struct bench_env *env)
{
    struct file *file = bench_alloc(sizeof(*file));
    snprintf(file->path, sizeof(file->path), "%s/file", env->folder);
    for (size_t i = 0; i < FILE_BYTES; i++)
        file->data[i] = (uint8_t)(i * 7);
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, file->data, FILE_BYTES) != FILE_BYTES)
        bench_fail(file->path);
    close(fd);
    return file;
}

static uint64_t file_read_round(void *state)
{
    struct file *file = state;
    uint64_t sum = 0;
    int fd = open(file->path, O_RDONLY);
    ssize_t got;
    if (fd < 0)
        bench_fail(file->path);
    for (unsigned i = 0; i < 8; i++) {
        lseek(fd, 0, SEEK_SET);
        while ((got = read(fd, file->data, PAGE)) > 0)
            sum += (uint64_t)got + file->data[got - 1];
    }
    close(fd);
    return sum;
}

static uint64_t file_write_round(void *state)
{
    struct file *file = state;
    uint64_t sum = 0;
    int fd = open(file->path, O_WRONLY | O_TRUNC);
    if (fd < 0)
        bench_fail(file->path);
    for (size_t at = 0; at < FILE_BYTES; at += PAGE)
        sum += (uint64_t)write(fd, file->data + at, PAGE);
    close(fd);
    return sum;
}

static uint64_t open_round(void *state)
{
    struct file *file = state;
    struct stat status;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 300; i++) {
        int fd = open(file->path, O_RDONLY);
        if (fd < 0 || fstat(fd, &status))
            bench_fail(file->path);
        sum += (uint64_t)status.st_size;
        close(fd);
        sum += access("/nowhere/to/be/found", R_OK) && errno == ENOENT;
    }
    return sum;
}

static const struct bench benches[] = {
    {"getpid", NULL, NULL, getpid_round},
    {"clock_gettime", NULL, NULL, clock_round},
    {"fork_wait", NULL, NULL, fork_round},
    {"fork_exec", NULL, exec_prepare, exec_round},
    {"page_faults", NULL, NULL, page_faults_round},
    {"mmap_munmap", NULL, NULL, mmap_round},
    {"pipe_ping_pong", NULL, NULL, pipe_round},
    {"signals", NULL, NULL, signal_round},
    {"file_read", NULL, file_prepare, file_read_round},
    {"file_write", NULL, file_prepare, file_write_round},
    {"open_close", NULL, file_prepare, open_round},
};
const struct bench_group bench_system = {"system", benches, COUNT_OF(benches)};
