/* A file or block device of the host that holds an image: whole transfers, holes, and the lock that
 * keeps a second writer away.
 *
 * Functions return 0 or a negative errno value. Any thread, several at once. */
#ifndef DOPPEL_BACKENDS_BLOCK_HOST_FILE_H
#define DOPPEL_BACKENDS_BLOCK_HOST_FILE_H

#include "base/error.h"
#include "base/types.h"

#include <sys/stat.h>
#include <sys/uio.h>

/* The longest scatter list that a transfer takes. */
#define HOST_FILE_IOV_MAX 1024

struct host_file {
    int fd;
    char *path; /* as the user or the image that refers to it wrote it; owned */
    dev_t device;
    ino_t inode;
    bool is_block_device;
    bool readonly;
    bool volatile_data; /* nobody needs the data after a crash: syncs do nothing */
};

/* Opens a regular file or block device. False with a message that begins with the path; *file is
 * then closed. Where the file lies but is not locked yet. */
bool host_file_open(struct host_file *file, const char *path, bool readonly, struct error *error);
/* Creates a file that must not exist. */
bool host_file_create(struct host_file *file, const char *path, struct error *error);
/* A file without a name in $TMPDIR or /var/tmp, gone with the process, whose data is volatile. */
bool host_file_create_temporary(struct host_file *file, struct error *error);
void host_file_close(struct host_file *file);

/* Locks the file until it is closed: one writer, or any number of readers. The locks are those of
 * QEMU (a byte range of the open file description for each permission), so that the two respect
 * each other. */
bool host_file_lock(struct host_file *file, struct error *error);

bool host_file_is_same(const struct host_file *a, const struct host_file *b);

/* The size in bytes, of block devices too. */
int host_file_size(const struct host_file *file, uint64_t *size);

/* All of the list or an error. Reads past the end of the file yield zeros. count is at most
 * HOST_FILE_IOV_MAX. */
int host_file_readv(const struct host_file *file, const struct iovec *iov, unsigned count,
                    uint64_t offset);
int host_file_writev(const struct host_file *file, const struct iovec *iov, unsigned count,
                     uint64_t offset);
int host_file_read(const struct host_file *file, void *bytes, size_t size, uint64_t offset);
int host_file_write(const struct host_file *file, const void *bytes, size_t size, uint64_t offset);

/* Gives the range back to the host and makes it read as zeros; -EOPNOTSUPP where the host cannot.
 * The file keeps its size. */
int host_file_punch(const struct host_file *file, uint64_t offset, uint64_t size);
/* Makes the range read as zeros, by a hole if may_unmap, by writing if all else fails. */
int host_file_zero(const struct host_file *file, uint64_t offset, uint64_t size, bool may_unmap);

int host_file_truncate(const struct host_file *file, uint64_t size);
/* What was written is on the disk. */
int host_file_sync(const struct host_file *file);

#endif
