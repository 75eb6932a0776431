#include "machine/drives.h"

#include "backends/block/block.h"

#include <stdio.h>

/* What the person calls a kind, and its places in the order in which they are taken. Kinds with the
 * same controller share its places. */
static const struct {
    const char *option, *plural;
    enum drive_kind controller;
    unsigned units;
    uint8_t order[16];
} kinds[DRIVE_KINDS] = {
    [DRIVE_VIRTIO] = {"--disk",
                      "virtio disks",
                      DRIVE_VIRTIO,
                      16,
                      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
    [DRIVE_IDE] = {"--disk", "IDE disks and CDs", DRIVE_IDE, 4, {0, 1, 3, 2}},
    [DRIVE_CD] = {"--cdrom", "IDE disks and CDs", DRIVE_IDE, 4, {2, 3, 1, 0}},
};

static bool is_taken(const struct drives *drives, enum drive_kind kind, unsigned unit)
{
    for (unsigned i = 0; i < drives->count; i++)
        if (kinds[drives->drive[i].kind].controller == kinds[kind].controller &&
            drives->drive[i].unit == unit)
            return true;
    return false;
}

/* False: the place that is asked for, or all, are taken. */
static bool choose_unit(const struct drives *drives, const struct drive_options *options,
                        unsigned *unit)
{
    unsigned units = kinds[options->kind].units, at = 0;
    if (options->unit != DRIVE_ANY_UNIT) {
        *unit = (unsigned)options->unit;
        return *unit < units && !is_taken(drives, options->kind, *unit);
    }
    while (at < units && is_taken(drives, options->kind, kinds[options->kind].order[at]))
        at++;
    *unit = at < units ? kinds[options->kind].order[at] : 0;
    return at < units;
}

static void name_drive(struct drive *drive)
{
    unsigned channel = drive->unit / 2, device = drive->unit % 2;
    if (drive->kind == DRIVE_VIRTIO)
        snprintf(drive->name, sizeof(drive->name), "virtio%u", drive->unit);
    else
        snprintf(drive->name, sizeof(drive->name), "ide%u-%s%u", channel,
                 drive->kind == DRIVE_CD ? "cd" : "hd", device);
}

static bool open_drive(struct drives *drives, const struct drive_options *options,
                       const struct block_config *config, struct error *error)
{
    const char *option = kinds[options->kind].option;
    struct drive *drive = &drives->drive[drives->count];
    struct error reason;
    *drive = (struct drive){.kind = options->kind};
    if (drives->count == DRIVES_MAX || !choose_unit(drives, options, &drive->unit))
        return error_set(error, "%s %s: there is no room for it; there can be %u %s", option,
                         options->disk.file ? options->disk.file : "", kinds[options->kind].units,
                         kinds[options->kind].plural);
    name_drive(drive);
    if (options->disk.file)
        drive->image = block_open(&options->disk, config, &reason);
    if (options->disk.file && !drive->image)
        return error_set(error, "%s %s", option, reason.text);
    drives->count++;
    return true;
}

bool drives_open(struct drives *drives, const struct drive_options *options, unsigned count,
                 const struct block_config *config, struct error *error)
{
    for (unsigned i = 0; i < count; i++)
        if (!open_drive(drives, &options[i], config, error))
            return false;
    return true;
}

void drives_pause(struct drives *drives, bool paused)
{
    for (unsigned i = 0; i < drives->count; i++) {
        if (paused)
            block_pause(drives->drive[i].image);
        else
            block_resume(drives->drive[i].image);
    }
}

void drives_close(struct drives *drives)
{
    while (drives->count)
        block_close(drives->drive[--drives->count].image);
}
