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
    if (!phys_add_ram(phys, HIGH_BASE, low - HIGH_BASE, error) ||
        !phys_add_ram(phys, 0, VGA_BASE, error))
        return false;
    return memory == low || phys_add_ram(phys, HIGH_RAM_BASE, memory - low, error);
}

bool memory_map_add_firmware(struct phys_map *phys, const struct file_data *firmware,
                             struct error *error)
{
    return phys_add_rom(phys, HIGH_RAM_BASE - firmware->size, firmware->size, firmware->bytes,
                        firmware->size, error);
}

bool memory_map_add_windows(struct phys_map *phys, const struct file_data *firmware,
                            struct memory_windows *windows, struct error *error)
{
    gpa_t lowest = HIGH_BASE - (firmware ? firmware->size : 0);
    if (lowest < BIOS_SHADOW_BASE)
        lowest = BIOS_SHADOW_BASE;
    for (unsigned i = 0; i < I440FX_SEGMENTS; i++) {
        gpa_t base = i440fx_segment_base(i);
        const uint8_t *rom = NULL;
        if (firmware && base >= lowest)
            rom = firmware->bytes + firmware->size - (HIGH_BASE - base);
        windows->segment[i] = phys_add_window(phys, base, i440fx_segment_size(i), rom, error);
        if (!windows->segment[i])
            return false;
    }
    windows->smram = phys_add_window(phys, VGA_BASE, VGA_LIMIT - VGA_BASE, NULL, error);
    return windows->smram;
}
