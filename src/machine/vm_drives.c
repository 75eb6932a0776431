/* The guest's drives, and what is in them. */
#include "backends/block/block.h"
#include "bus/bus.h"
#include "machine/board.h"
#include "machine/storage.h"
#include "machine/vm_internal.h"

bool vm_drive_at(struct vm *vm, unsigned index, struct vm_drive *drive)
{
    if (index >= vm->drives.count)
        return false;
    const struct drive *from = &vm->drives.drive[index];
    *drive = (struct vm_drive){
        .name = from->name, .removable = from->kind == DRIVE_CD, .file = from->file};
    if (from->image) {
        drive->format = block_format(from->image);
        drive->size = block_size(from->image);
        drive->readonly = block_is_readonly(from->image);
    }
    if (drive->removable) {
        bus_lock(vm->bus);
        drive->tray_open = storage_is_tray_open(board_storage(vm->board), index);
        drive->locked = storage_is_locked(board_storage(vm->board), index);
        bus_unlock(vm->bus);
    }
    return true;
}

/* Exchanges what is in the drive for what is in *medium; false: the guest has locked it. */
static bool exchange(struct vm *vm, unsigned index, struct drive *medium, bool force)
{
    struct storage *storage = board_storage(vm->board);
    struct drive *drive = &vm->drives.drive[index], before = *drive;
    bus_lock(vm->bus);
    bool may = force || !storage_is_locked(storage, index);
    if (may) {
        if (medium->image && vm->disks_paused)
            block_pause(medium->image);
        storage_change_medium(storage, index, medium->image);
        drive->image = medium->image;
        drive->file = medium->file;
        *medium = before;
    }
    bus_unlock(vm->bus);
    return may;
}

bool vm_change_medium(struct vm *vm, unsigned index, const struct disk_options *medium, bool force,
                      struct error *error)
{
    struct drive other = vm->drives.drive[index];
    struct disk_options options = *medium;
    struct block_config config = vm_block_config(vm);
    options.readonly = true;
    if (other.kind != DRIVE_CD)
        return error_set(error, "Device '%s' is not removable", other.name);
    other.image = NULL;
    other.file = NULL;
    bool opened = drives_open_medium(&other, &options, other.name, &config, error);
    bool done = opened && (exchange(vm, index, &other, force) ||
                           error_set(error,
                                     "Device '%s' is locked and force was not specified, wait for "
                                     "tray to open and try again",
                                     other.name));
    drives_close_medium(&other);
    return done;
}
