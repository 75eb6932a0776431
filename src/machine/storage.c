#include "machine/storage.h"

#include "devices/storage/virtio_blk.h"
#include "machine/drives.h"

#include <stdlib.h>

struct storage {
    struct storage_config config;
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

struct storage *storage_create(const struct storage_config *config, struct error *error)
{
    struct storage *storage = calloc(1, sizeof(*storage));
    if (!storage) {
        error_format(error, "no memory for the guest's disks");
        return NULL;
    }
    storage->config = *config;
    if (create_virtio(storage, error))
        return storage;
    storage_destroy(storage);
    return NULL;
}

void storage_destroy(struct storage *storage)
{
    for (unsigned i = 0; i < DRIVES_MAX; i++)
        virtio_blk_destroy(storage->virtio[i]);
    free(storage);
}
