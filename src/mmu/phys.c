#include "mmu/phys.h"

#include "base/bits.h"
#include "bus/bus.h"
#include "host/memory.h"

#include <stdlib.h>

#define REGIONS_MAX 32

/* A handful of regions, searched in the order they were added: the board adds RAM first. */
struct phys_map {
    struct bus *bus;
    phys_code_written_fn *code_written;
    void *opaque;
    unsigned count;
    struct phys_region region[REGIONS_MAX];
};

static size_t marks_size(const struct phys_region *region)
{
    return region->size / PAGE_SIZE * sizeof(*region->code);
}

static size_t pointers_size(const struct phys_region *region)
{
    return region->size / PAGE_SIZE * sizeof(*region->code_bytes);
}

struct phys_map *phys_create(struct bus *bus)
{
    struct phys_map *map = calloc(1, sizeof(*map));
    if (map)
        map->bus = bus;
    return map;
}

void phys_destroy(struct phys_map *map)
{
    if (!map)
        return;
    for (unsigned i = 0; i < map->count; i++) {
        struct phys_region *region = &map->region[i];
        host_memory_unmap(region->host, region->size);
        if (region->kind == PHYS_RAM) {
            host_memory_unmap(region->code, marks_size(region));
            host_memory_unmap(region->code_bytes, pointers_size(region));
        }
    }
    free(map);
}

static bool check_region(struct phys_map *map, gpa_t base, uint64_t size, struct error *error)
{
    if (!size || (base | size) & ~PAGE_MASK || base + size < base)
        return error_set(error, "memory at 0x%llx of 0x%llx bytes is not made of whole pages",
                         (unsigned long long)base, (unsigned long long)size);
    for (unsigned i = 0; i < map->count; i++) {
        const struct phys_region *other = &map->region[i];
        if (base < other->base + other->size && other->base < base + size)
            return error_set(error, "memory at 0x%llx of 0x%llx bytes overlaps that at 0x%llx",
                             (unsigned long long)base, (unsigned long long)size,
                             (unsigned long long)other->base);
    }
    if (map->count == REGIONS_MAX)
        return error_set(error, "more than %d regions of memory", REGIONS_MAX);
    return true;
}

static struct phys_region *add_region(struct phys_map *map, enum phys_kind kind, gpa_t base,
                                      uint64_t size, struct error *error)
{
    if (!check_region(map, base, size, error))
        return NULL;
    struct phys_region region = {.kind = kind, .base = base, .size = size};
    region.host = host_memory_map(size);
    if (region.host && kind == PHYS_RAM) {
        region.code = host_memory_map(marks_size(&region));
        region.code_bytes = host_memory_map(pointers_size(&region));
    }
    if (!region.host || (kind == PHYS_RAM && (!region.code || !region.code_bytes))) {
        host_memory_unmap(region.host, size);
        host_memory_unmap(region.code, marks_size(&region));
        host_memory_unmap(region.code_bytes, pointers_size(&region));
        error_set(error, "the host has no %llu MiB of memory for the guest: give it less",
                  (unsigned long long)(size >> 20));
        return NULL;
    }
    map->region[map->count] = region;
    return &map->region[map->count++];
}

struct phys_region *phys_add_ram(struct phys_map *map, gpa_t base, uint64_t size,
                                 struct error *error)
{
    return add_region(map, PHYS_RAM, base, size, error);
}

struct phys_region *phys_add_rom(struct phys_map *map, gpa_t base, uint64_t size,
                                 const void *contents, size_t contents_size, struct error *error)
{
    if (contents_size > size) {
        error_set(error, "a ROM of %zu bytes does not fit the %llu bytes at 0x%llx", contents_size,
                  (unsigned long long)size, (unsigned long long)base);
        return NULL;
    }
    struct phys_region *region = add_region(map, PHYS_ROM, base, size, error);
    if (region && contents_size)
        memcpy(region->host, contents, contents_size);
    return region;
}

struct phys_region *phys_find(struct phys_map *map, gpa_t gpa)
{
    for (unsigned i = 0; i < map->count; i++) {
        struct phys_region *region = &map->region[i];
        if (gpa - region->base < region->size)
            return region;
    }
    return NULL;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool phys_read(struct phys_map *map, gpa_t gpa, void *data, uint64_t size)
{
    bool all = true;
    uint8_t *out = data;
    while (size) {
        const struct phys_region *region = phys_find(map, gpa);
        uint64_t chunk;
        if (region) {
            chunk = min_u64(size, region->base + region->size - gpa);
            memcpy(out, region->host + (gpa - region->base), chunk);
        } else {
            chunk = min_u64(size, PAGE_SIZE - (gpa & ~PAGE_MASK));
            memset(out, 0xff, chunk);
            all = false;
        }
        gpa += chunk;
        out += chunk;
        size -= chunk;
    }
    return all;
}

bool phys_write(struct phys_map *map, gpa_t gpa, const void *data, uint64_t size)
{
    bool all = true;
    const uint8_t *in = data;
    while (size) {
        const struct phys_region *region = phys_find(map, gpa);
        uint64_t chunk = min_u64(size, PAGE_SIZE - (gpa & ~PAGE_MASK));
        if (region && region->kind == PHYS_RAM) {
            uint8_t *out = region->host + (gpa - region->base);
            if (!phys_region_has_code(region, gpa) || memcmp(out, in, chunk) != 0) {
                memcpy(out, in, chunk);
                phys_code_written(map, gpa, (unsigned)chunk);
            }
        }
        all &= region != NULL;
        gpa += chunk;
        in += chunk;
        size -= chunk;
    }
    return all;
}

void *phys_ram_pointer(struct phys_map *map, gpa_t gpa, uint64_t size)
{
    struct phys_region *region = phys_find(map, gpa);
    if (!region || region->kind != PHYS_RAM || size > region->size - (gpa - region->base))
        return NULL;
    return region->host + (gpa - region->base);
}

uint64_t phys_mmio_read(struct phys_map *map, gpa_t gpa, unsigned size)
{
    return bus_read(map->bus, BUS_MMIO, gpa, size);
}

void phys_mmio_write(struct phys_map *map, gpa_t gpa, uint64_t value, unsigned size)
{
    bus_write(map->bus, BUS_MMIO, gpa, value, size);
}

/* The bitmap of the page of gpa, or NULL where writes cannot hit code. */
static uint64_t *code_bitmap(struct phys_map *map, gpa_t gpa)
{
    struct phys_region *region = phys_find(map, gpa);
    if (!region || !region->code)
        return NULL;
    return &region->code[(gpa - region->base) >> PAGE_SHIFT];
}

bool phys_mark_code(struct phys_map *map, gpa_t gpa, unsigned size)
{
    uint64_t *bitmap = code_bitmap(map, gpa);
    uint64_t granules = phys_granules(gpa, size);
    if (!bitmap || !(granules & ~__atomic_load_n(bitmap, __ATOMIC_RELAXED)))
        return false;
    return __atomic_fetch_or(bitmap, granules, __ATOMIC_SEQ_CST) == 0;
}

void phys_keep_code(struct phys_map *map, gpa_t page, uint64_t granules)
{
    uint64_t *bitmap = code_bitmap(map, page);
    if (bitmap)
        __atomic_fetch_and(bitmap, granules, __ATOMIC_SEQ_CST);
}

bool phys_page_has_code(struct phys_map *map, gpa_t gpa)
{
    const struct phys_region *region = phys_find(map, gpa);
    return region && phys_region_has_code(region, gpa);
}

bool phys_code_written(struct phys_map *map, gpa_t gpa, unsigned size)
{
    /* The data first, then the look at the marks: see phys_mark_code(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const uint64_t *bitmap = code_bitmap(map, gpa);
    if (!bitmap || !(__atomic_load_n(bitmap, __ATOMIC_RELAXED) & phys_granules(gpa, size)))
        return false;
    if (map->code_written)
        map->code_written(map->opaque, gpa, size);
    return true;
}

void phys_set_code_bytes(struct phys_map *map, gpa_t page, const uint8_t *bytes)
{
    struct phys_region *region = phys_find(map, page);
    if (region && region->code_bytes)
        region->code_bytes[(page - region->base) >> PAGE_SHIFT] = bytes;
}

/* Whether the bitmap has a bit in [start, start + size). */
static bool has_bits(const uint8_t *bitmap, unsigned start, unsigned size)
{
    for (unsigned done = 0; done < size; done += 32) {
        uint64_t bits = load_le(bitmap + (start + done) / 8, 8) >> (start + done) % 8;
        unsigned left = size - done;
        if (bits & (left < 32 ? BIT(left) - 1 : UINT32_MAX))
            return true;
    }
    return false;
}

bool phys_is_beside_code(struct phys_map *map, gpa_t gpa, unsigned size)
{
    const struct phys_region *region = phys_find(map, gpa);
    const uint8_t *bytes = region && region->code_bytes
                               ? region->code_bytes[(gpa - region->base) >> PAGE_SHIFT]
                               : NULL;
    return bytes && !has_bits(bytes, (unsigned)(gpa & ~PAGE_MASK), size);
}

bool phys_code_stored(struct phys_map *map, gpa_t gpa, unsigned size)
{
    return !phys_is_beside_code(map, gpa, size) && phys_code_written(map, gpa, size);
}

void phys_set_code_listener(struct phys_map *map, phys_code_written_fn *fn, void *opaque)
{
    map->code_written = fn;
    map->opaque = opaque;
}
