#include "cli/qemu_internal.h"

#include "machine/board.h"

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

/* index, or bus and unit of two a bus. */
static bool take_place(struct qemu_params *params, struct drive_options *drive, struct error *error)
{
    int bus = 0;
    if (!take_number(params, "index", &drive->unit, error) ||
        !take_number(params, "unit", &drive->unit, error) ||
        !take_number(params, "bus", &bus, error))
        return false;
    if (bus && drive->unit != DRIVE_ANY_UNIT)
        drive->unit += 2 * bus;
    return !bus || drive->unit != DRIVE_ANY_UNIT ||
           error_set(error, "%s: bus=%d needs unit=", params->option, bus);
}

static bool take_format(struct qemu_params *params, struct disk_options *disk, struct error *error)
{
    const char *format = qemu_params_take(params, "format");
    return !format || disk_format_parse(format, &disk->format) ||
           error_set(error, "%s: format=%s is not offered; there are raw and qcow2", params->option,
                     format);
}

/* if=none is a CD or a disk as its -device says. */
static bool take_kind(struct qemu_params *params, struct qemu_drive *drive, struct error *error)
{
    const char *interface = qemu_params_take(params, "if");
    const char *media = qemu_params_take(params, "media");
    bool cd = media && !strcmp(media, "cdrom"), ide = !interface || !strcmp(interface, "ide"),
         virtio = interface && !strcmp(interface, "virtio");
    drive->waits = interface && !strcmp(interface, "none");
    drive->options.kind = cd ? DRIVE_CD : ide ? DRIVE_IDE : DRIVE_VIRTIO;
    if (!drive->waits && !ide && !virtio)
        return error_set(error, "%s: if=%s is not offered; there are ide, virtio, pflash and none",
                         params->option, interface);
    if (media && !cd && strcmp(media, "disk") != 0)
        return error_set(error, "%s: media=%s is not offered; there are disk and cdrom",
                         params->option, media);
    return !cd || !virtio ||
           error_set(error, "%s: media=cdrom is not offered with if=virtio; CD drives are if=ide",
                     params->option);
}

static bool take_file(struct qemu_params *params, struct qemu_drive *drive, struct error *error)
{
    const char *file = qemu_params_take(params, "file");
    if (!file || !*file)
        return drive->waits || drive->options.kind == DRIVE_CD ||
               error_set(error, "%s: needs file=", params->option);
    drive->options.disk.file = strdup(file);
    return drive->options.disk.file || error_set(error, "%s: no memory", params->option);
}

/* The name that clients of QMP know it by. */
static bool set_name(const struct qemu_parser *parser, struct qemu_drive *drive, const char *name,
                     struct error *error)
{
    size_t length = strlen(name);
    if (length >= sizeof(drive->options.name))
        return error_set(error, "%s: id=%.100s is too long", drive->options.option, name);
    for (unsigned i = 0; length && i < parser->drive_count; i++) {
        if (!strcmp(parser->drives[i].options.name, name))
            return error_set(error, "%s: id=%s is another drive's", drive->options.option, name);
    }
    memcpy(drive->options.name, name, length + 1);
    return true;
}

static bool take_id(const struct qemu_parser *parser, struct qemu_params *params,
                    struct qemu_drive *drive, struct error *error)
{
    const char *id = qemu_params_take(params, "id");
    return !id || set_name(parser, drive, id, error);
}

static bool take_drive(struct qemu_params *params, struct qemu_drive *drive, struct error *error)
{
    struct disk_options *disk = &drive->options.disk;
    take_tuning(params);
    return take_kind(params, drive, error) && take_file(params, drive, error) &&
           take_format(params, disk, error) && take_place(params, &drive->options, error) &&
           qemu_params_take_switch(params, "snapshot", &disk->snapshot, error) &&
           qemu_params_take_switch(params, "readonly", &disk->readonly, error) &&
           qemu_params_take_switch(params, "read-only", &disk->readonly, error);
}

/* NULL with *error set: there are too many. */
static struct qemu_drive *add_drive(struct qemu_parser *parser, const char *option,
                                    const char *value, struct error *error)
{
    if (parser->drive_count == DRIVES_MAX) {
        error_format(error, "%s %s: there can be %u drives", option, value, DRIVES_MAX);
        return NULL;
    }
    struct qemu_drive *drive = &parser->drives[parser->drive_count++];
    *drive = (struct qemu_drive){.options = {.option = option, .unit = DRIVE_ANY_UNIT}};
    return drive;
}

/* if=pflash: unit 0 is the firmware, 1 its variables, which alone the guest changes. */
static bool take_flash(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    const char *file = qemu_params_take(params, "file");
    const char *format = qemu_params_take(params, "format");
    int unit = parser->flash[0] ? 1 : 0;
    bool readonly = false;
    if (!qemu_params_take_switch(params, "readonly", &readonly, error) ||
        !qemu_params_take_switch(params, "read-only", &readonly, error) ||
        !take_number(params, "index", &unit, error) || !take_number(params, "unit", &unit, error))
        return false;
    if (!file || !*file || (format && strcmp(format, "raw") != 0))
        return error_set(error, "%s: if=pflash needs file=, of format=raw", params->option);
    if (unit > 1 || parser->flash[unit])
        return error_set(error, "%s: if=pflash: there are units 0 and 1, each once",
                         params->option);
    if (unit == 1 && readonly)
        return error_set(error, "%s: if=pflash: readonly=on is not offered for UEFI variables",
                         params->option);
    parser->flash[unit] = qemu_keep(parser, file, error);
    return parser->flash[unit];
}

static bool take_any(struct qemu_parser *parser, struct qemu_params *params, const char *value,
                     struct error *error)
{
    const char *interface = qemu_params_take(params, "if");
    if (interface && !strcmp(interface, "pflash"))
        return take_flash(parser, params, error);
    struct qemu_drive *drive = add_drive(parser, params->option, value, error);
    return drive && take_id(parser, params, drive, error) && take_drive(params, drive, error);
}

bool qemu_drive(struct qemu_parser *parser, const char *option, const char *value,
                struct error *error)
{
    struct qemu_params params;
    if (!qemu_params_parse(&params, option, value, NULL, error))
        return false;
    bool ok = take_any(parser, &params, value, error) && qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

/* --- What stands for a -drive. */

static bool add_file(struct qemu_parser *parser, const char *option, const char *file,
                     enum drive_kind kind, int unit, struct error *error)
{
    struct qemu_drive *drive = add_drive(parser, option, file, error);
    if (!drive)
        return false;
    drive->options.kind = kind;
    drive->options.unit = unit;
    drive->options.disk.file = *file ? strdup(file) : NULL;
    return drive->options.disk.file || !*file || error_set(error, "%s: no memory", option);
}

/* -hda to -hdd. */
bool qemu_hard_disk(struct qemu_parser *parser, const char *option, const char *value,
                    struct error *error)
{
    int unit = option[strlen(option) - 1] - 'a';
    return (*value && add_file(parser, option, value, DRIVE_IDE, unit, error)) ||
           (!*value && error_set(error, "%s: needs a file", option));
}

bool qemu_cdrom(struct qemu_parser *parser, const char *option, const char *value,
                struct error *error)
{
    return add_file(parser, option, value, DRIVE_CD, 2, error);
}

bool qemu_snapshot(struct qemu_parser *parser, const char *option, const char *value,
                   struct error *error)
{
    (void)option, (void)value, (void)error;
    parser->snapshot = true;
    return true;
}

/* --- -boot. */

static bool set_order(struct vm_config *vm, const char *option, const char *order,
                      struct error *error)
{
    static const char letters[] = "acd";
    static const uint8_t codes[] = {BOARD_BOOT_FLOPPY, BOARD_BOOT_DISK, BOARD_BOOT_CD};
    vm->boot_order = 0;
    for (unsigned i = 0; order[i]; i++) {
        const char *letter = strchr(letters, order[i]);
        if (!letter || i >= BOARD_BOOT_TRIES)
            return error_set(error, "%s: order=%s is not offered; it is up to %u of a, c and d",
                             option, order, BOARD_BOOT_TRIES);
        vm->boot_order |= (uint16_t)(codes[letter - letters] << 4 * i);
    }
    return true;
}

/* With menu=off nothing waits for a key, as without; strict=on leaves out what is not named, as
 * order= does anyway. */
bool qemu_boot(struct qemu_parser *parser, const char *option, const char *value,
               struct error *error)
{
    struct qemu_params params;
    bool menu = false, strict;
    if (!qemu_params_parse(&params, option, value, "order", error))
        return false;
    const char *order = qemu_params_take(&params, "order");
    bool ok = (!order || set_order(&parser->options->run.vm, option, order, error)) &&
              qemu_params_take_switch(&params, "menu", &menu, error) &&
              qemu_params_take_switch(&params, "strict", &strict, error) &&
              (!menu || error_set(error, "%s: menu=on is not offered", option)) &&
              qemu_params_end(&params, error);
    qemu_params_free(&params);
    return ok;
}

/* --- -device. */

/* The drive that has waited for the device; NULL with *error set: there is none. */
static struct qemu_drive *claim(struct qemu_parser *parser, struct qemu_params *params,
                                const char *device, struct error *error)
{
    const char *id = qemu_params_take(params, "drive");
    for (unsigned i = 0; id && i < parser->drive_count; i++) {
        struct qemu_drive *drive = &parser->drives[i];
        if (drive->waits && *id && !strcmp(drive->options.name, id)) {
            drive->waits = false;
            return drive;
        }
    }
    error_format(error, "-device %s: needs drive=ID of a -drive before it that has if=none",
                 device);
    return NULL;
}

static struct qemu_drive *claim_disk(struct qemu_parser *parser, struct qemu_params *params,
                                     const char *device, enum drive_kind kind, struct error *error)
{
    struct qemu_drive *drive = claim(parser, params, device, error);
    if (!drive)
        return NULL;
    if (!drive->options.disk.file) {
        error_format(error, "-device %s: drive=%s has no file=", device, drive->options.name);
        return NULL;
    }
    drive->options.kind = kind;
    return drive;
}

bool qemu_add_virtio_blk(struct qemu_parser *parser, struct qemu_params *params,
                         struct error *error)
{
    return claim_disk(parser, params, "virtio-blk-pci", DRIVE_VIRTIO, error);
}

static bool is_free(const struct qemu_parser *parser, int unit)
{
    for (unsigned i = 0; i < parser->drive_count; i++) {
        const struct drive_options *options = &parser->drives[i].options;
        if (options->kind != DRIVE_VIRTIO && options->unit == unit)
            return false;
    }
    return true;
}

/* bus=ide.N and unit=N; without unit the next of the bus that is free. */
static bool take_ide_place(const struct qemu_parser *parser, struct qemu_params *params,
                           struct drive_options *drive, struct error *error)
{
    const char *bus = qemu_params_take(params, "bus");
    int base = 0;
    if (bus && strcmp(bus, "ide.0") != 0 && strcmp(bus, "ide.1") != 0)
        return error_set(error, "-device: bus=%s is not offered; there are ide.0 and ide.1", bus);
    if (bus)
        base = 2 * (bus[4] - '0');
    if (!take_number(params, "unit", &drive->unit, error))
        return false;
    if (drive->unit != DRIVE_ANY_UNIT)
        drive->unit += base;
    else if (bus)
        drive->unit = is_free(parser, base) ? base : base + 1;
    return true;
}

bool qemu_add_ide_disk(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    struct qemu_drive *drive = claim_disk(parser, params, "ide-hd", DRIVE_IDE, error);
    return drive && take_ide_place(parser, params, &drive->options, error);
}

/* Without drive= it is empty, and has the device's own name. */
bool qemu_add_ide_cd(struct qemu_parser *parser, struct qemu_params *params, struct error *error)
{
    static const char device[] = "ide-cd";
    struct qemu_drive *drive = qemu_params_has(params, "drive")
                                   ? claim(parser, params, device, error)
                                   : add_drive(parser, "-device", device, error);
    if (!drive || (!*drive->options.name && !take_id(parser, params, drive, error)))
        return false;
    drive->options.kind = DRIVE_CD;
    return take_ide_place(parser, params, &drive->options, error);
}

/* --- Putting together. */

bool qemu_connect_drives(struct qemu_parser *parser, struct error *error)
{
    struct vm_config *vm = &parser->options->run.vm;
    if (parser->flash[0] && vm->firmware)
        return error_set(error, "-bios %s: -drive if=pflash is the firmware; give only one",
                         vm->firmware);
    if (parser->flash[1] && !parser->flash[0])
        return error_set(error, "-drive if=pflash: unit=1 needs a unit=0");
    if (parser->flash[0])
        vm->firmware = parser->flash[0];
    vm->uefi_vars = parser->flash[1];
    for (unsigned i = 0; i < parser->drive_count; i++) {
        struct drive_options *drive = &parser->drives[i].options;
        if (parser->drives[i].waits)
            continue; /* no device has it */
        bool cd = drive->kind == DRIVE_CD;
        drive->disk.snapshot |= parser->snapshot && !cd;
        drive->disk.readonly |= cd;
        if (cd && drive->disk.format == DISK_PROBE)
            drive->disk.format = DISK_RAW;
        vm->drives[vm->drive_count++] = *drive;
        drive->disk.file = NULL;
    }
    return true;
}

void qemu_free_drives(struct qemu_parser *parser)
{
    for (unsigned i = 0; i < parser->drive_count; i++)
        disk_options_free(&parser->drives[i].options.disk);
}
