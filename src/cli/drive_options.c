#include "cli/drive_options.h"

static bool add(struct vm_config *vm, const char *option, const char *text,
                struct drive_options *drive, struct error *error)
{
    if (vm->drive_count == DRIVES_MAX)
        return error_set(error, "%s %s: there can be %u drives", option, text, DRIVES_MAX);
    if (!disk_options_parse(&drive->disk, option, text, error))
        return false;
    if (drive->disk.interface == DISK_IDE) {
        disk_options_free(&drive->disk);
        return error_set(error, "%s %s: if=ide: is not offered; it is virtio", option, text);
    }
    vm->drives[vm->drive_count++] = *drive;
    return true;
}

bool drive_options_add_disk(struct vm_config *vm, const char *text, struct error *error)
{
    struct drive_options drive = {.kind = DRIVE_VIRTIO, .unit = DRIVE_ANY_UNIT};
    return add(vm, "--disk", text, &drive, error);
}

void drive_options_free(struct vm_config *vm)
{
    while (vm->drive_count)
        disk_options_free(&vm->drives[--vm->drive_count].disk);
}
