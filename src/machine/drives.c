#include "machine/drives.h"

#include "backends/block/block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a kind is called, and its places in the order in which they are taken. Kinds with the same
 * controller share its places. */
static const struct {
    const char *plural;
    enum drive_kind controller;
    unsigned units;
    uint8_t order[16];
} kinds[DRIVE_KINDS] = {
    [DRIVE_VIRTIO] = {"virtio disks",
                      DRIVE_VIRTIO,
                      16,
                      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
    [DRIVE_IDE] = {"IDE disks and CDs", DRIVE_IDE, 4, {0, 1, 3, 2}},
    [DRIVE_CD] = {"IDE disks and CDs", DRIVE_IDE, 4, {2, 3, 1, 0}},
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

static void name_drive(struct drive *drive, const struct drive_options *options)
{
    unsigned channel = drive->unit / 2, device = drive->unit % 2;
    if (*options->name)
        snprintf(drive->name, sizeof(drive->name), "%s", options->name);
    else if (drive->kind == DRIVE_VIRTIO)
        snprintf(drive->name, sizeof(drive->name), "virtio%u", drive->unit);
    else
        snprintf(drive->name, sizeof(drive->name), "ide%u-%s%u", channel,
                 drive->kind == DRIVE_CD ? "cd" : "hd", device);
}

bool drives_open_medium(struct drive *drive, const struct disk_options *medium, const char *option,
                        const struct block_config *config, struct error *error)
{
    struct error reason;
    if (!medium->file)
        return true;
    drive->file = strdup(medium->file);
    if (!drive->file)
        return error_set(error, "%s %s: out of memory", option, medium->file);
    drive->image = block_open(medium, config, &reason);
    return drive->image || error_set(error, "%s %s", option, reason.text);
}

void drives_close_medium(struct drive *drive)
{
    block_close(drive->image);
    free(drive->file);
    drive->image = NULL;
    drive->file = NULL;
}

static bool open_drive(struct drives *drives, const struct drive_options *options,
                       const struct block_config *config, struct error *error)
{
    const char *file = options->disk.file ? options->disk.file : "";
    struct drive *drive = &drives->drive[drives->count];
    unsigned units = kinds[options->kind].units;
    const char *plural = kinds[options->kind].plural;
    *drive = (struct drive){.kind = options->kind};
    if (drives->count == DRIVES_MAX || !choose_unit(drives, options, &drive->unit))
        return options->unit == DRIVE_ANY_UNIT
                   ? error_set(error, "%s %s: there is no room for it; there can be %u %s",
                               options->option, file, units, plural)
                   : error_set(error, "%s %s: place %d of %u for %s is not there, or taken",
                               options->option, file, options->unit, units, plural);
    name_drive(drive, options);
    drives->count++;
    return drives_open_medium(drive, &options->disk, options->option, config, error);
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
        struct block_image *image = drives->drive[i].image;
        if (image && paused)
            block_pause(image);
        else if (image)
            block_resume(image);
    }
}

void drives_close(struct drives *drives)
{
    while (drives->count)
        drives_close_medium(&drives->drive[--drives->count]);
}
