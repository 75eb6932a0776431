/* Guest memory as devices reach it by themselves. With the bus lock held, on any thread. */
#ifndef DOPPEL_BUS_DMA_H
#define DOPPEL_BUS_DMA_H

#include "base/types.h"

struct dma_ops {
    /* False where any byte is absent: it reads as 0xff, and what is written to it vanishes. */
    bool (*read)(void *opaque, uint64_t address, void *data, uint64_t size);
    bool (*write)(void *opaque, uint64_t address, const void *data, uint64_t size);

    /* RAM at address as host memory: *size, which is not 0, shrinks to what is in one piece. NULL
     * where there is no RAM. The pointer is good for as long as the guest lives, without the lock
     * too. Whoever has written through it calls written(), with the lock held, before the guest is
     * told. */
    void *(*map)(void *opaque, uint64_t address, uint64_t *size);
    void (*written)(void *opaque, uint64_t address, uint64_t size);
};

/* Copied by value. */
struct dma {
    const struct dma_ops *ops;
    void *opaque;
};

#endif
