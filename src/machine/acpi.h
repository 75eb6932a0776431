/* ACPI tables for direct boot: RSDP, XSDT, FADT, FACS, DSDT, MADT, HPET. */
#ifndef DOPPEL_MACHINE_ACPI_H
#define DOPPEL_MACHINE_ACPI_H

#include "base/error.h"
#include "base/types.h"

struct phys_map;

struct acpi_config {
    unsigned cpus; /* local APIC IDs 0 to cpus - 1 */
};

/* Writes the tables to ACPI_BASE and what follows; *rsdp is the root pointer's address. */
bool acpi_write_tables(struct phys_map *phys, const struct acpi_config *config, gpa_t *rsdp,
                       struct error *error);

#endif
