/* Memory of a device that guest code reaches without asking the device: a frame buffer, or flash.
 * The device owns it and shows it at an address; the machine says which pages were written. */
#ifndef DOPPEL_BUS_DIRECT_RAM_H
#define DOPPEL_BUS_DIRECT_RAM_H

#include "base/types.h"

/* Whole pages. Its members do not change while it is shown. */
struct direct_ram {
    uint8_t *bytes;
    uint64_t size;
    /* A byte a page, which becomes 1 before the page is written to. NULL: the memory is only read,
     * writes go to the bus. */
    uint8_t *written;
    /* One of them has become 1. On the thread that writes, without the bus lock or with it. */
    void (*changed)(void *opaque);
    void *opaque;
};

struct direct_memory_ops {
    /* Shows the memory at base, where there is neither RAM nor ROM, in front of what is on the bus
     * there. False: the host has no memory for it, and the bus goes on to answer. vCPU's thread,
     * at the end of an instruction, or before it starts; with the bus lock held. */
    bool (*show)(void *opaque, const struct direct_ram *ram, uint64_t base);
    /* Takes it away, if it is shown; likewise. */
    void (*hide)(void *opaque, const struct direct_ram *ram);
    /* What was written has been taken: who has cleared bytes of `written` and not yet looked at the
     * pages calls this first. Any thread. */
    void (*rearm)(void *opaque);
};

/* Copied by value. Without ops nothing can be shown. */
struct direct_memory {
    const struct direct_memory_ops *ops;
    void *opaque;
};

/* The byte at offset is about to be written, or has been by who holds the bus lock. */
static inline void direct_ram_note(const struct direct_ram *ram, uint64_t offset)
{
    uint8_t *written = &ram->written[offset >> PAGE_SHIFT];
    if (__atomic_load_n(written, __ATOMIC_RELAXED) ||
        __atomic_exchange_n(written, 1, __ATOMIC_SEQ_CST))
        return;
    ram->changed(ram->opaque);
}

#endif
