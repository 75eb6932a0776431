#include "cli/qemu_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- -drive. */

/* What only tunes QEMU's way to the host. */
static void take_tuning(struct qemu_params *params)
{
    static const char *const keys[] = {"aio",
                                       "cache",
                                       "copy-on-read",
                                       "detect-zeroes",
                                       "discard",
                                       "throttling.iops-total",
                                       "throttling.bps-total"};
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        qemu_params_take(params, keys[i]);
}

static bool take_number(struct qemu_params *params, const char *key, int *number,
                        struct error *error)
{
    const char *text = qemu_params_take(params, key);
    char *end;
    if (!text)
        return true;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *number = (int)value;
    return (!errno && end != text && !*end && *text != '-' && value < DRIVES_MAX) ||
           error_set(error, "%s: %s=%s is not a place for a drive", params->option, key, text);
}

static bool take_format(struct qemu_params *params, struct disk_options *disk, struct error *error)
{
    const char *format = qemu_params_take(params, "format");
    return !format || disk_format_parse(format, &disk->format) ||
           error_set(error, "%s: format=%s is not offered; there are raw and qcow2", params->option,
                     format);
}

static bool take_drive(struct qemu_params *params, struct qemu_drive *drive, struct error *error)
{
    struct disk_options *disk = &drive->options.disk;
    const char *file = qemu_params_take(params, "file");
    const char *interface = qemu_params_take(params, "if");
    const char *media = qemu_params_take(params, "media");
    drive->options = (struct drive_options){.kind = DRIVE_VIRTIO, .unit = DRIVE_ANY_UNIT};
    drive->waits = interface && !strcmp(interface, "none");
    take_tuning(params);
    if (!drive->waits && (!interface || strcmp(interface, "virtio") != 0))
        return error_set(error, "%s: if=%s is not offered; there are virtio and none",
                         params->option, interface ? interface : "ide");
    if (media && strcmp(media, "disk") != 0)
        return error_set(error, "%s: media=%s is not offered", params->option, media);
    if (!file)
        return error_set(error, "%s: needs file=", params->option);
    disk->file = strdup(file);
    return (disk->file || error_set(error, "%s: no memory", params->option)) &&
           take_format(params, disk, error) &&
           qemu_params_take_switch(params, "snapshot", &disk->snapshot, error) &&
           qemu_params_take_switch(params, "readonly", &disk->readonly, error) &&
           qemu_params_take_switch(params, "read-only", &disk->readonly, error) &&
           take_number(params, "index", &drive->options.unit, error) &&
           take_number(params, "unit", &drive->options.unit, error);
}

bool qemu_drive(struct qemu_parser *parser, const char *option, const char *value,
                struct error *error)
{
    struct qemu_params params;
    if (parser->drive_count == DRIVES_MAX)
        return error_set(error, "%s %s: there can be %u drives", option, value, DRIVES_MAX);
    if (!qemu_params_parse(&params, option, value, NULL, error))
        return false;
    struct qemu_drive *drive = &parser->drives[parser->drive_count++];
    const char *id = qemu_params_take(&params, "id");
    drive->id = id ? qemu_keep(parser, id, error) : "";
    bool ok = drive->id && take_drive(&params, drive, error) && qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

bool qemu_snapshot(struct qemu_parser *parser, const char *option, const char *value,
                   struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->snapshot = true;
    return true;
}

bool qemu_add_virtio_blk(struct qemu_parser *parser, struct qemu_params *params,
                         struct error *error)
{
    const char *id = qemu_params_take(params, "drive");
    for (unsigned i = 0; id && i < parser->drive_count; i++) {
        struct qemu_drive *drive = &parser->drives[i];
        if (!strcmp(drive->id, id) && drive->waits) {
            drive->waits = false;
            return true;
        }
    }
    return error_set(error, "-device virtio-blk-pci: needs drive=ID of a -drive before it that has "
                            "if=none");
}

/* --- Putting together. */

void qemu_connect_drives(struct qemu_parser *parser)
{
    struct vm_config *vm = &parser->options->run.vm;
    for (unsigned i = 0; i < parser->drive_count; i++) {
        struct drive_options *drive = &parser->drives[i].options;
        drive->disk.snapshot |= parser->snapshot;
        if (parser->drives[i].waits)
            continue; /* no device has it */
        vm->drives[vm->drive_count++] = *drive;
        drive->disk.file = NULL;
    }
}

void qemu_free_drives(struct qemu_parser *parser)
{
    for (unsigned i = 0; i < parser->drive_count; i++)
        disk_options_free(&parser->drives[i].options.disk);
}
