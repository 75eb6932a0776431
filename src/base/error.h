/* Host failures: a message that names the option, file or field and says what to do. */
#ifndef DOPPEL_BASE_ERROR_H
#define DOPPEL_BASE_ERROR_H

#include "base/types.h"

struct error {
    char text[512];
};

/* Sets the message and returns false, so that a failing function can `return error_set(...)`. */
bool error_set(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
