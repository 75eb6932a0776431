/* Output to a file. */
#include "backends/chardev_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool file_open(struct chardev *chardev, const char *path, struct error *error)
{
    /* O_NONBLOCK: a FIFO that nobody reads is an error rather than a wait. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
    if (fd < 0 && errno == ENXIO)
        return error_set(error, "%s: nobody reads this pipe: start its reader first",
                         chardev->spec);
    if (fd < 0)
        return error_set(error, "%s: cannot create the file: %s", chardev->spec, strerror(errno));
    chardev->client_fd = fd;
    chardev_connect(chardev, -1, fd);
    return true;
}

static void file_close(struct chardev *chardev)
{
    if (chardev->client_fd >= 0)
        close(chardev->client_fd);
}

const struct chardev_kind chardev_file = {
    .name = "file",
    .takes_path = true,
    .open = file_open,
    .close = file_close,
};
