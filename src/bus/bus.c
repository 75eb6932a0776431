#include "bus/bus.h"

#include "base/bits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint64_t base, size;
    const struct bus_ops *ops;
    void *device;
};

/* The ranges of one space, sorted by base. */
struct space {
    struct range *ranges;
    unsigned count, capacity;
    unsigned last; /* where the last lookup ended: the same device is often asked again */
};

struct bus {
    pthread_mutex_t lock;
    struct space spaces[2]; /* by enum bus_space */
    bus_watch_fn *watch;
    void *watch_opaque;
};

struct bus *bus_create(void)
{
    struct bus *bus = calloc(1, sizeof(*bus));
    if (bus)
        pthread_mutex_init(&bus->lock, NULL);
    return bus;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    pthread_mutex_destroy(&bus->lock);
    free(bus->spaces[BUS_PORT].ranges);
    free(bus->spaces[BUS_MMIO].ranges);
    free(bus);
}

void bus_lock(struct bus *bus)
{
    pthread_mutex_lock(&bus->lock);
}

void bus_unlock(struct bus *bus)
{
    pthread_mutex_unlock(&bus->lock);
}

/* The number of ranges that start at or below address. */
static unsigned space_upper_bound(const struct space *space, uint64_t address)
{
    unsigned low = 0, high = space->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (space->ranges[middle].base <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The range that holds address, or NULL. */
static const struct range *space_find(struct space *space, uint64_t address)
{
    if (space->last < space->count) {
        const struct range *range = &space->ranges[space->last];
        if (address - range->base < range->size)
            return range;
    }
    unsigned above = space_upper_bound(space, address);
    if (!above)
        return NULL;
    const struct range *range = &space->ranges[above - 1];
    if (address - range->base >= range->size)
        return NULL;
    space->last = above - 1;
    return range;
}

static bool space_reserve(struct space *space)
{
    if (space->count < space->capacity)
        return true;
    unsigned capacity = space->capacity ? 2 * space->capacity : 32;
    struct range *ranges = realloc(space->ranges, capacity * sizeof(*ranges));
    if (!ranges)
        return false;
    space->ranges = ranges;
    space->capacity = capacity;
    return true;
}

bool bus_map(struct bus *bus, enum bus_space which, uint64_t base, uint64_t size,
             const struct bus_ops *ops, void *device, const char **other)
{
    struct space *space = &bus->spaces[which];
    unsigned at = space_upper_bound(space, base);
    const char *name = NULL;
    bool overlaps = false;

    if (at > 0 && base - space->ranges[at - 1].base < space->ranges[at - 1].size) {
        name = space->ranges[at - 1].ops->name;
        overlaps = true;
    } else if (at < space->count && space->ranges[at].base - base < size) {
        name = space->ranges[at].ops->name;
        overlaps = true;
    }
    if (other)
        *other = name;
    if (overlaps || !size || base + (size - 1) < base || !space_reserve(space))
        return false;

    memmove(&space->ranges[at + 1], &space->ranges[at],
            (space->count - at) * sizeof(*space->ranges));
    space->ranges[at] = (struct range){base, size, ops, device};
    space->count++;
    return true;
}

void bus_unmap(struct bus *bus, enum bus_space which, uint64_t base)
{
    struct space *space = &bus->spaces[which];
    unsigned above = space_upper_bound(space, base);
    if (!above || space->ranges[above - 1].base != base)
        return;
    space->count--;
    memmove(&space->ranges[above - 1], &space->ranges[above],
            (space->count - (above - 1)) * sizeof(*space->ranges));
}

/* The largest naturally aligned part at offset, of at most size bytes, that the range takes whole.
 */
static unsigned range_part(const struct range *range, uint64_t offset, unsigned size)
{
    unsigned limit = range->ops->max_size ? range->ops->max_size : 4;
    unsigned part = 1;
    while (part < limit && 2 * part <= size && 2 * part <= range->size - offset &&
           !(offset & (2 * part - 1)))
        part *= 2;
    return part;
}

static uint64_t range_read(const struct range *range, uint64_t offset, unsigned size)
{
    unsigned least = range->ops->min_size;
    if (size >= least)
        return range->ops->read(range->device, offset, size) & bytes_mask(size);
    uint64_t start = align_down(offset, least);
    uint64_t value = range->ops->read(range->device, start, least);
    return (value >> (8 * (offset - start))) & bytes_mask(size);
}

static void range_write(const struct range *range, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned least = range->ops->min_size;
    value &= bytes_mask(size);
    if (size >= least) {
        range->ops->write(range->device, offset, value, size);
        return;
    }
    uint64_t start = align_down(offset, least);
    range->ops->write(range->device, start, value << (8 * (offset - start)), least);
}

static void bus_watched(struct bus *bus, enum bus_space which, uint64_t address, uint64_t value,
                        unsigned size, bool write)
{
    const struct range *range = space_find(&bus->spaces[which], address);
    bus->watch(bus->watch_opaque, which, range ? range->ops->name : NULL, address,
               value & bytes_mask(size), size, write);
}

/* The range is looked up for every part: a write may map or unmap ranges. */
uint64_t bus_read(struct bus *bus, enum bus_space which, uint64_t address, unsigned size)
{
    uint64_t value = 0;

    bus_lock(bus);
    for (unsigned done = 0, part; done < size; done += part) {
        const struct range *range = space_find(&bus->spaces[which], address + done);
        uint64_t bytes = 0xff;
        part = 1;
        if (range) {
            uint64_t offset = address + done - range->base;
            part = range_part(range, offset, size - done);
            bytes = range_read(range, offset, part);
        }
        value |= bytes << (8 * done);
    }
    if (UNLIKELY(bus->watch != NULL))
        bus_watched(bus, which, address, value, size, false);
    bus_unlock(bus);
    return value;
}

void bus_write(struct bus *bus, enum bus_space which, uint64_t address, uint64_t value,
               unsigned size)
{
    bus_lock(bus);
    if (UNLIKELY(bus->watch != NULL))
        bus_watched(bus, which, address, value, size, true);
    for (unsigned done = 0, part; done < size; done += part) {
        const struct range *range = space_find(&bus->spaces[which], address + done);
        part = 1;
        if (range) {
            uint64_t offset = address + done - range->base;
            part = range_part(range, offset, size - done);
            range_write(range, offset, value >> (8 * done), part);
        }
    }
    bus_unlock(bus);
}

bool bus_range_at(const struct bus *bus, enum bus_space which, unsigned index,
                  struct bus_range *range)
{
    const struct space *space = &bus->spaces[which];
    if (index >= space->count)
        return false;
    const struct range *found = &space->ranges[index];
    *range = (struct bus_range){found->ops->name, found->base, found->size};
    return true;
}

bool bus_is_mapped(struct bus *bus, enum bus_space which, uint64_t address)
{
    bus_lock(bus);
    bool mapped = space_find(&bus->spaces[which], address) != NULL;
    bus_unlock(bus);
    return mapped;
}

void bus_set_watch(struct bus *bus, bus_watch_fn *fn, void *opaque)
{
    bus->watch = fn;
    bus->watch_opaque = opaque;
}
