/* The host's random numbers, for devices that hand them out. */
#ifndef DOPPEL_BACKENDS_ENTROPY_H
#define DOPPEL_BACKENDS_ENTROPY_H

#include "base/types.h"

/* Fills data with size bytes; opaque is the source's. */
typedef void entropy_fn(void *opaque, void *data, size_t size);

/* The host kernel's generator, getrandom(2). opaque is not used. Any thread. */
void entropy_from_host(void *opaque, void *data, size_t size);

#endif
