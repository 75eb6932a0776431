/* The board's storage devices: one for each drive, and their controllers. Bus lock held, or before
 * the vCPU starts. */
#ifndef DOPPEL_MACHINE_STORAGE_H
#define DOPPEL_MACHINE_STORAGE_H

#include "base/error.h"
#include "bus/irq.h"

struct block_image;
struct bus;
struct drives;
struct fw_cfg;
struct pci_bus;
struct storage;

/* Nothing is owned. */
struct storage_config {
    const struct drives *drives; /* NULL: none */
    struct bus *bus;
    struct pci_bus *pci;
    struct irq_line ide_irq[2]; /* of the channels */
};

struct storage *storage_create(const struct storage_config *config, struct error *error);
void storage_destroy(struct storage *storage);

/* Of CD drives, by their places in drives. Puts another medium into one, or NULL for none, whatever
 * the guest has locked; what was there has nothing in flight then. */
void storage_change_medium(struct storage *storage, unsigned drive, struct block_image *image);
bool storage_is_locked(const struct storage *storage, unsigned drive);
bool storage_is_tray_open(const struct storage *storage, unsigned drive);

/* Tells firmware which drives to boot from, one after the other, by fw_cfg's file "bootorder" of
 * Open Firmware paths. order is as in board.h; drives of the same sort come as they are in drives.
 * False: no memory, or no room for the file. */
bool storage_describe_boot(const struct storage *storage, unsigned order, struct fw_cfg *fw_cfg);

#endif
