/* The PIIX3's function 0, the ISA bridge (Intel's data sheet 290550): which IRQ the PCI interrupt
 * lines become. Function 1.0. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_PCI_PIIX3_H
#define DOPPEL_DEVICES_PCI_PIIX3_H

#include "devices/pci/pci_bus.h"

enum { PIIX3_SLOT = 1 };
#define PIIX3_PIRQRC 0x60u /* 4 registers: PIRQA# to PIRQD#; bit 7: not routed */

struct piix3;

/* Nothing is owned. */
struct piix3_config {
    struct pci_bus *bus;
    irq_set_fn *set_irq; /* input: an ISA IRQ; the level that PCI drives it with */
    void *opaque;
};

/* NULL where the host has no memory, or the bus has a function 1.0. */
struct piix3 *piix3_create(const struct piix3_config *config);
void piix3_destroy(struct piix3 *bridge);

/* An irq_set_fn: input 0 to 3 is PIRQA# to PIRQD#. */
void piix3_set_pirq(void *bridge, unsigned pirq, bool level);

#endif
