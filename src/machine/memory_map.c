#include "machine/memory_map.h"

#include "mmu/phys.h"

unsigned memory_map_e820(uint64_t memory, struct e820_entry map[E820_MAX])
{
    uint64_t low = memory_map_low(memory);
    unsigned count = 0;
    map[count++] = (struct e820_entry){0, EBDA_BASE, E820_RAM};
    map[count++] = (struct e820_entry){EBDA_BASE, VGA_BASE - EBDA_BASE, E820_RESERVED};
    map[count++] = (struct e820_entry){ACPI_BASE, ACPI_LIMIT - ACPI_BASE, E820_RESERVED};
    map[count++] = (struct e820_entry){HIGH_BASE, low - HIGH_BASE, E820_RAM};
    if (memory > low)
        map[count++] = (struct e820_entry){HIGH_RAM_BASE, memory - low, E820_RAM};
    return count;
}

bool memory_map_add_ram(struct phys_map *phys, uint64_t memory, struct error *error)
{
    uint64_t low = memory_map_low(memory);
    if (!phys_add_ram(phys, 0, VGA_BASE, error) ||
        !phys_add_ram(phys, ACPI_BASE, low - ACPI_BASE, error))
        return false;
    return memory == low || phys_add_ram(phys, HIGH_RAM_BASE, memory - low, error);
}
