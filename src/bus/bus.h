/* Port and MMIO ranges: the seam between the CPU's accesses and the devices.
 *
 * A device answers (offset, size) and does not know where it sits. The bus lock (one per guest)
 * guards all devices: bus_*_read/write take it around the device's function; timers, loop callbacks
 * and backends take it with bus_lock(). It is not recursive, and nothing is locked inside it but
 * the list of overwritten code (cpu/blocks.h), under which nothing is. */
#ifndef DOPPEL_BUS_BUS_H
#define DOPPEL_BUS_BUS_H

#include "base/types.h"

struct bus;

/* Accesses arrive naturally sized: 1, 2, 4 or 8 bytes within [min_size, max_size]; the bus splits
 * larger and misaligned accesses into smaller ones, and widens smaller ones by reading min_size
 * bytes and taking the part (writes: shifted into place, other bytes zero). 0 stands for 1 and 4.
 */
struct bus_ops {
    const char *name; /* for traces and messages */
    uint64_t (*read)(void *device, uint64_t offset, unsigned size);
    void (*write)(void *device, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min_size, max_size;
};

enum bus_space { BUS_PORT, BUS_MMIO };

struct bus *bus_create(void);
void bus_destroy(struct bus *bus);
void bus_lock(struct bus *bus);
void bus_unlock(struct bus *bus);

/* Maps [base, base + size) to the device. False where it overlaps another range: *other is then
 * that range's name; or where the host has no memory or size is 0: *other is NULL. ops and device
 * outlive the mapping. Bus lock held, or before the vCPU starts. */
bool bus_map(struct bus *bus, enum bus_space space, uint64_t base, uint64_t size,
             const struct bus_ops *ops, void *device, const char **other);
void bus_unmap(struct bus *bus, enum bus_space space, uint64_t base);

/* An access by the vCPU, without the lock. size is 1 to 8. Where nothing is mapped reads yield all
 * ones. */
uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t address, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t address, uint64_t value,
               unsigned size);

/* The range number `index` of a space, in the order of addresses; false: there are not so many. Bus
 * lock held, or before the vCPU starts. */
struct bus_range {
    const char *name;
    uint64_t base, size;
};
bool bus_range_at(const struct bus *bus, enum bus_space space, unsigned index,
                  struct bus_range *range);

/* Whether anything is mapped there. */
bool bus_is_mapped(struct bus *bus, enum bus_space space, uint64_t address);

/* Watches every access as the CPU made it, for traces, with the bus lock held: name is that of the
 * range at address, NULL where nothing is mapped. NULL fn: off. */
typedef void bus_watch_fn(void *opaque, enum bus_space space, const char *name, uint64_t address,
                          uint64_t value, unsigned size, bool write);
void bus_set_watch(struct bus *bus, bus_watch_fn *fn, void *opaque);

#endif
