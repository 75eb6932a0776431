/* Disks: images of the host that devices read and write without waiting.
 *
 * A device submits requests with the bus lock held; a few threads of the disk's own carry them out,
 * in any order and several at once, and call done() with the bus lock held. Requests that touch the
 * same bytes at the same time have no order. What a flush finds done is on the host's disk when it
 * completes.
 *
 * A write that the host's disk has no room for is not an error for the guest: the disk stalls. Its
 * requests wait, the owner is told (and should stop the guest's clock and CPU), and once a second
 * the disk tries again. */
#ifndef DOPPEL_BACKENDS_BLOCK_BLOCK_H
#define DOPPEL_BACKENDS_BLOCK_BLOCK_H

#include "backends/block/options.h"

#include <sys/uio.h>

/* The longest scatter list of a request. */
#define BLOCK_IOV_MAX 1024

struct block_image;
struct bus;

enum block_operation {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD,      /* the data is no longer needed; afterwards it is zeros or what it was */
    BLOCK_WRITE_ZEROES, /* afterwards it is zeros */
};

/* Belongs to the device, with the memory it points to, and stays as it is until done() is called.
 */
struct block_request {
    enum block_operation operation;
    bool may_unmap;          /* BLOCK_WRITE_ZEROES may give the room back to the host */
    uint64_t offset, size;   /* bytes, in sectors of 512; a list holds size bytes */
    const struct iovec *iov; /* of reads and writes */
    unsigned iov_count;
    /* error is 0 or a negative errno value: -EIO, -ENOSPC, -EROFS, -EINVAL for a range outside the
     * disk, -ECANCELED. May submit and may free the request. */
    void (*done)(struct block_request *request, int error);
    void *opaque; /* the device's */

    struct block_request *next; /* the disk's */
    int error;
};

struct block_config {
    struct bus *bus;
    /* The host has no room for a write (stalled, with a message for the person who runs the guest),
     * or has it again. Bus lock held. NULL: such writes end with -ENOSPC. */
    void (*stall)(void *opaque, bool stalled, const char *message);
    void *opaque;
};

struct block_statistics {
    struct {
        uint64_t requests, bytes, errors;
    } operations[BLOCK_WRITE_ZEROES + 1]; /* by enum block_operation */
    unsigned in_flight;
};

/* Opens or creates the image and its backing files (struct disk_options) and locks them. NULL:
 * *error says why, and no file has been changed. */
struct block_image *block_open(const struct disk_options *options,
                               const struct block_config *config, struct error *error);
/* Waits for what is in flight, cancels what is not, and closes the image. Without the bus lock,
 * after the devices have stopped; their done() is still called. NULL: nothing. */
void block_close(struct block_image *image);

uint64_t block_size(const struct block_image *image);      /* bytes, a multiple of 512 */
const char *block_format(const struct block_image *image); /* "raw" or "qcow2" */
bool block_is_readonly(const struct block_image *image);

/* The rest: bus lock held. */

void block_submit(struct block_image *image, struct block_request *request);

/* Waits until nothing is in flight; all done() are called. What waits for room on the host ends
 * with -ENOSPC. */
void block_drain(struct block_image *image);
/* The same, but requests that have not begun end with -ECANCELED. For a device's reset. */
void block_cancel(struct block_image *image);

/* While paused, requests wait, and done() is not called. Pausing waits for what has begun, so that
 * the files do not change from then on. */
void block_pause(struct block_image *image);
void block_resume(struct block_image *image);

void block_get_statistics(struct block_image *image, struct block_statistics *statistics);

#endif
