/* A PCI bus without bridges below it: which functions there are, their configuration space, where
 * their BARs are mapped, and what becomes of their interrupts. All calls with the bus lock held, or
 * before the vCPU starts. */
#ifndef DOPPEL_DEVICES_PCI_PCI_BUS_H
#define DOPPEL_DEVICES_PCI_PCI_BUS_H

#include "bus/irq.h"
#include "devices/irq/apic_bus.h"
#include "devices/pci/pci.h"

enum { PCI_SLOTS = 32, PCI_FUNCTIONS = PCI_SLOTS * 8, PCI_LINES = 4 };
#define PCI_ANY_SLOT UINT32_MAX

static inline uint8_t pci_devfn(unsigned slot, unsigned function)
{
    return (uint8_t)(slot << 3 | function);
}

/* Nothing is owned. */
struct pci_bus_config {
    struct bus *bus;
    struct dma dma;
    struct direct_memory direct; /* for BARs of RAM; without ops they are on the bus alone */
    struct apic_bus *apic_bus;   /* takes messages */
    /* The interrupt lines of the board, to the ISA bridge's PIRQ# inputs. Pin p of slot s drives
     * line (p + s - 1) mod 4, with INTA# as 0. */
    struct irq_line line[PCI_LINES];
};

/* NULL where the host has no memory. */
struct pci_bus *pci_bus_create(const struct pci_bus_config *config);
/* Before the functions are destroyed, or after. */
void pci_bus_destroy(struct pci_bus *bus);
/* RST#: all functions. */
void pci_bus_reset(struct pci_bus *bus);

/* Puts a function, not owned, into a slot; PCI_ANY_SLOT is the first that is empty. False: it is
 * not. */
bool pci_bus_attach(struct pci_bus *bus, struct pci_function *function, unsigned slot,
                    unsigned number);
/* NULL: there is none. */
struct pci_function *pci_bus_function(struct pci_bus *bus, uint8_t devfn);

/* The interrupt line, 0 to 3, that its pin drives; it has one and is attached. */
unsigned pci_line_of(const struct pci_function *function);

/* Cycles of configuration space: size is 1, 2 or 4 at a multiple of it. Without a function reads
 * are all ones. */
uint32_t pci_bus_read(struct pci_bus *bus, uint8_t devfn, unsigned offset, unsigned size);
void pci_bus_write(struct pci_bus *bus, uint8_t devfn, unsigned offset, uint32_t value,
                   unsigned size);

#endif
