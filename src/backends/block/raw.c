/* Raw images: the guest's bytes are the file's. A file that does not end on a sector is padded with
 * zeros; a write to its last sector makes it whole. Guests never make a file grow beyond that. */
#include "backends/block/image.h"
#include "base/bits.h"

#include <errno.h>
#include <string.h>

static int raw_read(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                    uint64_t size)
{
    (void)size;
    return host_file_readv(&image->file, iov, count, offset);
}

/* The guest must not decide what its image is taken for the next time. */
static bool writes_header(const struct iovec *iov, unsigned count, uint64_t size)
{
    uint8_t start[512];
    struct iovec part[HOST_FILE_IOV_MAX];
    size_t length = size < sizeof(start) ? size : sizeof(start);
    iov_to_bytes(part, iov_part(part, iov, count, 0, length), start);
    return qcow2_is_header(start, length);
}

static int raw_write(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                     uint64_t size)
{
    if (UNLIKELY(!offset && image->probed && writes_header(iov, count, size)))
        return -EPERM;
    return host_file_writev(&image->file, iov, count, offset);
}

static int raw_discard(struct image *image, uint64_t offset, uint64_t size)
{
    int status = host_file_punch(&image->file, offset, size);
    return status == -EOPNOTSUPP ? 0 : status;
}

static int raw_write_zeroes(struct image *image, uint64_t offset, uint64_t size, bool may_unmap)
{
    return host_file_zero(&image->file, offset, size, may_unmap);
}

static int raw_flush(struct image *image)
{
    return host_file_sync(&image->file);
}

static void raw_close(struct image *image)
{
    (void)image;
}

const struct image_ops raw_ops = {
    .name = "raw",
    .read = raw_read,
    .write = raw_write,
    .discard = raw_discard,
    .write_zeroes = raw_write_zeroes,
    .flush = raw_flush,
    .close = raw_close,
};

bool raw_open(struct image *image, struct error *error)
{
    uint64_t size;
    int status = host_file_size(&image->file, &size);
    if (status)
        return error_set(error, "%s: its size is unknown: %s", image->file.path, strerror(-status));
    if (size > IMAGE_SIZE_MAX)
        return error_set(error, "%s: is larger than a disk can be", image->file.path);
    image->ops = &raw_ops;
    image->size = align_up(size, 512);
    return true;
}

bool raw_grow(struct image *image, uint64_t size, struct error *error)
{
    int status = image->file.is_block_device ? -EINVAL : host_file_truncate(&image->file, size);
    if (status)
        return error_set(error, "%s: cannot be enlarged to %llu bytes: %s", image->file.path,
                         (unsigned long long)size, strerror(-status));
    image->size = size;
    return true;
}
