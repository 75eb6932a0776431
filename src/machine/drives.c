#include "machine/drives.h"

#include "backends/block/block.h"

#include <stdio.h>

/* How many places each kind has, and what the person calls it. */
static const struct {
    const char *option, *name;
    unsigned units;
} kinds[DRIVE_KINDS] = {
    [DRIVE_VIRTIO] = {"--disk", "virtio disks", 16},
};

static bool is_taken(const struct drives *drives, enum drive_kind kind, unsigned unit)
{
    for (unsigned i = 0; i < drives->count; i++)
        if (drives->drive[i].kind == kind && drives->drive[i].unit == unit)
            return true;
    return false;
}

/* False: the place that is asked for, or all, are taken. */
static bool choose_unit(const struct drives *drives, const struct drive_options *options,
                        unsigned *unit)
{
    unsigned units = kinds[options->kind].units;
    *unit = 0;
    if (options->unit != DRIVE_ANY_UNIT)
        *unit = (unsigned)options->unit;
    else
        while (*unit < units && is_taken(drives, options->kind, *unit))
            ++*unit;
    return *unit < units && !is_taken(drives, options->kind, *unit);
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
                         options->disk.file, kinds[options->kind].units, kinds[options->kind].name);
    snprintf(drive->name, sizeof(drive->name), "virtio%u", drive->unit);
    drive->image = block_open(&options->disk, config, &reason);
    if (!drive->image)
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
