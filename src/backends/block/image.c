#include "backends/block/image.h"

#include "base/log.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Scatter lists ---- */

unsigned iov_part(struct iovec *part, const struct iovec *iov, unsigned count, uint64_t skip,
                  uint64_t size)
{
    unsigned parts = 0;
    for (unsigned i = 0; i < count && size; i++) {
        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        size_t length = iov[i].iov_len - skip;
        if (length > size)
            length = size;
        part[parts++] = (struct iovec){(char *)iov[i].iov_base + skip, length};
        size -= length;
        skip = 0;
    }
    return parts;
}

void iov_zero(const struct iovec *iov, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memset(iov[i].iov_base, 0, iov[i].iov_len);
}

void iov_from_bytes(const struct iovec *iov, unsigned count, const uint8_t *bytes)
{
    for (unsigned i = 0; i < count; bytes += iov[i++].iov_len)
        memcpy(iov[i].iov_base, bytes, iov[i].iov_len);
}

void iov_to_bytes(const struct iovec *iov, unsigned count, uint8_t *bytes)
{
    for (unsigned i = 0; i < count; bytes += iov[i++].iov_len)
        memcpy(bytes, iov[i].iov_base, iov[i].iov_len);
}

int image_read_padded(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                      uint64_t size)
{
    if (image_holds(image, offset, size))
        return image->ops->read(image, iov, count, offset, size);
    struct iovec part[HOST_FILE_IOV_MAX];
    uint64_t inside = offset < image->size ? image->size - offset : 0;
    int status = 0;
    if (inside) {
        unsigned parts = iov_part(part, iov, count, 0, inside);
        status = image->ops->read(image, part, parts, offset, inside);
    }
    iov_zero(part, iov_part(part, iov, count, inside, size - inside));
    return status;
}

/* ---- Opening ---- */

/* An image that is its own backing file, however far down, is refused before it would meet its own
 * lock. */
static bool chain_is_sound(const struct image *image, struct error *error)
{
    unsigned depth = 1;
    for (const struct image *above = image->parent; above; above = above->parent) {
        if (host_file_is_same(&image->file, &above->file))
            return error_set(error,
                             "%s: is its own backing file, through the chain that begins "
                             "with it: correct it with qemu-img rebase -u",
                             image->file.path);
        if (++depth > IMAGE_CHAIN_MAX)
            return error_set(error,
                             "%s: more than %d images lie over each other: merge some with "
                             "qemu-img commit",
                             image->file.path, IMAGE_CHAIN_MAX);
    }
    return true;
}

static bool find_format(struct image *image, enum disk_format *format, struct error *error)
{
    uint8_t start[512];
    int status = host_file_read(&image->file, start, sizeof(start), 0);
    if (status)
        return error_set(error, "%s: cannot be read: %s", image->file.path, strerror(-status));
    bool is_qcow2 = qcow2_is_header(start, sizeof(start));
    if (*format == DISK_QCOW2 && !is_qcow2)
        return error_set(error,
                         "%s: is not a qcow2 image: leave out format=qcow2, or convert it "
                         "with qemu-img convert",
                         image->file.path);
    if (*format != DISK_PROBE)
        return true;
    *format = is_qcow2 ? DISK_QCOW2 : DISK_RAW;
    image->probed = true;
    if (*format == DISK_RAW && !image->readonly)
        log_warn("%s: taken for a raw image, as no format was named; the guest cannot write "
                 "another format's header to its first sector; say format=raw to allow it",
                 image->file.path);
    return true;
}

/* With the file open. Takes image over, also on failure. */
static struct image *open_format(struct image *image, enum disk_format format, struct error *error)
{
    bool good = chain_is_sound(image, error) && host_file_lock(&image->file, error) &&
                find_format(image, &format, error) &&
                (format == DISK_QCOW2 ? qcow2_open(image, error) : raw_open(image, error));
    if (good)
        return image;
    host_file_close(&image->file);
    free(image);
    return NULL;
}

static struct image *image_new(bool readonly, struct error *error)
{
    struct image *image = calloc(1, sizeof(*image));
    if (!image)
        error_set(error, "no memory for a disk image");
    else
        *image = (struct image){.file.fd = -1, .readonly = readonly};
    return image;
}

static struct image *open_existing(const struct disk_options *options, bool readonly,
                                   struct error *error)
{
    struct image *image = image_new(readonly, error);
    if (!image)
        return NULL;
    if (!host_file_open(&image->file, options->file, readonly, error)) {
        free(image);
        return NULL;
    }
    return open_format(image, options->format, error);
}

struct image *image_open_backing(struct image *parent, const char *path, enum disk_format format,
                                 struct error *error)
{
    struct image *image = image_new(true, error);
    char *directory = strdup(parent->file.path), *whole = NULL;
    if (!strncmp(path, "file:", 5))
        path += 5;
    const char *colon = strchr(path, ':'), *slash = strchr(path, '/');
    bool good = false;
    if (!image || !directory)
        error_set(error, "%s: out of memory", parent->file.path);
    else if (colon && (!slash || colon < slash))
        error_set(error, "%s: its backing file \"%s\" is not a plain file: only files are offered",
                  parent->file.path, path);
    else if (asprintf(&whole, "%s/%s", dirname(directory), path) < 0)
        error_set(error, "%s: out of memory", parent->file.path);
    else
        good = host_file_open(&image->file, *path == '/' ? path : whole, true, error);
    free(directory);
    free(whole);
    if (!good) {
        free(image);
        return NULL;
    }
    image->parent = parent;
    image = open_format(image, format, error);
    if (image)
        image->parent = NULL;
    return image;
}

/* An unlinked qcow2 file over base takes the writes. Takes base over, also on failure. */
static struct image *open_snapshot(struct image *base, struct error *error)
{
    struct image *image = image_new(false, error);
    bool good = image && host_file_create_temporary(&image->file, error);
    if (good && qcow2_create(&image->file, base->size, error) && qcow2_open(image, error)) {
        image->backing = base;
        return image;
    }
    if (good)
        host_file_close(&image->file);
    free(image);
    image_close(base);
    return NULL;
}

static bool create(const struct disk_options *options, struct error *error)
{
    struct host_file file;
    if (options->size > IMAGE_SIZE_MAX)
        return error_set(error, "%s: size= is larger than an image can be", options->file);
    if (!host_file_create(&file, options->file, error))
        return false;
    bool good = true;
    if (options->format == DISK_QCOW2) {
        good = qcow2_create(&file, options->size, error);
    } else {
        int status = host_file_truncate(&file, options->size);
        good = !status || error_set(error, "%s: cannot be made %llu bytes large: %s", options->file,
                                    (unsigned long long)options->size, strerror(-status));
    }
    if (!good)
        unlink(options->file);
    host_file_close(&file);
    return good;
}

static bool check_size(const struct image *image, uint64_t size, struct error *error)
{
    if (!size && !image->size)
        return error_set(error, "%s: is empty: give the disk a size with size=", image->file.path);
    if (size && size < image->size)
        return error_set(error,
                         "%s: has %llu bytes; a smaller size= would cut it off: use qemu-img "
                         "resize --shrink",
                         image->file.path, (unsigned long long)image->size);
    if (size > IMAGE_SIZE_MAX)
        return error_set(error, "%s: size= is larger than an image can be", image->file.path);
    return true;
}

/* The first changes to the file, when nothing speaks against it any more. size= enlarges an image
 * that is there. */
static bool begin_writing(struct image *image, uint64_t size, struct error *error)
{
    bool is_qcow2 = image->ops == &qcow2_ops;
    if (image->readonly)
        return true;
    if (is_qcow2 && !qcow2_begin_writing(image, error))
        return false;
    if (!size || size == image->size)
        return true;
    return is_qcow2 ? qcow2_grow(image, size, error) : raw_grow(image, size, error);
}

struct image *image_open(const struct disk_options *options, struct error *error)
{
    struct disk_options as = *options;
    if (options->size && access(options->file, F_OK) < 0 && errno == ENOENT) {
        if (options->format == DISK_PROBE)
            as.format = DISK_RAW; /* what was just made is known */
        if (!create(options, error))
            return NULL;
    }
    struct image *image = open_existing(&as, options->readonly || options->snapshot, error);
    if (image && options->snapshot)
        image = open_snapshot(image, error);
    if (image &&
        (!check_size(image, options->size, error) || !begin_writing(image, options->size, error))) {
        image_close(image);
        return NULL;
    }
    return image;
}

void image_close(struct image *image)
{
    if (!image)
        return;
    image->ops->close(image);
    host_file_close(&image->file);
    image_close(image->backing);
    free(image);
}
