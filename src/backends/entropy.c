#include "backends/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

/* getrandom() without flags fails only where a signal comes first. */
void entropy_from_host(void *opaque, void *data, size_t size)
{
    (void)opaque;
    for (uint8_t *at = data; size;) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno != EINTR)
            abort();
        if (got < 0)
            continue;
        at += got;
        size -= (size_t)got;
    }
}
