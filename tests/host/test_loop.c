#include "host/loop.h"
#include "host/thread.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct seen {
    struct loop *loop;
    unsigned calls;
    short events;
    int unwatch; /* this descriptor, when called; -1: none */
};

static void note(void *opaque, int fd, short events)
{
    struct seen *seen = opaque;
    (void)fd;
    seen->calls++;
    seen->events = events;
    if (seen->unwatch >= 0)
        loop_unwatch(seen->loop, seen->unwatch);
}

Test(loop, calls_for_what_is_ready)
{
    struct loop *loop = loop_create();
    int ends[2];
    cr_assert(!pipe(ends));
    struct seen seen = {.loop = loop, .unwatch = -1};
    cr_assert(loop_watch(loop, ends[0], POLLIN, note, &seen));
    loop_run_once(loop, 0);
    cr_assert_eq(seen.calls, 0);

    cr_assert_eq(write(ends[1], "x", 1), 1);
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(seen.calls, 1);
    cr_assert_eq(seen.events, POLLIN);

    cr_assert(loop_watch(loop, ends[0], 0, note, &seen));
    loop_run_once(loop, 0);
    cr_assert_eq(seen.calls, 1, "events 0 waits for hang-up only");
    close(ends[1]);
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(seen.calls, 2);
    cr_assert(seen.events & POLLHUP);

    loop_unwatch(loop, ends[0]);
    loop_run_once(loop, 0);
    cr_assert_eq(seen.calls, 2);
    loop_destroy(loop);
}

Test(loop, a_regular_file_is_always_ready)
{
    struct loop *loop = loop_create();
    int fd = open("/proc/self/exe", O_RDONLY);
    struct seen seen = {.loop = loop, .unwatch = -1};
    cr_assert(loop_watch(loop, fd, POLLIN, note, &seen));
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(seen.calls, 1);
    loop_destroy(loop);
}

Test(loop, a_function_may_unwatch_what_is_due)
{
    struct loop *loop = loop_create();
    int a[2], b[2];
    cr_assert(!pipe(a) && !pipe(b));
    struct seen first = {.loop = loop, .unwatch = b[0]}, second = {.loop = loop, .unwatch = a[0]};
    cr_assert(loop_watch(loop, a[0], POLLIN, note, &first));
    cr_assert(loop_watch(loop, b[0], POLLIN, note, &second));
    cr_assert_eq(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
    loop_run_once(loop, UINT64_MAX);
    loop_run_once(loop, 0);
    cr_assert_eq(first.calls, 2);
    cr_assert_eq(second.calls, 0);
    loop_destroy(loop);
}

Test(loop, watches_many)
{
    struct loop *loop = loop_create();
    int ends[100][2];
    struct seen seen = {.loop = loop, .unwatch = -1};
    for (int i = 0; i < 100; i++) {
        cr_assert(!pipe(ends[i]));
        cr_assert(loop_watch(loop, ends[i][0], POLLIN, note, &seen));
        cr_assert_eq(write(ends[i][1], "x", 1), 1);
    }
    for (int i = 0; i < 100; i += 2)
        loop_unwatch(loop, ends[i][0]);
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(seen.calls, 50);
    loop_destroy(loop);
}

struct sourced {
    struct loop *loop;
    struct loop_source source;
    int fd, number;
    uint64_t timeout_ns;
    unsigned dispatches;
    short came;
};

static uint64_t prepare(void *opaque)
{
    struct sourced *sourced = opaque;
    sourced->number = loop_poll(sourced->loop, sourced->fd, POLLIN);
    return sourced->timeout_ns;
}

static void dispatch(void *opaque)
{
    struct sourced *sourced = opaque;
    sourced->dispatches++;
    sourced->came = loop_polled(sourced->loop, sourced->number);
}

Test(loop, asks_sources_before_each_wait)
{
    struct loop *loop = loop_create();
    int ends[2], others[2];
    cr_assert(!pipe(ends) && !pipe(others));
    struct sourced a = {.loop = loop, .fd = ends[0], .timeout_ns = UINT64_MAX};
    struct sourced b = {.loop = loop, .fd = others[0], .timeout_ns = 1000};
    struct seen seen = {.loop = loop, .unwatch = -1};
    a.source = (struct loop_source){prepare, dispatch, &a, NULL};
    b.source = (struct loop_source){prepare, dispatch, &b, NULL};
    cr_assert(loop_watch(loop, ends[0], POLLIN, note, &seen));
    loop_add_source(loop, &a.source);
    loop_add_source(loop, &b.source);
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(a.dispatches, 1, "the other one's wait was bounded");
    cr_assert_eq(a.came, 0);

    cr_assert_eq(write(ends[1], "x", 1), 1);
    b.timeout_ns = UINT64_MAX;
    loop_run_once(loop, UINT64_MAX);
    cr_assert_eq(a.came, POLLIN);
    cr_assert_eq(b.came, 0);
    cr_assert_eq(seen.calls, 1);

    loop_remove_source(loop, &a.source);
    loop_run_once(loop, 0);
    cr_assert_eq(a.dispatches, 2);
    cr_assert_eq(b.dispatches, 3);
    loop_destroy(loop);
}

static void wake(void *loop)
{
    loop_wake(loop);
}

Test(loop, another_thread_wakes_it)
{
    struct loop *loop = loop_create();
    struct thread thread;
    struct error error;
    cr_assert(thread_start(&thread, "waker", wake, loop, &error), "%s", error.text);
    loop_run_once(loop, UINT64_MAX);
    thread_join(&thread);
    loop_destroy(loop);
}

static struct loop *woken_by_signal;

static void on_alarm(int signal)
{
    (void)signal;
    loop_wake(woken_by_signal);
}

Test(loop, a_wake_before_the_wait_counts)
{
    struct loop *loop = woken_by_signal = loop_create();
    signal(SIGUSR1, on_alarm);
    raise(SIGUSR1);
    loop_run_once(loop, UINT64_MAX);
    loop_destroy(loop);
}

static void note_mask(void *opaque)
{
    pthread_sigmask(SIG_SETMASK, NULL, opaque);
}

Test(thread, leaves_signals_to_the_main_thread)
{
    struct thread thread;
    struct error error;
    sigset_t mask, before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert(thread_start(&thread, "a name that is too long", note_mask, &mask, &error));
    thread_join(&thread);
    cr_assert(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGALRM));
    cr_assert(!sigismember(&mask, SIGSEGV) && !sigismember(&mask, SIGFPE));
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    cr_assert_eq(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}
