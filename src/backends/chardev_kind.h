/* Inside backends: a character stream, and what its kinds fill in. */
#ifndef DOPPEL_BACKENDS_CHARDEV_KIND_H
#define DOPPEL_BACKENDS_CHARDEV_KIND_H

#include "backends/byte_queue.h"
#include "backends/chardev.h"
#include "host/listener.h"

struct chardev_kind {
    const char *name;
    bool takes_path; /* the spec is "name:PATH" */
    /* Sets in_fd, out_fd and what they are; leaves clean-up after a failure to close(). */
    bool (*open)(struct chardev *chardev, const char *path, struct error *error);
    void (*close)(struct chardev *chardev);
    /* Takes the kind's own keys out of what was read, in place; returns how many bytes are left.
     * Without the bus lock. May be NULL. */
    size_t (*filter)(struct chardev *chardev, uint8_t *bytes, size_t count);
    /* Neither direction is open any more. May be NULL. */
    void (*ended)(struct chardev *chardev);
};

extern const struct chardev_kind chardev_stdio, chardev_none, chardev_file, chardev_unix;

struct chardev {
    const struct chardev_kind *kind;
    char *spec; /* for messages */
    struct loop *loop;
    struct bus *bus;
    struct chardev_receiver receiver;
    chardev_quit_fn *quit;
    void *opaque;

    /* Changed on the loop's thread with the bus lock held; -1 where there is nothing (more). The
     * same descriptor for both directions of a socket. */
    int in_fd, out_fd;
    bool out_is_terminal, out_is_socket;

    int kick_fd; /* an eventfd: any thread makes the loop look at the queues */
    bool kicked; /* this and the queues: bus lock */
    struct byte_queue in, out;

    /* stdio */
    bool in_is_terminal;
    bool escaped;                 /* the last key was Ctrl-A */
    bool switched;                /* keys are the sharer's */
    struct chardev_sharer sharer; /* without functions: there is none */

    /* unix */
    struct listener listener;
    int client_fd;
};

/* For kinds, on the loop's thread without the bus lock. */
void chardev_connect(struct chardev *chardev, int in_fd, int out_fd);
void chardev_update_watches(struct chardev *chardev);

#endif
