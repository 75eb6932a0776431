/* The event loop: file descriptors, a wake-up and a deadline, on one thread. */
#ifndef DOPPEL_HOST_LOOP_H
#define DOPPEL_HOST_LOOP_H

#include "base/types.h"

struct loop;

/* events are poll(2)'s: POLLIN and POLLOUT as watched, POLLHUP, POLLERR and POLLNVAL unasked. */
typedef void loop_fd_fn(void *opaque, int fd, short events);

struct loop *loop_create(void); /* NULL where the host refuses descriptors or memory */
void loop_destroy(struct loop *loop);

/* Watches fd (any kind, regular files too: they are always ready); again for the same fd changes
 * events. events 0 keeps it but waits for hang-up only. False: no memory. Loop's thread, or before
 * it runs; from within a loop_fd_fn too. */
bool loop_watch(struct loop *loop, int fd, short events, loop_fd_fn *fn, void *opaque);
void loop_unwatch(struct loop *loop, int fd);

/* Whose descriptors differ from wait to wait. On the loop's thread: before each wait prepare()
 * names them by loop_poll() and returns how many nanoseconds the wait may take (UINT64_MAX: for
 * ever); after it, whatever ended it, dispatch() asks loop_polled(). dispatch() leaves watches
 * alone. */
struct loop_source {
    uint64_t (*prepare)(void *opaque);
    void (*dispatch)(void *opaque);
    void *opaque;
    struct loop_source *next; /* the loop's */
};

/* The source, not owned, stays where it is until it is removed. Loop's thread, or before it runs;
 * not from within a source. */
void loop_add_source(struct loop *loop, struct loop_source *source);
void loop_remove_source(struct loop *loop, struct loop_source *source);
/* In prepare(): a number for loop_polled() in the dispatch() that follows; -1: no memory. */
int loop_poll(struct loop *loop, int fd, short events);
short loop_polled(const struct loop *loop, int number);

/* Waits for descriptors, a wake-up or timeout_ns (UINT64_MAX: for ever) and calls what is due.
 * A signal that is caught ends the wait too. */
void loop_run_once(struct loop *loop, uint64_t timeout_ns);

/* Makes loop_run_once() return soon; any thread, and signal handlers. A wake-up while the loop is
 * not waiting ends its next wait. */
void loop_wake(struct loop *loop);

#endif
