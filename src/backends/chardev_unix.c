/* A listening Unix socket, one client at a time: the next waits until the first has left. */
#include "backends/chardev_kind.h"
#include "host/listener.h"
#include "host/loop.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static void on_client(void *opaque, int fd, short events)
{
    (void)events;
    struct chardev *chardev = opaque;
    int client = listener_accept(&chardev->listener);
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
    loop_watch(chardev->loop, chardev->listener.fd, POLLIN, on_client, chardev);
}

static bool unix_open(struct chardev *chardev, const char *path, struct error *error)
{
    if (!listener_open_unix(&chardev->listener, chardev->spec, path, error))
        return false;
    return loop_watch(chardev->loop, chardev->listener.fd, POLLIN, on_client, chardev) ||
           error_set(error, "%s: cannot listen: %s", chardev->spec, strerror(errno));
}

static void unix_close(struct chardev *chardev)
{
    if (chardev->client_fd >= 0)
        close(chardev->client_fd);
    if (chardev->listener.fd >= 0)
        loop_unwatch(chardev->loop, chardev->listener.fd);
    listener_close(&chardev->listener);
}

const struct chardev_kind chardev_unix = {
    .name = "unix",
    .takes_path = true,
    .open = unix_open,
    .close = unix_close,
    .ended = unix_ended,
};
