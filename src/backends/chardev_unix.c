/* A listening Unix socket, one client at a time: the next waits until the first has left. */
#include "backends/chardev_kind.h"
#include "host/loop.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void on_client(void *opaque, int fd, short events)
{
    (void)events;
    struct chardev *chardev = opaque;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0)
        return;
    loop_unwatch(chardev->loop, fd);
    chardev->client_fd = client;
    chardev_connect(chardev, client, client);
    chardev_update_watches(chardev);
}

static void unix_ended(struct chardev *chardev)
{
    loop_unwatch(chardev->loop, chardev->client_fd);
    close(chardev->client_fd);
    chardev->client_fd = -1;
    loop_watch(chardev->loop, chardev->listen_fd, POLLIN, on_client, chardev);
}

/* Whether a socket file is left over from somebody who has gone. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static bool bind_to(struct chardev *chardev, const struct sockaddr_un *address)
{
    const struct sockaddr *generic = (const struct sockaddr *)address;
    if (!bind(chardev->listen_fd, generic, sizeof(*address)))
        return true;
    if (errno != EADDRINUSE)
        return false;
    if (!is_stale(address) || unlink(address->sun_path)) {
        errno = EADDRINUSE;
        return false;
    }
    return !bind(chardev->listen_fd, generic, sizeof(*address));
}

static bool unix_open(struct chardev *chardev, const char *path, struct error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return error_set(error, "%s: a socket's path is at most %zu characters long", chardev->spec,
                         sizeof(address.sun_path) - 1);
    strcpy(address.sun_path, path);

    chardev->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (chardev->listen_fd < 0)
        return error_set(error, "%s: cannot make a socket: %s", chardev->spec, strerror(errno));
    if (!bind_to(chardev, &address)) {
        if (errno == EADDRINUSE)
            return error_set(error,
                             "%s: the file exists, and is no socket or somebody listens on it: "
                             "choose another path",
                             chardev->spec);
        return error_set(error, "%s: cannot make the socket: %s", chardev->spec, strerror(errno));
    }
    struct stat status;
    chardev->path = strdup(path);
    if (!chardev->path || stat(path, &status) || listen(chardev->listen_fd, 1) ||
        !loop_watch(chardev->loop, chardev->listen_fd, POLLIN, on_client, chardev)) {
        unlink(path);
        return error_set(error, "%s: cannot listen: %s", chardev->spec, strerror(errno));
    }
    chardev->device = status.st_dev;
    chardev->inode = status.st_ino;
    return true;
}

static void unix_close(struct chardev *chardev)
{
    if (chardev->client_fd >= 0)
        close(chardev->client_fd);
    /* The path may name somebody else's socket by now. */
    struct stat status;
    if (chardev->path && !stat(chardev->path, &status) && status.st_dev == chardev->device &&
        status.st_ino == chardev->inode)
        unlink(chardev->path);
    free(chardev->path);
    if (chardev->listen_fd >= 0) {
        loop_unwatch(chardev->loop, chardev->listen_fd);
        close(chardev->listen_fd);
    }
}

const struct chardev_kind chardev_unix = {
    .name = "unix",
    .takes_path = true,
    .open = unix_open,
    .close = unix_close,
    .ended = unix_ended,
};
