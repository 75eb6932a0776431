/* The guest's drives as the host sees them: their images, places and names. The board makes their
 * devices (storage.h). */
#ifndef DOPPEL_MACHINE_DRIVES_H
#define DOPPEL_MACHINE_DRIVES_H

#include "backends/block/options.h"

#define DRIVES_MAX 24
#define DRIVE_ANY_UNIT (-1)
#define DRIVE_NAME_SIZE 32

struct block_config;
struct block_image;

enum drive_kind { DRIVE_VIRTIO, DRIVE_IDE, DRIVE_CD, DRIVE_KINDS };

struct drive_options {
    const char *option; /* that asks for it, for messages */
    enum drive_kind kind;
    int unit;                   /* struct drive; or DRIVE_ANY_UNIT: the next that is free */
    char name[DRIVE_NAME_SIZE]; /* empty: struct drive's own */
    struct disk_options disk;   /* file NULL: there is no medium */
};

struct drive {
    enum drive_kind kind;
    unsigned unit;              /* virtio: 0 on; IDE disks and CD drives: 2 * channel + device */
    char name[DRIVE_NAME_SIZE]; /* as QEMU's: virtio0, ide0-hd1, ide1-cd0 */
    struct block_image *image;  /* NULL: there is no medium */
    char *file;                 /* the medium's; owned, or NULL */
};

/* Ordered as the options are. */
struct drives {
    struct drive drive[DRIVES_MAX];
    unsigned count;
};

/* Opens all images. False: *error says why; drives_close() all the same. */
bool drives_open(struct drives *drives, const struct drive_options *options, unsigned count,
                 const struct block_config *config, struct error *error);
/* Opens a medium, as option calls it in messages; without a file there is none. False: *error says
 * why. */
bool drives_open_medium(struct drive *drive, const struct disk_options *medium, const char *option,
                        const struct block_config *config, struct error *error);
/* Closes the medium; without the bus lock. */
void drives_close_medium(struct drive *drive);
/* While paused, no file changes and no request completes. Bus lock held. */
void drives_pause(struct drives *drives, bool paused);
/* Cancels what is in flight. After the vCPU has stopped and before the board is destroyed, without
 * the bus lock. */
void drives_close(struct drives *drives);

#endif
