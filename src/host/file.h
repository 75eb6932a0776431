/* Whole files as memory. */
#ifndef DOPPEL_HOST_FILE_H
#define DOPPEL_HOST_FILE_H

#include "base/error.h"
#include "base/types.h"

struct file_data {
    uint8_t *bytes; /* owned; NULL for an empty file */
    size_t size;
};

/* Reads a regular file; what names it in messages ("--kernel"). Any thread. */
bool file_read(struct file_data *data, const char *what, const char *path, struct error *error);
void file_free(struct file_data *data);

#endif
