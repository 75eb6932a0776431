/* The way of a control connection: a listening socket with one client at a time, the next waits
 * until the first has left; or standard input and output, as they are.
 *
 * The loop's thread, without the bus lock. A client that does not read never makes anybody wait:
 * nothing is read from it while output waits, and one that lets STREAM_QUEUE bytes pile up is
 * dropped. */
#ifndef DOPPEL_CONTROL_STREAM_H
#define DOPPEL_CONTROL_STREAM_H

#include "base/error.h"
#include "base/types.h"

#define STREAM_QUEUE (16u << 20)

struct loop;
struct stream;

struct stream_user {
    void (*opened)(void *opaque); /* a client has come */
    /* Returns how many of the bytes, 1 at least, it has taken: the others come again when what was
     * written has gone. */
    size_t (*receive)(void *opaque, const char *bytes, size_t count);
    void *opaque;
};

/* target is "unix:PATH", "tcp:PORT" or "tcp:HOST:PORT" with this host's loopback, or "stdio";
 * option begins error messages. wait: returns when the first client is there. NULL with *error set
 * on failure. */
struct stream *stream_create(const char *option, const char *target, bool wait,
                             const struct stream_user *user, struct loop *loop,
                             struct error *error);
/* Writes out what is queued, but waits at most a second for a reader that takes nothing. */
void stream_destroy(struct stream *stream);

/* Without a client nothing happens. */
void stream_write(struct stream *stream, const char *bytes, size_t count);

#endif
