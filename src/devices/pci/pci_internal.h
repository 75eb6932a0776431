/* What the files of PCI's core share. */
#ifndef DOPPEL_DEVICES_PCI_PCI_INTERNAL_H
#define DOPPEL_DEVICES_PCI_PCI_INTERNAL_H

#include "devices/pci/pci_bus.h"

struct pci_bus {
    struct pci_bus_config config;
    struct pci_function *functions[PCI_FUNCTIONS];
    unsigned asserted[PCI_LINES]; /* how many functions drive each interrupt line */
};

/* pci_msi.c: after a write to the capabilities; and a reset. */
void pci_msi_written(struct pci_function *function);
void pci_msi_reset(struct pci_function *function);

/* pci.c: after the command register has changed. */
void pci_update_intx(struct pci_function *function);

#endif
