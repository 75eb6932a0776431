/* What the files of the IDE controller share: ide.c has the registers, ide_transfer.c
 * moves data, ata.c the commands of disks, atapi.c those of CD drives. */
#ifndef DOPPEL_DEVICES_STORAGE_IDE_INTERNAL_H
#define DOPPEL_DEVICES_STORAGE_IDE_INTERNAL_H

#include "backends/block/block.h"
#include "devices/storage/ide.h"

/* Bits of the bus master's registers. */
enum { BM_START = 1, BM_TO_MEMORY = 8 };
enum { BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4 };

enum { ATA_SECTOR = 512, CD_SECTOR = 2048, IDE_BUFFER = 128 * 1024, ATAPI_PACKET = 12 };

enum ata_status {
    ATA_ERR = 0x01, /* CHK for CD drives */
    ATA_DRQ = 0x08,
    ATA_DSC = 0x10,
    ATA_DRDY = 0x40,
    ATA_BSY = 0x80,
};

enum ata_error { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };

enum ata_device_register { ATA_DEV = 0x10, ATA_LBA = 0x40 };

/* The interrupt reason of packet commands, in the sector count. */
enum atapi_reason { ATAPI_COMMAND = 1, ATAPI_TO_HOST = 2 };

/* How a command moves its data. */
enum ide_transfer {
    IDE_NO_DATA,
    IDE_READ,   /* to the host (the guest) */
    IDE_WRITE,  /* from the host */
    IDE_PACKET, /* a command packet from the host */
};

struct ide_device {
    struct ide_channel *channel;
    struct ide_device_config config;
    unsigned number;

    /* Registers. What was in those of 48-bit commands before is in the high bytes. */
    uint8_t status, error, device;
    uint16_t features, count, lba_low, lba_mid, lba_high;

    /* A disk's settings. */
    unsigned heads, sectors; /* of the geometry that the guest has set */
    unsigned multiple;       /* sectors a block; 0: not set */
    bool write_cache;
    uint8_t dma_mode; /* as SET FEATURES has set it */

    /* A CD drive's. */
    bool tray_open, tray_locked;
    bool attention, event; /* the host is to be told of another medium, by sense and by event */
    uint8_t sense_key, sense_code, sense_qualifier;
    uint8_t packet[ATAPI_PACKET];

    /* The command that is being carried out: first..limit of the buffer is what the host moves
     * next, in blocks. `left` is what the image still has to give or take after that. */
    enum ide_transfer transfer;
    bool dma;       /* the bus master moves it */
    bool on_image;  /* it is the image's */
    bool by_packet; /* a CD drive's packet command */
    unsigned at, block_end, limit, block;
    uint64_t offset, left; /* bytes */
    struct block_request request;
    struct iovec iov;
    bool flushing; /* the request is a flush that ends the command */
    uint8_t buffer[IDE_BUFFER];
};

/* Bus master registers of a channel. */
struct ide_master {
    uint8_t command, status;
    uint32_t table;         /* BMIDTP */
    uint32_t next;          /* descriptor */
    uint32_t address, size; /* of the rest of the current region */
    bool last, started;     /* the region is the table's last; a transfer has begun */
};

struct ide_channel {
    struct ide *ide;
    unsigned number;
    uint8_t control;
    unsigned selected;
    bool interrupt; /* INTRQ, without regard to nIEN */
    struct ide_device device[IDE_DEVICES];
    struct ide_master master;
};

struct ide {
    struct pci_function pci;
    struct ide_config config;
    struct ide_channel channel[IDE_CHANNELS];
};

/* --- ide.c */

/* INTRQ of the channel. */
void ide_set_interrupt(struct ide_channel *channel, bool level);

/* --- ide_transfer.c, for commands */

/* Ends the command, with an error register's bits or 0. */
void ide_finish(struct ide_device *device, uint8_t error);
/* Data of the device's own, in its buffer, goes to the host, in blocks of `block` bytes at most. */
void ide_send(struct ide_device *device, unsigned size, unsigned block);
/* Data of the image goes to the host, or comes from it. */
void ide_transfer_image(struct ide_device *device, enum ide_transfer transfer, uint64_t offset,
                        uint64_t size, unsigned block);
/* Flushes the image, then ends the command. */
void ide_flush(struct ide_device *device);
/* The host is to write a command packet. */
void ide_take_packet(struct ide_device *device);

/* The same, for registers. */
uint64_t ide_data_read(struct ide_device *device, unsigned size);
void ide_data_write(struct ide_device *device, uint64_t value, unsigned size);
/* Begins to move a command's data where the bus master runs; else the command waits for that. */
void ide_begin_dma(struct ide_device *device);
/* Stops what is in flight, and the command with it. */
void ide_cancel(struct ide_device *device);
/* The image goes away: a command that still needs it fails. */
void ide_drop_image(struct ide_device *device);

/* --- ata.c */

void ata_reset(struct ide_device *device);
void ata_execute(struct ide_device *device, uint8_t command);
void ata_set_signature(struct ide_device *device);
/* A string of identify data, whose words have the first character on top. */
void ata_put_string(uint8_t *at, const char *text, unsigned length);
void ata_put_word(struct ide_device *device, unsigned word, unsigned value);

/* --- atapi.c */

void atapi_execute(struct ide_device *device, uint8_t command);
void atapi_execute_packet(struct ide_device *device);
/* Ends a packet command; a block layer's error, or 0. */
void atapi_finish(struct ide_device *device, int error);

#endif
