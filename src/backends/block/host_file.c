#include "backends/block/host_file.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- Opening ---- */

static bool adopt(struct host_file *file, int fd, const char *path, struct error *error)
{
    struct stat status;
    file->fd = fd;
    file->path = strdup(path);
    if (!file->path)
        error_set(error, "%s: out of memory", path);
    else if (fstat(fd, &status) < 0)
        error_set(error, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        error_set(error, "%s: is neither a regular file nor a block device", path);
    else {
        file->is_block_device = S_ISBLK(status.st_mode);
        file->device = file->is_block_device ? status.st_rdev : status.st_dev;
        file->inode = file->is_block_device ? 0 : status.st_ino;
        return true;
    }
    host_file_close(file);
    return false;
}

bool host_file_open(struct host_file *file, const char *path, bool readonly, struct error *error)
{
    *file = (struct host_file){.fd = -1, .readonly = readonly};
    /* O_NONBLOCK: a FIFO is refused rather than waited for. */
    int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_set(error, "%s: cannot be opened%s: %s", path, readonly ? "" : " for writing",
                         strerror(errno));
    return adopt(file, fd, path, error);
}

bool host_file_create(struct host_file *file, const char *path, struct error *error)
{
    *file = (struct host_file){.fd = -1};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return error_set(error, "%s: cannot be created: %s", path, strerror(errno));
    return adopt(file, fd, path, error);
}

bool host_file_create_temporary(struct host_file *file, struct error *error)
{
    *file = (struct host_file){.fd = -1};
    const char *directory = getenv("TMPDIR");
    if (!directory || !*directory)
        directory = "/var/tmp";
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/doppel-XXXXXX", directory);
    int fd = length < (int)sizeof(path) ? mkostemp(path, O_CLOEXEC) : -1;
    if (fd < 0)
        return error_set(error,
                         "%s: cannot hold the temporary file of a snapshot: %s; set TMPDIR to a "
                         "directory that can",
                         directory, strerror(errno));
    unlink(path);
    file->volatile_data = true;
    return adopt(file, fd, path, error);
}

void host_file_close(struct host_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    *file = (struct host_file){.fd = -1};
}

bool host_file_is_same(const struct host_file *a, const struct host_file *b)
{
    return a->is_block_device == b->is_block_device && a->device == b->device &&
           a->inode == b->inode;
}

/* ---- Locks ---- */

/* QEMU marks each permission that it uses by a shared lock on the byte 100 + n, and each one that
 * it grants nobody else by one on 200 + n. */
enum { PERMISSION_USED = 100, PERMISSION_DENIED = 200 };
enum { CONSISTENT_READ = 0, WRITE = 1, RESIZE = 3 };

static int lock_byte(const struct host_file *file, off_t byte)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(file->fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

static bool others_hold(const struct host_file *file, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    return fcntl(file->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool host_file_lock(struct host_file *file, struct error *error)
{
    static const off_t changes[] = {WRITE, RESIZE};
    int status = lock_byte(file, PERMISSION_USED + CONSISTENT_READ);
    bool refused = others_hold(file, PERMISSION_DENIED + CONSISTENT_READ);
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        if (!status)
            status = lock_byte(file, PERMISSION_DENIED + changes[i]);
        if (!status && !file->readonly)
            status = lock_byte(file, PERMISSION_USED + changes[i]);
        refused |= others_hold(file, PERMISSION_USED + changes[i]) ||
                   (!file->readonly && others_hold(file, PERMISSION_DENIED + changes[i]));
    }
    if (refused || status == -EAGAIN || status == -EACCES)
        return error_set(error,
                         "%s: another process uses this image%s; end it, or open the image "
                         "readonly in both, or give each guest an overlay of its own",
                         file->path, file->readonly ? " and may write to it" : "");
    if (status)
        log_warn("%s: cannot be locked (%s): make sure that nobody else writes to it", file->path,
                 strerror(-status));
    return true;
}

/* ---- Transfers ---- */

int host_file_size(const struct host_file *file, uint64_t *size)
{
    struct stat status;
    if (file->is_block_device)
        return ioctl(file->fd, BLKGETSIZE64, size) < 0 ? -errno : 0;
    if (fstat(file->fd, &status) < 0)
        return -errno;
    *size = (uint64_t)status.st_size;
    return 0;
}

static void zero_from(const struct iovec *iov, unsigned count, size_t skip)
{
    for (unsigned i = 0; i < count; i++) {
        size_t here = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= here;
        if (here < iov[i].iov_len)
            memset((char *)iov[i].iov_base + here, 0, iov[i].iov_len - here);
    }
}

typedef ssize_t transfer_fn(int fd, const struct iovec *iov, int count, off_t offset);

/* Goes on after short transfers: *done is the number of bytes moved when the end of the file or an
 * error stops it. */
static int transfer(const struct host_file *file, transfer_fn *move, const struct iovec *iov,
                    unsigned count, uint64_t offset, size_t *done)
{
    struct iovec rest[HOST_FILE_IOV_MAX];
    *done = 0;
    while (count) {
        ssize_t moved = move(file->fd, iov, (int)count, (off_t)(offset + *done));
        if (moved < 0 && errno == EINTR)
            continue;
        if (moved < 0)
            return -errno;
        if (!moved)
            return 0;
        *done += (size_t)moved;
        while (count && (size_t)moved >= iov->iov_len) {
            moved -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count && moved) {
            memmove(rest, iov, count * sizeof(*iov));
            rest[0].iov_base = (char *)rest[0].iov_base + moved;
            rest[0].iov_len -= (size_t)moved;
            iov = rest;
        }
    }
    return 0;
}

int host_file_readv(const struct host_file *file, const struct iovec *iov, unsigned count,
                    uint64_t offset)
{
    size_t done;
    int status = transfer(file, preadv, iov, count, offset, &done);
    if (!status)
        zero_from(iov, count, done);
    return status;
}

int host_file_writev(const struct host_file *file, const struct iovec *iov, unsigned count,
                     uint64_t offset)
{
    size_t done;
    return transfer(file, pwritev, iov, count, offset, &done);
}

int host_file_read(const struct host_file *file, void *bytes, size_t size, uint64_t offset)
{
    struct iovec iov = {bytes, size};
    return host_file_readv(file, &iov, 1, offset);
}

int host_file_write(const struct host_file *file, const void *bytes, size_t size, uint64_t offset)
{
    struct iovec iov = {(void *)bytes, size};
    return host_file_writev(file, &iov, 1, offset);
}

/* ---- Holes and zeros ---- */

static int allocate(const struct host_file *file, int mode, uint64_t offset, uint64_t size)
{
    while (fallocate(file->fd, mode, (off_t)offset, (off_t)size) < 0)
        if (errno != EINTR)
            return errno == ENOSYS || errno == ENODEV || errno == EINVAL ? -EOPNOTSUPP : -errno;
    return 0;
}

int host_file_punch(const struct host_file *file, uint64_t offset, uint64_t size)
{
    return allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size);
}

static int write_zeros(const struct host_file *file, uint64_t offset, uint64_t size)
{
    static const uint8_t zeros[65536];
    while (size) {
        size_t part = size < sizeof(zeros) ? size : sizeof(zeros);
        int status = host_file_write(file, zeros, part, offset);
        if (status)
            return status;
        offset += part;
        size -= part;
    }
    return 0;
}

int host_file_zero(const struct host_file *file, uint64_t offset, uint64_t size, bool may_unmap)
{
    if (!size)
        return 0;
    int status = may_unmap ? host_file_punch(file, offset, size) : -EOPNOTSUPP;
    if (status == -EOPNOTSUPP)
        status = allocate(file, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, size);
    if (status == -EOPNOTSUPP)
        status = write_zeros(file, offset, size);
    return status;
}

int host_file_truncate(const struct host_file *file, uint64_t size)
{
    while (ftruncate(file->fd, (off_t)size) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int host_file_sync(const struct host_file *file)
{
    if (file->volatile_data || file->readonly)
        return 0;
    while (fdatasync(file->fd) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}
