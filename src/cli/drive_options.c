#include "cli/drive_options.h"

#include "machine/board.h"

#include <string.h>

/* Takes over what the drive owns. */
static bool add(struct vm_config *vm, struct drive_options *drive, struct error *error)
{
    if (vm->drive_count == DRIVES_MAX) {
        error_format(error, "%s %s: there can be %u drives", drive->option,
                     drive->disk.file ? drive->disk.file : "none", DRIVES_MAX);
        disk_options_free(&drive->disk);
        return false;
    }
    vm->drives[vm->drive_count++] = *drive;
    return true;
}

bool drive_options_add_disk(struct vm_config *vm, const char *text, struct error *error)
{
    struct drive_options drive = {.option = "--disk", .unit = DRIVE_ANY_UNIT};
    if (!disk_options_parse(&drive.disk, "--disk", text, error))
        return false;
    drive.kind = drive.disk.interface == DISK_IDE ? DRIVE_IDE : DRIVE_VIRTIO;
    return add(vm, &drive, error);
}

bool drive_options_add_cdrom(struct vm_config *vm, const char *file, struct error *error)
{
    struct drive_options drive = {
        .option = "--cdrom",
        .kind = DRIVE_CD,
        .unit = DRIVE_ANY_UNIT,
        .disk = {.format = DISK_RAW, .readonly = true},
    };
    if (strcmp(file, "none") != 0 && !(drive.disk.file = strdup(file)))
        return error_set(error, "--cdrom %s: out of memory", file);
    return add(vm, &drive, error);
}

bool drive_options_set_boot(struct vm_config *vm, const char *list, struct error *error)
{
    static const struct {
        const char *name;
        uint16_t code;
    } places[] = {{"disk", BOARD_BOOT_DISK}, {"cdrom", BOARD_BOOT_CD}};
    uint16_t order = 0;
    unsigned shift = 0;
    for (const char *at = list, *end; *at && shift < 4 * BOARD_BOOT_TRIES;
         at = *end ? end + 1 : end, shift += 4) {
        unsigned i = 0;
        end = strchrnul(at, ',');
        while (i < ARRAY_SIZE(places) &&
               (strncmp(at, places[i].name, (size_t)(end - at)) || places[i].name[end - at]))
            i++;
        if (i == ARRAY_SIZE(places))
            return error_set(error, "--boot %s: \"%.*s\" is unknown; known are disk and cdrom",
                             list, (int)(end - at), at);
        order |= (uint16_t)(places[i].code << shift);
    }
    vm->boot_order = order;
    return order || error_set(error, "--boot %s: names nothing to boot; write disk,cdrom", list);
}

void drive_options_free(struct vm_config *vm)
{
    while (vm->drive_count)
        disk_options_free(&vm->drives[--vm->drive_count].disk);
}
