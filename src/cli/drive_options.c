#include "cli/drive_options.h"

#include <string.h>

/* Takes over what the drive owns. */
static bool add(struct vm_config *vm, const char *option, struct drive_options *drive,
                struct error *error)
{
    if (vm->drive_count == DRIVES_MAX) {
        error_format(error, "%s %s: there can be %u drives", option, drive->disk.file, DRIVES_MAX);
        disk_options_free(&drive->disk);
        return false;
    }
    vm->drives[vm->drive_count++] = *drive;
    return true;
}

bool drive_options_add_disk(struct vm_config *vm, const char *text, struct error *error)
{
    struct drive_options drive = {.unit = DRIVE_ANY_UNIT};
    if (!disk_options_parse(&drive.disk, "--disk", text, error))
        return false;
    drive.kind = drive.disk.interface == DISK_IDE ? DRIVE_IDE : DRIVE_VIRTIO;
    return add(vm, "--disk", &drive, error);
}

bool drive_options_add_cdrom(struct vm_config *vm, const char *file, struct error *error)
{
    struct drive_options drive = {
        .kind = DRIVE_CD,
        .unit = DRIVE_ANY_UNIT,
        .disk = {.file = strdup(file), .format = DISK_RAW, .readonly = true},
    };
    if (!drive.disk.file)
        return error_set(error, "--cdrom %s: out of memory", file);
    return add(vm, "--cdrom", &drive, error);
}

void drive_options_free(struct vm_config *vm)
{
    while (vm->drive_count)
        disk_options_free(&vm->drives[--vm->drive_count].disk);
}
