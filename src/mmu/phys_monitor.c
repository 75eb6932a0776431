/* The line that MONITOR watches. */
#include "base/bits.h"
#include "mmu/phys_internal.h"

#include <stdatomic.h>

bool phys_monitor(struct phys_map *map, gpa_t gpa)
{
    const struct phys_region *region = phys_find(map, gpa);
    bool is_ram = region && region->kind == PHYS_RAM && !region->direct;
    map->memory->monitored = is_ram ? align_down(gpa, PHYS_CODE_GRANULE) : PHYS_NO_GRANULE;
    return is_ram && phys_mark_code(map, gpa, 1);
}

bool phys_end_monitor(struct phys_map *map)
{
    if (!phys_is_monitoring(map))
        return false;
    return atomic_exchange(&map->memory->monitored, PHYS_NO_GRANULE) != PHYS_NO_GRANULE;
}

bool phys_is_monitoring(const struct phys_map *map)
{
    return atomic_load_explicit(&map->memory->monitored, memory_order_relaxed) != PHYS_NO_GRANULE;
}

bool phys_is_monitored(const struct phys_map *map, gpa_t gpa, unsigned size)
{
    gpa_t line = atomic_load_explicit(&map->memory->monitored, memory_order_relaxed);
    return line != PHYS_NO_GRANULE && gpa < line + PHYS_CODE_GRANULE && line < gpa + size;
}

void phys_hit_monitor(struct phys_map *map, gpa_t gpa, unsigned size)
{
    if (phys_is_monitored(map, gpa, size) && phys_end_monitor(map) && map->memory->monitor_hit)
        map->memory->monitor_hit(map->memory->monitor_opaque);
}

void phys_set_monitor_listener(struct phys_map *map, phys_monitor_fn *fn, void *opaque)
{
    map->memory->monitor_hit = fn;
    map->memory->monitor_opaque = opaque;
}
