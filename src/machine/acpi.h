/* ACPI tables: FADT, FACS, DSDT, MADT, HPET under an XSDT and an RSDT, and the RSDP.
 *
 * They are made free of addresses, with a list of what depends on where they go. Direct boot
 * places them itself; firmware does so by the table loader's commands (QEMU's specification
 * bios-linker-loader). */
#ifndef DOPPEL_MACHINE_ACPI_H
#define DOPPEL_MACHINE_ACPI_H

#include "base/error.h"
#include "base/types.h"

struct fw_cfg;
struct pci_bus;
struct phys_map;

struct acpi_config {
    unsigned cpus;       /* local APIC IDs 0 to cpus - 1 */
    uint64_t memory;     /* the guest's RAM in bytes */
    struct pci_bus *pci; /* where power management's ports are; NULL: at ACPI_PM_PORT */
};

#define ACPI_RSDP_SIZE 36u

/* A pointer in the RSDP or the tables: its value is an offset into the tables. */
struct acpi_pointer {
    bool in_rsdp;
    uint8_t size; /* 4 or 8 */
    uint32_t at;
};

/* The byte at `at` makes the bytes [start, start + size) of the same blob sum to zero. */
struct acpi_checksum {
    bool in_rsdp;
    uint32_t at, start, size;
};

struct acpi_tables {
    uint8_t rsdp[ACPI_RSDP_SIZE];
    uint8_t data[0x4000];
    uint32_t size;
    struct acpi_pointer pointer[32];
    unsigned pointers;
    struct acpi_checksum checksum[16]; /* in the order in which to compute them */
    unsigned checksums;
};

bool acpi_make_tables(struct acpi_tables *tables, const struct acpi_config *config,
                      struct error *error);

/* Makes the tables and writes them to ACPI_BASE and what follows; *rsdp is the root pointer's
 * address. */
bool acpi_write_tables(struct phys_map *phys, const struct acpi_config *config, gpa_t *rsdp,
                       struct error *error);

/* Makes the tables and adds them, with the loader's commands, to the firmware's files. config
 * outlives fw_cfg: the tables are made anew when they are read, as firmware moves ports. */
bool acpi_add_files(struct fw_cfg *fw_cfg, const struct acpi_config *config, struct error *error);

#endif
