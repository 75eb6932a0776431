/* The PIIX3's function 1, an IDE controller with two channels of two devices each (Intel's data
 * sheet 290550; ATA/ATAPI-6; Bus Master IDE 1.0): disks and CD drives. Function 1.1.
 *
 *   ports 0x1f0, 0x170, 8 each   ide_command_ops, of the channel
 *   ports 0x3f6, 0x376, 1 each   ide_control_ops
 *   BAR 4, 16 ports              bus master registers
 *
 * All calls with the bus lock held, or before the vCPU starts. */
#ifndef DOPPEL_DEVICES_STORAGE_IDE_H
#define DOPPEL_DEVICES_STORAGE_IDE_H

#include "bus/irq.h"
#include "devices/pci/pci_bus.h"

enum { IDE_CHANNELS = 2, IDE_DEVICES = 2, IDE_FUNCTION = 1 };
#define IDE_COMMAND_PORTS 8u
#define IDE_CONTROL_PORTS 1u

/* IDETIM, in configuration space: a register for each channel; bit 15 enables its ports for
 * systems that look (here they always answer). */
#define PIIX3_IDETIM 0x40u
#define PIIX3_IDETIM_ENABLE 0x8000u

struct block_image;
struct ide;
struct ide_channel;

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CD };

struct ide_device_config {
    enum ide_kind kind;
    struct block_image *image; /* NULL for a CD drive: there is no medium */
    char serial[21];
};

/* Nothing is owned. */
struct ide_config {
    struct pci_bus *bus;
    unsigned slot; /* of the PIIX3 */
    struct irq_line irq[IDE_CHANNELS];
    struct ide_device_config device[IDE_CHANNELS][IDE_DEVICES];
};

/* NULL: the host has no memory, or the bus has such a function. */
struct ide *ide_create(const struct ide_config *config);
/* With nothing in flight, or after the images were closed. NULL: nothing. */
void ide_destroy(struct ide *ide);

struct ide_channel *ide_channel(struct ide *ide, unsigned channel);
extern const struct bus_ops ide_command_ops, ide_control_ops;

/* Puts another medium into a CD drive, or takes it out and leaves the tray open (NULL), and returns
 * the one that was there, which has nothing in flight then. */
struct block_image *ide_change_medium(struct ide *ide, unsigned channel, unsigned device,
                                      struct block_image *image);
/* Whether the guest has locked a CD drive's tray. */
bool ide_is_locked(const struct ide *ide, unsigned channel, unsigned device);
bool ide_is_tray_open(const struct ide *ide, unsigned channel, unsigned device);

#endif
