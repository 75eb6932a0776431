/* For tests: standard input and output are pipes, whose other ends the test holds. */
#ifndef DOPPEL_TESTS_DEVICES_PIPES_H
#define DOPPEL_TESTS_DEVICES_PIPES_H

#include "host/loop.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

struct pipes {
    int to_input, from_output;
};

static inline struct pipes pipes_open(void)
{
    int in[2], out[2];
    cr_assert(!pipe(in) && !pipe(out));
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[0]);
    close(out[1]);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    return (struct pipes){in[1], out[0]};
}

/* Pipes pass on at once, so a few turns do all there is to do. */
static inline void settle(struct loop *loop)
{
    for (int i = 0; i < 8; i++)
        loop_run_once(loop, 0);
}

/* What has come out, as a string; at most size - 1 bytes. */
static inline size_t pipes_read(const struct pipes *pipes, char *text, size_t size)
{
    size_t count = 0;
    ssize_t got;
    while (count < size - 1 && (got = read(pipes->from_output, text + count, size - 1 - count)) > 0)
        count += (size_t)got;
    text[count] = 0;
    return count;
}

#endif
