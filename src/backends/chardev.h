/* Character streams: what a UART or a debug console talks to on the host.
 *
 * Output: a device calls chardev_write() with the bus lock held; it never blocks for long (what the
 * host does not take is queued, up to a bound, and older bytes are kept). Input: the stream calls
 * the device's receiver on the loop's thread with the bus lock held, at most as many bytes as
 * can_receive allows; a device that has room again calls chardev_accept_input(). */
#ifndef DOPPEL_BACKENDS_CHARDEV_H
#define DOPPEL_BACKENDS_CHARDEV_H

#include "base/error.h"
#include "base/types.h"

struct chardev;
struct loop;
struct bus;

struct chardev_receiver {
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *bytes, size_t count);
    void *opaque;
};

/* Called on the loop's thread when the person at the terminal types Ctrl-A x. */
typedef void chardev_quit_fn(void *opaque);

/* spec: "stdio", "none", "file:PATH", "unix:PATH" (listens; one client at a time). NULL with *error
 * set on failure. With stdio a terminal goes into raw mode until chardev_destroy(), and whatever
 * ends the process restores it. */
struct chardev *chardev_create(const char *spec, struct loop *loop, struct bus *bus,
                               chardev_quit_fn *quit, void *opaque, struct error *error);
void chardev_destroy(struct chardev *chardev);

void chardev_set_receiver(struct chardev *chardev, const struct chardev_receiver *receiver);
void chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t count);
void chardev_accept_input(struct chardev *chardev);

#endif
