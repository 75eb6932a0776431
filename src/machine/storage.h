/* The board's storage devices: one for each drive, and their controllers. Bus lock held, or before
 * the vCPU starts. */
#ifndef DOPPEL_MACHINE_STORAGE_H
#define DOPPEL_MACHINE_STORAGE_H

#include "base/error.h"
#include "bus/irq.h"

struct bus;
struct drives;
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

#endif
