/* Memory of devices that is shown to the guest: bus/direct_ram.h. */
#include "host/memory.h"
#include "mmu/phys_internal.h"

struct phys_region *phys_find_place(struct phys_memory *memory, gpa_t gpa)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        struct phys_region *region = &memory->place[i].region;
        if (gpa - region->base < region->size)
            return region;
    }
    return NULL;
}

static void free_tracking(struct phys_place *place)
{
    host_memory_unmap(place->marks, place->pages * sizeof(*place->marks));
    host_memory_unmap(place->bytes, place->pages * sizeof(*place->bytes));
    place->marks = NULL;
    place->bytes = NULL;
    place->pages = 0;
}

void phys_free_places(struct phys_memory *memory)
{
    for (unsigned i = 0; i < PLACES_MAX; i++)
        free_tracking(&memory->place[i]);
}

static bool reserve_tracking(struct phys_place *place, size_t pages)
{
    if (place->pages >= pages)
        return true;
    free_tracking(place);
    place->pages = pages;
    place->marks = host_memory_map(pages * sizeof(*place->marks));
    place->bytes = host_memory_map(pages * sizeof(*place->bytes));
    if (place->marks && place->bytes)
        return true;
    free_tracking(place);
    return false;
}

/* The region of a window in whose range the place lies, which tracks code whatever it shows. */
static struct phys_region *window_around(struct phys_memory *memory, gpa_t base, uint64_t size)
{
    for (unsigned i = 0; i < memory->windows; i++) {
        struct phys_region *ram = &memory->window[i].ram;
        if (base - ram->base < ram->size && size <= ram->size - (base - ram->base))
            return ram;
    }
    return NULL;
}

/* Where the place tracks code. False: the host has no memory. */
static bool track(struct phys_memory *memory, struct phys_place *place)
{
    struct phys_region *region = &place->region;
    const struct phys_region *around = window_around(memory, region->base, region->size);
    if (around) {
        uint64_t page = (region->base - around->base) >> PAGE_SHIFT;
        region->code = around->code + page;
        region->code_bytes = around->code_bytes + page;
        return true;
    }
    if (!reserve_tracking(place, region->size >> PAGE_SHIFT))
        return false;
    region->code = place->marks;
    region->code_bytes = place->bytes;
    return true;
}

static void tell_switched(struct phys_memory *memory)
{
    if (memory->switched)
        memory->switched(memory->switched_opaque);
}

/* Code that was decoded there goes; its marks with it, as they belong to the address. */
static void drop_code(struct phys_memory *memory, struct phys_place *place)
{
    struct phys_region *region = &place->region;
    bool own = region->code == place->marks;
    for (uint64_t page = 0; page < region->size >> PAGE_SHIFT; page++) {
        if (!__atomic_load_n(&region->code[page], __ATOMIC_RELAXED))
            continue;
        if (memory->code_written)
            memory->code_written(memory->opaque, region->base + (page << PAGE_SHIFT), PAGE_SIZE);
        if (own) {
            region->code[page] = 0;
            region->code_bytes[page] = NULL;
        }
    }
}

static struct phys_place *place_of(struct phys_memory *memory, const struct direct_ram *ram)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        if (memory->place[i].region.direct == ram)
            return &memory->place[i];
    }
    return NULL;
}

static void hide(void *opaque, const struct direct_ram *ram)
{
    struct phys_map *map = opaque;
    struct phys_place *place = place_of(map->memory, ram);
    if (!place)
        return;
    drop_code(map->memory, place);
    place->region = (struct phys_region){.kind = PHYS_ABSENT};
    tell_switched(map->memory);
}

static bool show(void *opaque, const struct direct_ram *ram, uint64_t base)
{
    struct phys_map *map = opaque;
    hide(map, ram);
    struct phys_place *place = place_of(map->memory, NULL);
    if (!place)
        return false;
    place->region = (struct phys_region){.kind = ram->written ? PHYS_RAM : PHYS_ROM,
                                         .base = base,
                                         .size = ram->size,
                                         .host = ram->bytes,
                                         .direct = ram};
    if (!track(map->memory, place)) {
        place->region = (struct phys_region){.kind = PHYS_ABSENT};
        return false;
    }
    tell_switched(map->memory);
    return true;
}

static void rearm(void *opaque)
{
    struct phys_map *map = opaque;
    if (map->memory->rearm)
        map->memory->rearm(map->memory->rearm_opaque);
}

struct direct_memory phys_direct(struct phys_map *map)
{
    static const struct direct_memory_ops ops = {show, hide, rearm};
    return (struct direct_memory){&ops, map};
}
