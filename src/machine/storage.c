#include "machine/storage.h"

#include "bus/bus.h"
#include "devices/misc/fw_cfg.h"
#include "devices/pci/piix3.h"
#include "devices/storage/ide.h"
#include "devices/storage/virtio_blk.h"
#include "machine/board.h"
#include "machine/drives.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    uint16_t command, control;
} ide_ports[IDE_CHANNELS] = {{0x1f0, 0x3f6}, {0x170, 0x376}};

struct storage {
    struct storage_config config;
    struct ide *ide;
    struct virtio_blk *virtio[DRIVES_MAX]; /* by the drive's place in drives */
};

static bool create_virtio(struct storage *storage, struct error *error)
{
    const struct drives *drives = storage->config.drives;
    for (unsigned i = 0; drives && i < drives->count; i++) {
        if (drives->drive[i].kind != DRIVE_VIRTIO)
            continue;
        storage->virtio[i] = virtio_blk_create(&(struct virtio_blk_config){
            .bus = storage->config.pci,
            .slot = PCI_ANY_SLOT,
            .image = drives->drive[i].image,
        });
        if (!storage->virtio[i])
            return error_set(error, "--disk: no memory for %s", drives->drive[i].name);
    }
    return true;
}

static void describe_ide(const struct drives *drives, struct ide_config *config)
{
    for (unsigned i = 0; drives && i < drives->count; i++) {
        const struct drive *drive = &drives->drive[i];
        if (drive->kind != DRIVE_IDE && drive->kind != DRIVE_CD)
            continue;
        struct ide_device_config *device = &config->device[drive->unit / 2][drive->unit % 2];
        device->kind = drive->kind == DRIVE_IDE ? IDE_DISK : IDE_CD;
        device->image = drive->image;
        snprintf(device->serial, sizeof(device->serial), "DP%05u", drive->unit + 1);
    }
}

static bool create_ide(struct storage *storage, struct error *error)
{
    struct ide_config config = {
        .bus = storage->config.pci,
        .slot = PIIX3_SLOT,
        .irq = {storage->config.ide_irq[0], storage->config.ide_irq[1]},
    };
    describe_ide(storage->config.drives, &config);
    storage->ide = ide_create(&config);
    if (!storage->ide)
        return error_set(error, "no memory for the guest's IDE controller");
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *channel = ide_channel(storage->ide, i);
        if (!bus_map(storage->config.bus, BUS_PORT, ide_ports[i].command, IDE_COMMAND_PORTS,
                     &ide_command_ops, channel, NULL) ||
            !bus_map(storage->config.bus, BUS_PORT, ide_ports[i].control, IDE_CONTROL_PORTS,
                     &ide_control_ops, channel, NULL))
            return error_set(error, "the board has another device at the IDE controller's ports");
    }
    return true;
}

struct storage *storage_create(const struct storage_config *config, struct error *error)
{
    struct storage *storage = calloc(1, sizeof(*storage));
    if (!storage) {
        error_format(error, "no memory for the guest's disks");
        return NULL;
    }
    storage->config = *config;
    if (create_ide(storage, error) && create_virtio(storage, error))
        return storage;
    storage_destroy(storage);
    return NULL;
}

void storage_change_medium(struct storage *storage, unsigned drive, struct block_image *image)
{
    unsigned unit = storage->config.drives->drive[drive].unit;
    ide_change_medium(storage->ide, unit / 2, unit % 2, image);
}

bool storage_is_locked(const struct storage *storage, unsigned drive)
{
    unsigned unit = storage->config.drives->drive[drive].unit;
    return ide_is_locked(storage->ide, unit / 2, unit % 2);
}

bool storage_is_tray_open(const struct storage *storage, unsigned drive)
{
    unsigned unit = storage->config.drives->drive[drive].unit;
    return ide_is_tray_open(storage->ide, unit / 2, unit % 2);
}

/* As QEMU names them to firmware. Returns the length, for snprintf(). */
static int print_path(const struct storage *storage, unsigned number, char *text, size_t size)
{
    const struct drive *drive = &storage->config.drives->drive[number];
    if (drive->kind == DRIVE_VIRTIO)
        return snprintf(text, size, "/pci@i0cf8/scsi@%x/disk@0,0\n",
                        virtio_blk_function(storage->virtio[number])->devfn >> 3);
    return snprintf(text, size, "/pci@i0cf8/ide@%x,%x/drive@%x/disk@%x\n", PIIX3_SLOT, IDE_FUNCTION,
                    drive->unit / IDE_DEVICES, drive->unit % IDE_DEVICES);
}

bool storage_describe_boot(const struct storage *storage, unsigned order, struct fw_cfg *fw_cfg)
{
    const struct drives *drives = storage->config.drives;
    char paths[BOARD_BOOT_TRIES * DRIVES_MAX * 48];
    size_t size = 0;
    for (; drives && order; order >>= 4) {
        for (unsigned i = 0; i < drives->count; i++) {
            bool cd = drives->drive[i].kind == DRIVE_CD;
            if ((order & 15) == (cd ? BOARD_BOOT_CD : BOARD_BOOT_DISK))
                size += (size_t)print_path(storage, i, paths + size, sizeof(paths) - size);
        }
    }
    if (!size)
        return true;
    paths[size - 1] = '\0'; /* for the last newline */
    return fw_cfg_add_file(fw_cfg, "bootorder", paths, size);
}

void storage_destroy(struct storage *storage)
{
    for (unsigned i = 0; i < DRIVES_MAX; i++)
        virtio_blk_destroy(storage->virtio[i]);
    ide_destroy(storage->ide);
    free(storage);
}
