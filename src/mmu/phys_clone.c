/* Second maps of the same memory, for lockstep runs. */
#include "base/bits.h"
#include "mmu/phys_internal.h"

static bool clone_memory(struct phys_map *clone, const struct phys_memory *memory,
                         struct error *error)
{
    for (unsigned i = 0; i < memory->count; i++) {
        const struct phys_region *region = &memory->region[i];
        if (!phys_add_region(clone, region->kind, region->base, region->size, error))
            return false;
    }
    for (unsigned i = 0; i < memory->windows; i++) {
        const struct phys_window *window = &memory->window[i];
        if (!phys_add_window(clone, window->ram.base, window->ram.size,
                             window->on_bus ? NULL : window->rom, error))
            return false;
    }
    return true;
}

struct phys_map *phys_clone(const struct phys_map *map, struct bus *bus, struct error *error)
{
    struct phys_map *clone = phys_create(bus);
    if (!clone) {
        error_format(error, "the host has no memory for a second map of the guest's");
        return NULL;
    }
    if (clone_memory(clone, map->memory, error))
        return clone;
    phys_destroy(clone);
    return NULL;
}

/* Memory that was never touched stays so. */
static void copy_region(const struct phys_region *to, const struct phys_region *from)
{
    for (uint64_t at = 0; at < to->size; at += PAGE_SIZE) {
        if (memcmp(to->host + at, from->host + at, PAGE_SIZE) != 0)
            memcpy(to->host + at, from->host + at, PAGE_SIZE);
    }
}

void phys_copy(struct phys_map *to, const struct phys_map *from)
{
    for (unsigned i = 0; i < to->memory->count; i++)
        copy_region(&to->memory->region[i], &from->memory->region[i]);
    for (unsigned i = 0; i < to->memory->windows; i++)
        copy_region(&to->memory->window[i].ram, &from->memory->window[i].ram);
    phys_follow(to, from);
}

void phys_follow(struct phys_map *to, const struct phys_map *from)
{
    if (LIKELY(to->memory->switches == from->memory->switches))
        return;
    for (unsigned i = 0; i < to->memory->windows; i++) {
        const unsigned *shown = from->memory->window[i].shown;
        phys_switch_window(to, &to->memory->window[i], shown[VIEW_NORMAL], shown[VIEW_SMM]);
    }
    to->memory->switches = from->memory->switches;
}

static bool differs(const struct phys_region *a, const struct phys_region *b, gpa_t *gpa)
{
    if (memcmp(a->host, b->host, a->size) == 0)
        return false;
    uint64_t at = 0;
    while (a->host[at] == b->host[at])
        at++;
    *gpa = a->base + at;
    return true;
}

bool phys_differ(const struct phys_map *a, const struct phys_map *b, gpa_t *gpa)
{
    for (unsigned i = 0; i < a->memory->count; i++) {
        if (differs(&a->memory->region[i], &b->memory->region[i], gpa))
            return true;
    }
    for (unsigned i = 0; i < a->memory->windows; i++) {
        if (differs(&a->memory->window[i].ram, &b->memory->window[i].ram, gpa))
            return true;
    }
    return false;
}
