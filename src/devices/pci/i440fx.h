/* The 82441FX (440FX): configuration mechanism 1, and what a chipset hides and shows of the RAM
 * below 1 MiB (Intel's data sheet 290549). Function 0.0. All calls with the bus lock held. */
#ifndef DOPPEL_DEVICES_PCI_I440FX_H
#define DOPPEL_DEVICES_PCI_I440FX_H

#include "devices/pci/pci_bus.h"

#define I440FX_ADDRESS_PORT 0xcf8u /* 4 ports; those of narrower accesses are ISA's */
#define I440FX_NARROW_OFFSET 1u
#define I440FX_DATA_PORT 0xcfcu /* 4 ports */

/* The segments that the PAM registers control: F0000-FFFFF, then C0000 to EFFFF in steps of 16 KiB.
 */
enum { I440FX_SEGMENTS = 13 };

static inline uint64_t i440fx_segment_base(unsigned segment)
{
    return segment ? 0xc0000 + (segment - 1) * 0x4000 : 0xf0000;
}

static inline uint64_t i440fx_segment_size(unsigned segment)
{
    return segment ? 0x4000 : 0x10000;
}

struct i440fx;

/* Nothing is owned. */
struct i440fx_config {
    struct pci_bus *bus;
    /* RAM answers reads of a segment, writes to it; else PCI does. */
    void (*show_segment)(void *opaque, unsigned segment, bool reads, bool writes);
    /* RAM, not PCI, is at A0000-BFFFF: for all, or for CPUs in SMM. */
    void (*show_smram)(void *opaque, bool all, bool smm);
    void *opaque;
    /* What byte accesses to the address register's second port reach: the PIIX3's reset control.
     */
    const struct bus_ops *narrow_ops;
    void *narrow;
};

/* NULL where the host has no memory, or the bus has a function 0.0. */
struct i440fx *i440fx_create(const struct i440fx_config *config);
void i440fx_destroy(struct i440fx *host);

/* As firmware leaves it: RAM everywhere above C0000. */
void i440fx_shadow(struct i440fx *host);

/* The device of both is the struct i440fx. */
extern const struct bus_ops i440fx_address_ops, i440fx_data_ops;

#endif
