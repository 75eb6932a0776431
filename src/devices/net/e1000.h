/* Intel's 82540EM (PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual),
 * as QEMU's e1000: registers in memory and through I/O ports, an EEPROM of 64 words, a PHY whose
 * link is always up at 1 Gbit/s. What it has not: wake-up, management, flow control, loopback, and
 * delays of interrupts other than ITR. */
#ifndef DOPPEL_DEVICES_NET_E1000_H
#define DOPPEL_DEVICES_NET_E1000_H

#include "backends/net/net.h"
#include "bus/clock.h"
#include "devices/pci/pci_bus.h"

struct e1000;

/* Nothing is owned. */
struct e1000_config {
    struct pci_bus *bus;
    unsigned slot; /* or PCI_ANY_SLOT */
    struct clock *clock;
    struct net *net;
    uint8_t mac[6];
};

/* NULL: the host has no memory, or the bus no room. */
struct e1000 *e1000_create(const struct e1000_config *config);
void e1000_destroy(struct e1000 *nic); /* NULL: nothing. Bus lock held, or the vCPU has stopped. */

#endif
