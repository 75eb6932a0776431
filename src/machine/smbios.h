/* SMBIOS tables (DSP0134, version 2.8), for firmware to place, or placed for direct boot. */
#ifndef DOPPEL_MACHINE_SMBIOS_H
#define DOPPEL_MACHINE_SMBIOS_H

#include "base/error.h"
#include "base/types.h"

struct fw_cfg;
struct phys_map;

/* Adds the structures and their entry point to the firmware's files. */
bool smbios_add_files(struct fw_cfg *fw_cfg, uint64_t memory, unsigned cpus, struct error *error);

/* Writes them to SMBIOS_BASE, where systems look for the entry point, and what follows. */
bool smbios_write_tables(struct phys_map *phys, uint64_t memory, unsigned cpus,
                         struct error *error);

#endif
