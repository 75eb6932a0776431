/* Listening stream sockets: a Unix path, or a TCP port of this host alone. */
#ifndef DOPPEL_HOST_LISTENER_H
#define DOPPEL_HOST_LISTENER_H

#include "base/error.h"
#include "base/types.h"

#include <sys/types.h>

struct listener {
    int fd;     /* not blocking; -1: closed */
    char *path; /* of a Unix socket; owned */
    dev_t device;
    ino_t inode;
};

/* Listens. what begins error messages: the option as the user gave it. A socket file whose listener
 * has gone is replaced. False leaves *listener closed. */
bool listener_open_unix(struct listener *listener, const char *what, const char *path,
                        struct error *error);
/* At 127.0.0.1 only. */
bool listener_open_tcp(struct listener *listener, const char *what, uint16_t port,
                       struct error *error);

/* Removes the socket file, if it is still ours. */
void listener_close(struct listener *listener);

/* The next client's socket, not blocking; -1 where there is none after all. */
int listener_accept(const struct listener *listener);

#endif
