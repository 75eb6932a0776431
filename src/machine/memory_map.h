/* Where things are in the guest's physical memory (as QEMU's pc has them). */
#ifndef DOPPEL_MACHINE_MEMORY_MAP_H
#define DOPPEL_MACHINE_MEMORY_MAP_H

#include "base/error.h"
#include "base/types.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Low memory, as direct boot uses it. */
#define BOOT_GDT_BASE 0x1000ull
#define BOOT_INFO_BASE 0x2000ull /* boot_params, Multiboot information, or PVH start info */
#define BOOT_INFO_LIMIT 0x9000ull
#define BOOT_PAGE_TABLES_BASE 0x9000ull /* PML4, PDPT, four page directories */
#define BOOT_CMDLINE_BASE 0x20000ull
#define BOOT_CMDLINE_LIMIT 0x30000ull

#define EBDA_BASE 0x9fc00ull
#define VGA_BASE 0xa0000ull
#define ACPI_BASE 0xe0000ull /* RSDP and tables; reserved in the e820 map */
#define ACPI_LIMIT 0x100000ull
#define HIGH_BASE (1 * MIB)

#define LOW_RAM_LIMIT (3 * GIB) /* RAM beyond it goes on at 4 GiB */
#define HIGH_RAM_BASE (4 * GIB)

#define MEMORY_MIN (4 * MIB)

/* BIOS address-range types (ACPI 15.1). */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));

#define E820_MAX 8

/* Fills map with the ranges of a guest with `memory` bytes of RAM and returns their count. */
unsigned memory_map_e820(uint64_t memory, struct e820_entry map[E820_MAX]);

/* Bytes of RAM below 4 GiB. */
static inline uint64_t memory_map_low(uint64_t memory)
{
    return memory < LOW_RAM_LIMIT ? memory : LOW_RAM_LIMIT;
}

struct phys_map;
/* Adds the guest's RAM to the map. */
bool memory_map_add_ram(struct phys_map *phys, uint64_t memory, struct error *error);

#endif
