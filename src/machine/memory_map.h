/* Where things are in the guest's physical memory (as QEMU's pc has them). */
#ifndef DOPPEL_MACHINE_MEMORY_MAP_H
#define DOPPEL_MACHINE_MEMORY_MAP_H

#include "base/error.h"
#include "base/types.h"
#include "devices/pci/i440fx.h"
#include "host/file.h"

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
#define SMBIOS_BASE 0xf0000ull
#define ACPI_LIMIT 0x100000ull
#define VGA_LIMIT 0xc0000ull
#define BIOS_SHADOW_BASE 0xe0000ull /* the firmware's last 128 KiB, while RAM does not hide it */
#define BIOS_SHADOW_SIZE (HIGH_BASE - BIOS_SHADOW_BASE)
#define HIGH_BASE (1 * MIB)

#define LOW_RAM_LIMIT (3 * GIB) /* RAM beyond it goes on at 4 GiB */
#define HIGH_RAM_BASE (4 * GIB)

#define MEMORY_MIN (4 * MIB)

/* Firmware ends at 4 GiB: one FIRMWARE_UNIT, or whole pages from BIOS_SHADOW_SIZE to FIRMWARE_MAX.
 * A store of UEFI variables ends where it begins. */
#define FIRMWARE_UNIT (64 * KIB)
#define FIRMWARE_MAX (8 * MIB)
#define UEFI_VARS_MAX (1 * MIB)

/* BIOS address-range types (ACPI 15.1). */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_entry {
    uint64_t base, size;
    uint32_t type;
} __attribute__((packed));

#define E820_MAX 8

/* Fills map with the ranges of a guest with `memory` bytes of RAM and returns their count. */
unsigned memory_map_e820(uint64_t memory, struct e820_entry map[E820_MAX]);

/* Where PCI's memory may be (as OVMF has it): from the end of the low RAM, or 2 GiB, to the I/O
 * APIC; and above all RAM. */
#define PCI_HOLE_LIMIT 0xfec00000ull
#define PCI_HIGH_SIZE (32 * GIB)

static inline gpa_t memory_map_pci_hole(uint64_t memory)
{
    const uint64_t least = 2 * GIB;
    return memory < least ? least : memory < LOW_RAM_LIMIT ? memory : LOW_RAM_LIMIT;
}

static inline gpa_t memory_map_pci_high(uint64_t memory)
{
    uint64_t end = memory > LOW_RAM_LIMIT ? HIGH_RAM_BASE + memory - LOW_RAM_LIMIT : HIGH_RAM_BASE;
    return (end + PCI_HIGH_SIZE - 1) / PCI_HIGH_SIZE * PCI_HIGH_SIZE;
}

/* Bytes of RAM below 4 GiB. */
static inline uint64_t memory_map_low(uint64_t memory)
{
    return memory < LOW_RAM_LIMIT ? memory : LOW_RAM_LIMIT;
}

struct phys_map;
struct phys_window;

/* Adds the guest's RAM to the map, but for that from VGA_BASE to HIGH_BASE. */
bool memory_map_add_ram(struct phys_map *phys, uint64_t memory, struct error *error);

/* The RAM from VGA_BASE to HIGH_BASE, hidden at first; the segments are the host bridge's. */
struct memory_windows {
    struct phys_window *smram, *segment[I440FX_SEGMENTS];
};

/* firmware, or NULL, is what ends at 4 GiB and, its last BIOS_SHADOW_SIZE bytes, at HIGH_BASE; of
 * the sizes that there are. */
bool memory_map_add_firmware(struct phys_map *phys, const struct file_data *firmware,
                             struct error *error);
bool memory_map_add_windows(struct phys_map *phys, const struct file_data *firmware,
                            struct memory_windows *windows, struct error *error);

#endif
