/* Booting through firmware: its image, and what it is told by fw_cfg. */
#ifndef DOPPEL_MACHINE_FIRMWARE_H
#define DOPPEL_MACHINE_FIRMWARE_H

#include "base/error.h"
#include "host/file.h"

struct acpi_config;
struct fw_cfg;

/* --firmware: "bios" is SeaBIOS, and "uefi" OVMF, as their Debian packages have them; else a file.
 * Reads and checks the image; the caller frees it. */
bool firmware_read(const char *firmware, struct file_data *image, struct error *error);

/* SeaVGABIOS for the VGA, as the package has it; likewise. */
bool firmware_read_vga_rom(struct file_data *image, struct error *error);

/* Tells the firmware about the machine: memory, CPUs, whether there is a VGA (SeaBIOS's screen is
 * COM1 otherwise), ACPI and SMBIOS tables. machine outlives fw_cfg. */
bool firmware_describe(struct fw_cfg *fw_cfg, const struct acpi_config *machine, bool vga,
                       struct error *error);

#endif
