/* The PCI part of the board: bus, host bridge, ISA bridge and power management, and the memory
 * below 1 MiB that the host bridge shows and hides. Bus lock held, or before the vCPU starts. */
#ifndef DOPPEL_MACHINE_CHIPSET_H
#define DOPPEL_MACHINE_CHIPSET_H

#include "base/error.h"
#include "bus/irq.h"
#include "devices/pci/pci_bus.h"

struct acpi_pm;
struct chipset;
struct memory_windows;
struct phys_map;
struct reset_control;

/* Nothing is owned. */
struct chipset_config {
    struct bus *bus;
    struct phys_map *phys;
    struct direct_memory direct; /* of phys, or without ops */
    const struct memory_windows *windows;
    struct apic_bus *apic_bus;
    struct acpi_pm *pm;
    struct reset_control *reset_control;
    irq_set_fn *set_irq; /* input: the ISA IRQ that PCI drives */
    void *opaque;
};

struct chipset *chipset_create(const struct chipset_config *config, struct error *error);
void chipset_destroy(struct chipset *chipset);
void chipset_reset(struct chipset *chipset);

/* As firmware leaves it: RAM shadowed, power management at its ports, PCI interrupts routed. Which
 * ISA IRQs those are: */
#define CHIPSET_PCI_IRQS (1u << 10 | 1u << 11)
void chipset_enter_after_firmware(struct chipset *chipset);

struct pci_bus *chipset_pci_bus(struct chipset *chipset);

#endif
