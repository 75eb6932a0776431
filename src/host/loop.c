#include "host/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct watch {
    loop_fd_fn *fn;
    void *opaque;
};

/* poll(2) rather than epoll: there are a handful of descriptors, and standard input may be a
 * regular file, which epoll refuses. polls and watches go in step. An
 * entry that is unwatched during dispatch keeps its place with fd -1, which poll(2) skips, until
 * the loop next runs. */
struct loop {
    struct pollfd *polls;
    struct watch *watches;
    size_t count, capacity;
    size_t polled; /* entries of polls behind the watches': the sources', for one wait */
    bool has_holes;
    struct loop_source *sources;
    int wake_fd; /* other threads read only this */
};

static bool reserve(struct loop *loop)
{
    if (loop->count + loop->polled < loop->capacity)
        return true;
    size_t capacity = loop->capacity + 8;
    struct pollfd *polls = realloc(loop->polls, capacity * sizeof(*polls));
    if (!polls)
        return false;
    loop->polls = polls;
    struct watch *watches = realloc(loop->watches, capacity * sizeof(*watches));
    if (!watches)
        return false;
    loop->watches = watches;
    loop->capacity = capacity;
    return true;
}

static void drain_wake(void *opaque, int fd, short events)
{
    (void)opaque;
    (void)events;
    uint64_t wakes;
    ssize_t ignored = read(fd, &wakes, sizeof(wakes));
    (void)ignored;
}

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return NULL;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->wake_fd < 0 || !loop_watch(loop, loop->wake_fd, POLLIN, drain_wake, NULL)) {
        loop_destroy(loop);
        return NULL;
    }
    return loop;
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    free(loop->polls);
    free(loop->watches);
    free(loop);
}

static struct pollfd *find(struct loop *loop, int fd)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->polls[i].fd == fd)
            return &loop->polls[i];
    return NULL;
}

bool loop_watch(struct loop *loop, int fd, short events, loop_fd_fn *fn, void *opaque)
{
    struct pollfd *poll = find(loop, fd);
    if (!poll) {
        if (!reserve(loop))
            return false;
        poll = &loop->polls[loop->count++];
        *poll = (struct pollfd){.fd = fd};
    }
    poll->events = events;
    loop->watches[poll - loop->polls] = (struct watch){fn, opaque};
    return true;
}

void loop_unwatch(struct loop *loop, int fd)
{
    struct pollfd *poll = find(loop, fd);
    if (!poll)
        return;
    *poll = (struct pollfd){.fd = -1};
    loop->has_holes = true;
}

static void close_holes(struct loop *loop)
{
    size_t kept = 0;
    for (size_t i = 0; i < loop->count; i++) {
        if (loop->polls[i].fd < 0)
            continue;
        loop->polls[kept] = loop->polls[i];
        loop->watches[kept++] = loop->watches[i];
    }
    loop->count = kept;
    loop->has_holes = false;
}

/* --- Sources */

void loop_add_source(struct loop *loop, struct loop_source *source)
{
    source->next = loop->sources;
    loop->sources = source;
}

void loop_remove_source(struct loop *loop, struct loop_source *source)
{
    struct loop_source **at = &loop->sources;
    while (*at && *at != source)
        at = &(*at)->next;
    if (*at)
        *at = source->next;
}

int loop_poll(struct loop *loop, int fd, short events)
{
    if (!reserve(loop))
        return -1;
    loop->polls[loop->count + loop->polled] = (struct pollfd){.fd = fd, .events = events};
    return (int)loop->polled++;
}

short loop_polled(const struct loop *loop, int number)
{
    return number < 0 ? 0 : loop->polls[loop->count + (size_t)number].revents;
}

static uint64_t prepare_sources(struct loop *loop, uint64_t timeout_ns)
{
    for (struct loop_source *source = loop->sources; source; source = source->next) {
        uint64_t limit = source->prepare(source->opaque);
        if (limit < timeout_ns)
            timeout_ns = limit;
    }
    return timeout_ns;
}

/* Before functions of watches, which may add watches where the sources' entries are. */
static void dispatch_sources(struct loop *loop)
{
    for (struct loop_source *source = loop->sources; source; source = source->next)
        source->dispatch(source->opaque);
    loop->polled = 0;
}

/* --- Running */

void loop_run_once(struct loop *loop, uint64_t timeout_ns)
{
    if (loop->has_holes)
        close_holes(loop);
    timeout_ns = prepare_sources(loop, timeout_ns);

    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    int ready = ppoll(loop->polls, loop->count + loop->polled,
                      timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
    dispatch_sources(loop);

    /* Functions may watch and unwatch; what they add has no events yet. */
    size_t count = loop->count;
    for (size_t i = 0; i < count && ready > 0; i++) {
        short events = loop->polls[i].revents;
        if (loop->polls[i].fd < 0 || !events)
            continue;
        loop->polls[i].revents = 0;
        ready--;
        loop->watches[i].fn(loop->watches[i].opaque, loop->polls[i].fd, events);
    }
}

void loop_wake(struct loop *loop)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t ignored = write(loop->wake_fd, &one, sizeof(one));
    (void)ignored;
    errno = saved;
}
