/* The PIIX4's SMBus host (Intel's data sheet 290562, 7.4), with nothing on the bus. All calls with
 * the bus lock held. */
#ifndef DOPPEL_DEVICES_PCI_PIIX4_SMBUS_H
#define DOPPEL_DEVICES_PCI_PIIX4_SMBUS_H

#include "bus/bus.h"

#define PIIX4_SMBUS_PORTS 16u

struct piix4_smbus {
    uint8_t status;
    uint8_t registers[8];
};

extern const struct bus_ops piix4_smbus_ops;

#endif
