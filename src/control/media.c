#include "control/media.h"

#include "machine/vm.h"

#include <stdlib.h>
#include <string.h>

/* --- What there is. */

static json_t *describe_medium(const struct vm_drive *drive)
{
    json_t *image = json_pack("{s:s, s:s, s:I}", "filename", drive->file, "format", drive->format,
                              "virtual-size", (json_int_t)drive->size);
    return json_pack("{s:s, s:s, s:b, s:b, s:o}", "file", drive->file, "drv", drive->format, "ro",
                     drive->readonly, "encrypted", 0, "image", image);
}

static json_t *describe_drive(const struct vm_drive *drive)
{
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:b, s:b}", "io-status", "ok", "device", drive->name, "type",
                  "unknown", "locked", drive->locked, "removable", drive->removable);
    if (drive->removable)
        json_object_set_new(object, "tray_open", json_boolean(drive->tray_open));
    if (drive->file)
        json_object_set_new(object, "inserted", describe_medium(drive));
    return object;
}

json_t *media_describe(struct vm *vm)
{
    struct vm_drive drive;
    json_t *list = json_array();
    for (unsigned i = 0; vm_drive_at(vm, i, &drive); i++)
        json_array_append_new(list, describe_drive(&drive));
    return list;
}

/* --- What can be done. */

static bool find_drive(struct vm *vm, const char *name, unsigned *index, struct qmp_error *error)
{
    struct vm_drive drive;
    for (*index = 0; vm_drive_at(vm, *index, &drive); ++*index) {
        if (!strcmp(drive.name, name))
            return true;
    }
    error->class = "DeviceNotFound";
    return error_set(&error->message, "Device '%.100s' not found", name);
}

bool media_eject(struct vm *vm, const char *name, bool force, struct qmp_error *error)
{
    unsigned index;
    return find_drive(vm, name, &index, error) &&
           vm_change_medium(vm, index, &(struct disk_options){.file = NULL}, force,
                            &error->message);
}

bool media_change(struct vm *vm, const char *name, const char *file, const char *format, bool force,
                  struct qmp_error *error)
{
    struct disk_options medium = {.format = DISK_RAW};
    unsigned index;
    if (!find_drive(vm, name, &index, error))
        return false;
    if (format && !disk_format_parse(format, &medium.format))
        return error_set(&error->message, "Unknown driver '%.100s'", format);
    medium.file = strdup(file);
    bool done = medium.file ? vm_change_medium(vm, index, &medium, force, &error->message)
                            : error_set(&error->message, "There is no memory for the name");
    disk_options_free(&medium);
    return done;
}
