/* A disk as the command line describes it. */
#ifndef DOPPEL_BACKENDS_BLOCK_OPTIONS_H
#define DOPPEL_BACKENDS_BLOCK_OPTIONS_H

#include "base/error.h"
#include "base/types.h"

enum disk_interface { DISK_VIRTIO, DISK_IDE };
enum disk_format { DISK_PROBE, DISK_RAW, DISK_QCOW2 };

struct disk_options {
    char *file; /* owned */
    enum disk_interface interface;
    enum disk_format format;
    bool readonly;
    bool snapshot; /* writes go to a temporary file */
    uint64_t size; /* bytes; 0: that of the image, which must exist */
};

/* Parses FILE[,if=virtio|ide][,format=raw|qcow2][,readonly][,snapshot][,size=SIZE]. A comma in the
 * file's name is written twice. option names the option in messages ("--disk"). False: *error is
 * set and nothing is owned. */
bool disk_options_parse(struct disk_options *options, const char *option, const char *text,
                        struct error *error);
void disk_options_free(struct disk_options *options);

/* "raw" and "qcow2"; false for anything else. */
bool disk_format_parse(const char *text, enum disk_format *format);

#endif
