#include "mmu/phys_internal.h"

#include "base/bits.h"
#include "bus/bus.h"
#include "host/memory.h"

#include <stdlib.h>

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
    struct phys_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return NULL;
    memory->bus = bus;
    memory->monitored = PHYS_NO_GRANULE;
    for (unsigned view = 0; view < VIEWS; view++)
        memory->map[view] = (struct phys_map){memory, view};
    return &memory->map[VIEW_NORMAL];
}

struct phys_map *phys_view(struct phys_map *map, bool smm)
{
    return &map->memory->map[smm ? VIEW_SMM : VIEW_NORMAL];
}

static void free_region(struct phys_region *region)
{
    host_memory_unmap(region->host, region->size);
    if (region->kind != PHYS_RAM)
        return;
    host_memory_unmap(region->code, marks_size(region));
    host_memory_unmap(region->code_bytes, pointers_size(region));
}

static void free_window(struct phys_window *window)
{
    host_memory_unmap(window->rom, window->ram.size);
    free_region(&window->ram);
}

void phys_destroy(struct phys_map *map)
{
    if (!map)
        return;
    struct phys_memory *memory = map->memory;
    for (unsigned i = 0; i < memory->count; i++)
        free_region(&memory->region[i]);
    for (unsigned i = 0; i < memory->windows; i++)
        free_window(&memory->window[i]);
    phys_free_places(memory);
    free(memory);
}

static bool overlaps(const struct phys_region *region, gpa_t base, uint64_t size,
                     struct error *error)
{
    if (base >= region->base + region->size || region->base >= base + size)
        return false;
    error_format(error, "memory at 0x%llx of 0x%llx bytes overlaps that at 0x%llx",
                 (unsigned long long)base, (unsigned long long)size,
                 (unsigned long long)region->base);
    return true;
}

static bool check_region(const struct phys_memory *memory, gpa_t base, uint64_t size,
                         struct error *error)
{
    if (!size || (base | size) & ~PAGE_MASK || base + size < base)
        return error_set(error, "memory at 0x%llx of 0x%llx bytes is not made of whole pages",
                         (unsigned long long)base, (unsigned long long)size);
    for (unsigned i = 0; i < memory->count; i++) {
        if (overlaps(&memory->region[i], base, size, error))
            return false;
    }
    for (unsigned i = 0; i < memory->windows; i++) {
        if (overlaps(&memory->window[i].ram, base, size, error))
            return false;
    }
    return true;
}

/* False: the host has no memory for it. */
static bool create_region(struct phys_region *region, enum phys_kind kind, gpa_t base,
                          uint64_t size, struct error *error)
{
    *region = (struct phys_region){.kind = kind, .base = base, .size = size};
    region->host = host_memory_map(size);
    if (region->host && kind == PHYS_RAM) {
        region->code = host_memory_map(marks_size(region));
        region->code_bytes = host_memory_map(pointers_size(region));
    }
    if (region->host && (kind != PHYS_RAM || (region->code && region->code_bytes)))
        return true;
    free_region(region);
    return error_set(error, "the host has no %llu MiB of memory for the guest: give it less",
                     (unsigned long long)(size >> 20));
}

struct phys_region *phys_add_region(struct phys_map *map, enum phys_kind kind, gpa_t base,
                                    uint64_t size, struct error *error)
{
    struct phys_memory *memory = map->memory;
    if (!check_region(memory, base, size, error))
        return NULL;
    if (memory->count == REGIONS_MAX) {
        error_format(error, "more than %d regions of memory", REGIONS_MAX);
        return NULL;
    }
    struct phys_region *region = &memory->region[memory->count];
    if (!create_region(region, kind, base, size, error))
        return NULL;
    memory->count++;
    return region;
}

struct phys_region *phys_add_ram(struct phys_map *map, gpa_t base, uint64_t size,
                                 struct error *error)
{
    return phys_add_region(map, PHYS_RAM, base, size, error);
}

struct phys_region *phys_add_rom(struct phys_map *map, gpa_t base, uint64_t size,
                                 const void *contents, size_t contents_size, struct error *error)
{
    if (contents_size > size) {
        error_set(error, "a ROM of %zu bytes does not fit the %llu bytes at 0x%llx", contents_size,
                  (unsigned long long)size, (unsigned long long)base);
        return NULL;
    }
    struct phys_region *region = phys_add_region(map, PHYS_ROM, base, size, error);
    if (region && contents_size)
        memcpy(region->host, contents, contents_size);
    return region;
}

/* What a view of the window is when as much of its RAM is shown. */
static void show(struct phys_window *window, unsigned view, unsigned shown)
{
    bool readable = shown & PHYS_READABLE, writable = shown & PHYS_WRITABLE;
    window->shown[view] = shown;
    struct phys_region region = {.base = window->ram.base, .size = window->ram.size};
    if (readable && writable)
        region = window->ram;
    else if (readable || writable || !window->on_bus)
        region.kind = PHYS_ROM;
    if (region.kind == PHYS_ROM) {
        region.host = readable ? window->ram.host : window->rom;
        region.sink = writable ? window->ram.host : NULL;
    }
    window->region[view] = region;
}

struct phys_window *phys_add_window(struct phys_map *map, gpa_t base, uint64_t size,
                                    const void *rom, struct error *error)
{
    struct phys_memory *memory = map->memory;
    if (!check_region(memory, base, size, error))
        return NULL;
    if (memory->windows == WINDOWS_MAX) {
        error_format(error, "more than %d windows of memory", WINDOWS_MAX);
        return NULL;
    }
    struct phys_window *window = &memory->window[memory->windows];
    if (!create_region(&window->ram, PHYS_RAM, base, size, error))
        return NULL;
    window->rom = host_memory_map(size);
    if (!window->rom) {
        free_region(&window->ram);
        error_format(error, "the host has no memory for a window of the guest's");
        return NULL;
    }
    window->on_bus = !rom;
    if (rom)
        memcpy(window->rom, rom, size);
    else
        memset(window->rom, 0xff, size);
    for (unsigned view = 0; view < VIEWS; view++)
        show(window, view, PHYS_HIDDEN);
    memory->windows++;
    if (base + size > memory->windows_limit)
        memory->windows_limit = base + size;
    return window;
}

void phys_switch_window(struct phys_map *map, struct phys_window *window, unsigned shown,
                        unsigned shown_in_smm)
{
    struct phys_memory *memory = map->memory;
    const struct phys_region *region = &window->ram;
    show(window, VIEW_NORMAL, shown);
    show(window, VIEW_SMM, shown_in_smm);
    memory->switches++;
    for (uint64_t at = 0; memory->code_written && at < region->size; at += PAGE_SIZE)
        memory->code_written(memory->opaque, region->base + at, PAGE_SIZE);
    if (memory->switched)
        memory->switched(memory->switched_opaque);
}

struct phys_region *phys_find(struct phys_map *map, gpa_t gpa)
{
    struct phys_memory *memory = map->memory;
    for (unsigned i = 0; i < memory->count; i++) {
        struct phys_region *region = &memory->region[i];
        if (gpa - region->base < region->size)
            return region;
    }
    for (unsigned i = 0; gpa < memory->windows_limit && i < memory->windows; i++) {
        struct phys_region *region = &memory->window[i].region[map->view];
        if (gpa - region->base < region->size && region->kind != PHYS_ABSENT)
            return region;
    }
    return phys_find_place(memory, gpa);
}

const struct phys_region *phys_region_at(const struct phys_map *map, unsigned index)
{
    const struct phys_memory *memory = map->memory;
    if (index < memory->count)
        return &memory->region[index];
    index -= memory->count;
    for (unsigned i = 0; i < memory->windows; i++) {
        const struct phys_region *region = &memory->window[i].region[map->view];
        if (region->kind != PHYS_ABSENT && !index--)
            return region;
    }
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        const struct phys_region *region = &memory->place[i].region;
        if (region->size && !index--)
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
            if (!phys_region_has_code(region, gpa) || memcmp(out, in, chunk) != 0 ||
                phys_is_monitored(map, gpa, (unsigned)chunk)) {
                memcpy(out, in, chunk);
                phys_code_written(map, gpa, (unsigned)chunk);
                phys_note_written(region, gpa);
            }
        } else if (region && region->sink) {
            memcpy(region->sink + (gpa - region->base), in, chunk);
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
    return bus_read(map->memory->bus, BUS_MMIO, gpa, size);
}

void phys_mmio_write(struct phys_map *map, gpa_t gpa, uint64_t value, unsigned size)
{
    bus_write(map->memory->bus, BUS_MMIO, gpa, value, size);
}

/* Where code at gpa is tracked, or NULL where writes cannot hit it. A window's is tracked whatever
 * it shows, so that nothing stale comes back with its RAM. */
static struct phys_region *tracking_region(struct phys_map *map, gpa_t gpa)
{
    struct phys_memory *memory = map->memory;
    for (unsigned i = 0; gpa < memory->windows_limit && i < memory->windows; i++) {
        struct phys_region *ram = &memory->window[i].ram;
        if (gpa - ram->base < ram->size)
            return ram;
    }
    struct phys_region *region = phys_find(map, gpa);
    return region && region->code ? region : NULL;
}

/* The bitmap of the page of gpa, or NULL. */
static uint64_t *code_bitmap(struct phys_map *map, gpa_t gpa)
{
    struct phys_region *region = tracking_region(map, gpa);
    return region ? &region->code[(gpa - region->base) >> PAGE_SHIFT] : NULL;
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
    gpa_t monitored = map->memory->monitored;
    if ((monitored & PAGE_MASK) == page)
        granules |= phys_granules(monitored, PHYS_CODE_GRANULE);
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
    phys_hit_monitor(map, gpa, size);
    if (map->memory->code_written)
        map->memory->code_written(map->memory->opaque, gpa, size);
    return true;
}

void phys_set_code_bytes(struct phys_map *map, gpa_t page, const uint8_t *bytes)
{
    struct phys_region *region = tracking_region(map, page);
    if (region)
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
    if (!region || !region->code || region->direct || phys_is_monitored(map, gpa, size))
        return false;
    uint64_t page = (gpa - region->base) >> PAGE_SHIFT;
    const uint8_t *bytes = region->code_bytes[page];
    if (bytes)
        return !has_bits(bytes, (unsigned)(gpa & ~PAGE_MASK), size);
    return !(__atomic_load_n(&region->code[page], __ATOMIC_RELAXED) & phys_granules(gpa, size));
}

bool phys_code_stored(struct phys_map *map, gpa_t gpa, unsigned size)
{
    return !phys_is_beside_code(map, gpa, size) && phys_code_written(map, gpa, size);
}

void phys_set_code_listener(struct phys_map *map, phys_code_written_fn *fn, void *opaque)
{
    map->memory->code_written = fn;
    map->memory->opaque = opaque;
}

void phys_set_switch_listener(struct phys_map *map, phys_switched_fn *fn, void *opaque)
{
    map->memory->switched = fn;
    map->memory->switched_opaque = opaque;
}

void phys_set_rearm_listener(struct phys_map *map, phys_rearm_fn *fn, void *opaque)
{
    map->memory->rearm = fn;
    map->memory->rearm_opaque = opaque;
}
