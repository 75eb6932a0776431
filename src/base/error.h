/* Host failures: a message that names the option, file or field and says what to do. */
#ifndef DOPPEL_BASE_ERROR_H
#define DOPPEL_BASE_ERROR_H

#include "base/types.h"

struct error {
    char text[512];
};

void error_format(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sets the message and is false, so that a failing function can `return error_set(...)`. A macro
 * around an inline function, so that the compiler sees the constant, used or not. */
static inline bool error_is_set(void)
{
    return false;
}

#define error_set(...) (error_format(__VA_ARGS__), error_is_set())

#endif
