/* Character streams: what a UART or a debug console talks to on the host.
 *
 * Output: a device calls chardev_write() with the bus lock held. It never waits: bytes go into a
 * queue of CHARDEV_QUEUE bytes that the loop's thread empties at the pace of the reader. What does
 * not fit is dropped (what is queued stays), so a device that can hold its bytes back asks
 * chardev_write_room() first and continues when `writable` comes. Without a reader (no client on
 * the socket, the pipe's other end closed) output is dropped at once and there is always room.
 *
 * Input: the stream calls the receiver on the loop's thread with the bus lock held, at most as many
 * bytes as can_receive allows; a device that has room again calls chardev_accept_input(). Until
 * then pipes, files and sockets are not read further. The end of input is not an event: there is
 * just no more of it. */
#ifndef DOPPEL_BACKENDS_CHARDEV_H
#define DOPPEL_BACKENDS_CHARDEV_H

#include "base/error.h"
#include "base/types.h"

#define CHARDEV_QUEUE 65536

struct chardev;
struct loop;
struct bus;

struct chardev_receiver {
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *bytes, size_t count);
    void (*receive_break)(void *opaque); /* a break condition on the line; may be NULL */
    void (*writable)(void *opaque);      /* there was no room to write, now there is; may be NULL */
    void *opaque;
};

/* Called on the loop's thread, without the bus lock, when the person at the terminal types
 * Ctrl-A x. */
typedef void chardev_quit_fn(void *opaque);

/* Who shares the terminal with the guest. `switched` and `typed` come on the loop's thread without
 * the bus lock: Ctrl-A c has given the keys to the sharer, or back; a key was typed for it.
 * `writable`, with the bus lock held: there was no room to write, now there is. */
struct chardev_sharer {
    void (*switched)(void *opaque, bool on);
    void (*typed)(void *opaque, const uint8_t *bytes, size_t count);
    void (*writable)(void *opaque);
    void *opaque;
};

/* spec:
 *   stdio      standard input and output. A terminal on standard input goes into raw mode until
 *              chardev_destroy(), and whatever ends the process restores it (host/terminal.h);
 *              there Ctrl-A is the escape: x quits, b sends a break, c switches to the sharer
 *              and back, h lists the keys, Ctrl-A sends itself. From a pipe or a file every byte is
 * the guest's. none       no input, output is dropped file:PATH  output to a file, created or
 * emptied unix:PATH  listens there, one client at a time; the socket is removed at the end NULL
 * with *error set on failure. SIGPIPE is ignored from then on. Loop's thread. */
struct chardev *chardev_create(const char *spec, struct loop *loop, struct bus *bus,
                               chardev_quit_fn *quit, void *opaque, struct error *error);
/* Writes out what is queued, but waits at most a second for a reader that takes nothing. Loop's
 * thread, without the bus lock, after the devices have stopped. */
void chardev_destroy(struct chardev *chardev);

/* The rest: bus lock held. */
void chardev_set_receiver(struct chardev *chardev, const struct chardev_receiver *receiver);
/* Of a terminal on stdio; NULL: nobody any more. */
void chardev_share(struct chardev *chardev, const struct chardev_sharer *sharer);
void chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t count);
/* How many bytes chardev_write() takes now without dropping any. */
size_t chardev_write_room(const struct chardev *chardev);
void chardev_accept_input(struct chardev *chardev);

#endif
