#include "mmu/phys.h"

static bool dma_read(void *map, uint64_t address, void *data, uint64_t size)
{
    return phys_read(map, address, data, size);
}

static bool dma_write(void *map, uint64_t address, const void *data, uint64_t size)
{
    return phys_write(map, address, data, size);
}

static void *dma_map(void *map, uint64_t address, uint64_t *size)
{
    const struct phys_region *region = phys_find(map, address);
    if (!region || region->kind != PHYS_RAM)
        return NULL;
    uint64_t offset = address - region->base;
    if (*size > region->size - offset)
        *size = region->size - offset;
    return region->host + offset;
}

static void dma_written(void *map, uint64_t address, uint64_t size)
{
    for (uint64_t done = 0, chunk; done < size; done += chunk) {
        chunk = PAGE_SIZE - ((address + done) & ~PAGE_MASK);
        if (chunk > size - done)
            chunk = size - done;
        phys_code_written(map, address + done, (unsigned)chunk);
        const struct phys_region *region = phys_find(map, address + done);
        if (region)
            phys_note_written(region, address + done);
    }
}

struct dma phys_dma(struct phys_map *map)
{
    static const struct dma_ops ops = {dma_read, dma_write, dma_map, dma_written};
    return (struct dma){&ops, map};
}
