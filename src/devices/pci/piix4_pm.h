/* The PIIX4's function 3, power management (Intel's data sheet 290562, 7.1): it puts the registers
 * of an acpi_pm and of an SMBus host where the guest wants them. Function 1.3. All calls with the
 * bus lock held. */
#ifndef DOPPEL_DEVICES_PCI_PIIX4_PM_H
#define DOPPEL_DEVICES_PCI_PIIX4_PM_H

#include "devices/pci/pci_bus.h"

enum piix4_pm_register {
    PIIX4_PMBASE = 0x40,
    PIIX4_DEVACTB = 0x58,
    PIIX4_PMREGMISC = 0x80,
    PIIX4_SMBBA = 0x90,
    PIIX4_SMBHSTCFG = 0xd2,

    PIIX4_APMC_ENABLE = 1 << 25, /* in DEVACTB */
};

/* Where firmware puts the SMBus host's 16 ports. */
#define PIIX4_SMBUS_PORT 0x700u

struct acpi_pm;
struct piix4_pm;

/* Nothing is owned. */
struct piix4_pm_config {
    struct pci_bus *bus;
    struct bus *ports;
    struct acpi_pm *pm;
};

/* NULL where the host has no memory, or the bus has a function 1.3. */
struct piix4_pm *piix4_pm_create(const struct piix4_pm_config *config);
void piix4_pm_destroy(struct piix4_pm *pm);

#endif
