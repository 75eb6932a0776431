/* Inside the block backend: an opened image, which is a raw file or a qcow2 file over others.
 *
 * Transfers block and may run on several threads at once. They return 0 or a negative errno value;
 * ranges lie within the image (image_holds()), writes come only where it is not readonly. */
#ifndef DOPPEL_BACKENDS_BLOCK_IMAGE_H
#define DOPPEL_BACKENDS_BLOCK_IMAGE_H

#include "backends/block/host_file.h"
#include "backends/block/options.h"

/* As many images may lie over each other. */
#define IMAGE_CHAIN_MAX 64
/* The largest image: offsets of what lies in it, and of tables about it, fit off_t. */
#define IMAGE_SIZE_MAX (1ull << 60)

struct image;

struct image_ops {
    const char *name;
    int (*read)(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                uint64_t size);
    int (*write)(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                 uint64_t size);
    /* The guest no longer needs the range; what it reads there is zeros or the old data. */
    int (*discard)(struct image *image, uint64_t offset, uint64_t size);
    int (*write_zeroes)(struct image *image, uint64_t offset, uint64_t size, bool may_unmap);
    /* All writes that have returned are on the disk. */
    int (*flush)(struct image *image);
    /* Writes out what is kept in memory and frees what open() made, but not *image. */
    void (*close)(struct image *image);
};

struct image {
    const struct image_ops *ops;
    struct host_file file;
    uint64_t size; /* bytes that the guest sees, a multiple of 512 */
    bool readonly;
    bool probed;           /* nobody named the format */
    struct image *backing; /* readonly; owned; NULL: none */
    struct image *parent;  /* the image that has this one as backing, while it is opened */
    void *format;          /* the format's own state */
};

/* Opens the image that the options name, or creates it where it does not exist and they give a
 * size, together with its backing files, and locks them all. NULL: *error says why, and no file
 * has been changed. */
struct image *image_open(const struct disk_options *options, struct error *error);
/* For backing files: path is relative to the referring image's directory. */
struct image *image_open_backing(struct image *parent, const char *path, enum disk_format format,
                                 struct error *error);
/* NULL: nothing. */
void image_close(struct image *image);

/* A disk (block.h) on an opened image, which it takes over, also on failure. */
struct block_config;
struct block_image *block_over(struct image *image, const struct block_config *config,
                               struct error *error);

static inline bool image_holds(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset;
}

/* Reads where the range may reach past the image's end: zeros there. */
int image_read_padded(struct image *image, const struct iovec *iov, unsigned count, uint64_t offset,
                      uint64_t size);

/* The part [skip, skip + size) of a list as a list of its own; part has room for count entries. */
unsigned iov_part(struct iovec *part, const struct iovec *iov, unsigned count, uint64_t skip,
                  uint64_t size);
void iov_zero(const struct iovec *iov, unsigned count);
/* Fills the list from bytes, or bytes from the list. */
void iov_from_bytes(const struct iovec *iov, unsigned count, const uint8_t *bytes);
void iov_to_bytes(const struct iovec *iov, unsigned count, uint8_t *bytes);

extern const struct image_ops raw_ops, qcow2_ops;

/* The formats. open: image->file is open and locked; fills in the rest. */
bool raw_open(struct image *image, struct error *error);
bool qcow2_open(struct image *image, struct error *error);
/* Clears the marks of what the guest's writes will make stale. */
bool qcow2_begin_writing(struct image *image, struct error *error);
bool qcow2_is_header(const uint8_t *bytes, size_t size);
/* Writes an empty qcow2 image of size bytes into an empty file. */
bool qcow2_create(const struct host_file *file, uint64_t size, struct error *error);
/* Makes an opened image larger. */
bool raw_grow(struct image *image, uint64_t size, struct error *error);
bool qcow2_grow(struct image *image, uint64_t size, struct error *error);

#endif
