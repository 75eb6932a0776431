/* The event loop: file descriptors, a wake-up and a deadline, on one thread. */
#ifndef DOPPEL_HOST_LOOP_H
#define DOPPEL_HOST_LOOP_H

#include "base/types.h"

struct loop;

/* events are poll(2)'s POLLIN and POLLOUT. */
typedef void loop_fd_fn(void *opaque, int fd, short events);

struct loop *loop_create(void); /* NULL where the host refuses descriptors or memory */
void loop_destroy(struct loop *loop);

/* Watches fd; again for the same fd changes events. events 0 keeps it but waits for hang-up only.
 * Loop's thread, or before it runs. */
bool loop_watch(struct loop *loop, int fd, short events, loop_fd_fn *fn, void *opaque);
void loop_unwatch(struct loop *loop, int fd);

/* Waits for descriptors, a wake-up or timeout_ns (UINT64_MAX: for ever) and calls what is due. */
void loop_run_once(struct loop *loop, uint64_t timeout_ns);

/* Makes loop_run_once() return soon; any thread, and signal handlers. */
void loop_wake(struct loop *loop);

#endif
