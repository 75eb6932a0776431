#include "machine/firmware.h"

#include "devices/misc/fw_cfg.h"
#include "machine/acpi.h"
#include "machine/memory_map.h"
#include "machine/smbios.h"
#include "machine/uefi_vars.h"

#include <string.h>
#include <unistd.h>

#define SEABIOS "/usr/share/seabios/bios-256k.bin"
#define OVMF "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define VGABIOS "/usr/share/seabios/vgabios-stdvga.bin"
#define OPTION_ROM_MAX (64 * KIB)

static bool check_image(const char *path, const struct file_data *image, struct error *error)
{
    if (!image->size || image->size % (image->size < BIOS_SHADOW_SIZE ? FIRMWARE_UNIT : PAGE_SIZE))
        return error_set(
            error,
            "--firmware %s: has %zu bytes; an image has 64 KiB, or 128 KiB and more in "
            "units of 4 KiB, as SeaBIOS's bios-256k.bin",
            path, image->size);
    if (image->size > FIRMWARE_MAX)
        return error_set(error, "--firmware %s: has %zu KiB; there is room for %llu KiB", path,
                         image->size / (size_t)KIB, FIRMWARE_MAX / KIB);
    return true;
}

bool firmware_read(const char *firmware, struct file_data *image, struct error *error)
{
    static const struct {
        const char *name, *path, *package;
    } known[] = {{"bios", SEABIOS, "seabios"}, {FIRMWARE_UEFI, OVMF, "ovmf"}};
    const char *path = firmware;
    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        if (strcmp(firmware, known[i].name) != 0)
            continue;
        path = known[i].path;
        if (access(path, R_OK) != 0)
            return error_set(error,
                             "--firmware %s: %s cannot be read; install Debian's package %s, or "
                             "give another image as --firmware FILE",
                             firmware, path, known[i].package);
    }
    if (!file_read(image, "--firmware", path, error))
        return false;
    if (check_image(path, image, error))
        return true;
    file_free(image);
    return false;
}

bool firmware_read_vga_rom(struct file_data *image, struct error *error)
{
    if (access(VGABIOS, R_OK) != 0)
        return error_set(error,
                         "--vga std: its BIOS, %s, cannot be read; install Debian's package "
                         "seabios, or give --vga none",
                         VGABIOS);
    if (!file_read(image, "--vga std:", VGABIOS, error))
        return false;
    if (image->size <= OPTION_ROM_MAX)
        return true;
    file_free(image);
    return error_set(error, "--vga std: %s has more than %llu KiB", VGABIOS, OPTION_ROM_MAX / KIB);
}

static bool add_memory_map(struct fw_cfg *fw_cfg, uint64_t memory)
{
    uint64_t low = memory_map_low(memory);
    const struct e820_entry ram[] = {
        {0, low, E820_RAM},
        {HIGH_RAM_BASE, memory - low, E820_RAM},
    };
    return fw_cfg_add_file(fw_cfg, "etc/e820", ram, memory > low ? sizeof(ram) : sizeof(ram[0]));
}

bool firmware_describe(struct fw_cfg *fw_cfg, const struct acpi_config *machine, bool vga,
                       struct error *error)
{
    static const uint8_t uuid[16];
    static const int32_t never = -1;
    const unsigned cpus = machine->cpus;
    bool ok = fw_cfg_add(fw_cfg, FW_CFG_UUID, uuid, sizeof(uuid)) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_RAM_SIZE, machine->memory, 8) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_NO_GRAPHIC, !vga, 2) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_CPUS, cpus, 2) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_MAX_CPUS, cpus, 2) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_BOOT_MENU, 0, 2) &&
              fw_cfg_add_number(fw_cfg, FW_CFG_IRQ0_OVERRIDE, 1, 4) &&
              fw_cfg_add_file(fw_cfg, "etc/boot-fail-wait", &never, sizeof(never)) &&
              add_memory_map(fw_cfg, machine->memory);
    if (!ok)
        return error_set(error, "no memory for what the firmware is told");
    return acpi_add_files(fw_cfg, machine, error) &&
           smbios_add_files(fw_cfg, machine->memory, cpus, error);
}
