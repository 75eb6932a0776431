#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

void error_format(struct error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
}
