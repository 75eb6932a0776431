#include "host/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_all(int fd, struct file_data *data)
{
    size_t done = 0;
    while (done < data->size) {
        ssize_t count = read(fd, data->bytes + done, data->size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        if (count == 0)
            break;
        done += (size_t)count;
    }
    data->size = done; /* the file may have shrunk meanwhile */
    return true;
}

bool file_read(struct file_data *data, const char *what, const char *path, struct error *error)
{
    *data = (struct file_data){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would block */
    if (fd < 0)
        return error_set(error, "%s %s: cannot be opened: %s", what, path, strerror(errno));

    bool ok = false;
    struct stat st;
    if (fstat(fd, &st) < 0) {
        error_set(error, "%s %s: %s", what, path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        error_set(error, "%s %s: is not a regular file", what, path);
    } else if (st.st_size == 0) {
        ok = true;
    } else if (!(data->bytes = malloc((size_t)st.st_size))) {
        error_set(error, "%s %s: no memory for its %lld bytes", what, path, (long long)st.st_size);
    } else {
        data->size = (size_t)st.st_size;
        ok = read_all(fd, data);
        if (!ok)
            error_set(error, "%s %s: cannot be read: %s", what, path, strerror(errno));
    }
    close(fd);
    if (!ok)
        file_free(data);
    return ok;
}

void file_free(struct file_data *data)
{
    free(data->bytes);
    *data = (struct file_data){0};
}
