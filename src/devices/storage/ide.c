#include "devices/storage/ide_internal.h"

#include <stdlib.h>

/* The command block's registers. */
enum {
    REG_DATA,
    REG_ERROR, /* features, when written */
    REG_COUNT,
    REG_LBA_LOW,
    REG_LBA_MID,
    REG_LBA_HIGH,
    REG_DEVICE,
    REG_STATUS, /* command, when written */
};

enum { CONTROL_NIEN = 0x02, CONTROL_SRST = 0x04, CONTROL_HOB = 0x80 };

/* Bus master registers, at 8 * channel. */
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_TABLE = 4, BM_CHANNEL = 8 };
enum { BM_CAPABLE = 0x60 };

static bool is_there(const struct ide_device *device)
{
    return device->config.kind != IDE_NONE;
}

/* --- Interrupts */

static void update_irq(struct ide_channel *channel)
{
    const struct ide_config *config = &channel->ide->config;
    irq_set(&config->irq[channel->number],
            channel->interrupt && !(channel->control & CONTROL_NIEN));
}

void ide_set_interrupt(struct ide_channel *channel, bool level)
{
    channel->interrupt = level;
    if (level)
        channel->master.status |= BM_INTERRUPT;
    update_irq(channel);
}

/* --- The command block */

static void reset_device(struct ide_device *device)
{
    if (!is_there(device))
        return;
    ide_cancel(device);
    ata_reset(device);
}

static void reset_channel(struct ide_channel *channel)
{
    for (unsigned i = 0; i < IDE_DEVICES; i++)
        reset_device(&channel->device[i]);
    channel->selected = 0;
    channel->interrupt = false;
    channel->master.started = false;
    update_irq(channel);
}

static uint64_t command_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ide_channel *channel = opaque;
    struct ide_device *device = &channel->device[channel->selected];
    unsigned shift = channel->control & CONTROL_HOB ? 8 : 0;
    if (offset == REG_STATUS)
        ide_set_interrupt(channel, false);
    if (!is_there(device))
        return 0;
    switch (offset) {
    case REG_DATA:
        return ide_data_read(device, size);
    case REG_ERROR:
        return device->error;
    case REG_COUNT:
        return (uint8_t)(device->count >> shift);
    case REG_LBA_LOW:
        return (uint8_t)(device->lba_low >> shift);
    case REG_LBA_MID:
        return (uint8_t)(device->lba_mid >> shift);
    case REG_LBA_HIGH:
        return (uint8_t)(device->lba_high >> shift);
    case REG_DEVICE:
        return device->device;
    default:
        return device->status;
    }
}

static void execute(struct ide_channel *channel, uint8_t command)
{
    enum { EXECUTE_DIAGNOSTIC = 0x90, DEVICE_RESET = 0x08 };
    struct ide_device *device = &channel->device[channel->selected];
    if (command == EXECUTE_DIAGNOSTIC) {
        reset_channel(channel);
        ide_set_interrupt(channel, true);
        return;
    }
    if (!is_there(device))
        return;
    if (command == DEVICE_RESET && device->config.kind == IDE_CD) {
        reset_device(device);
        return;
    }
    if (device->status & (ATA_BSY | ATA_DRQ))
        return;
    ide_set_interrupt(channel, false);
    device->dma = false;
    if (device->config.kind == IDE_CD)
        atapi_execute(device, command);
    else
        ata_execute(device, command);
}

/* All registers but the data and the command are those of both devices. */
static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ide_channel *channel = opaque;
    if (offset == REG_DATA) {
        if (is_there(&channel->device[channel->selected]))
            ide_data_write(&channel->device[channel->selected], value, size);
        return;
    }
    channel->control &= ~CONTROL_HOB;
    if (offset == REG_STATUS) {
        execute(channel, (uint8_t)value);
        return;
    }
    if (offset == REG_DEVICE)
        channel->selected = value & ATA_DEV ? 1 : 0;
    for (unsigned i = 0; i < IDE_DEVICES; i++) {
        struct ide_device *device = &channel->device[i];
        uint16_t *const registers[] = {
            [REG_ERROR] = &device->features,    [REG_COUNT] = &device->count,
            [REG_LBA_LOW] = &device->lba_low,   [REG_LBA_MID] = &device->lba_mid,
            [REG_LBA_HIGH] = &device->lba_high,
        };
        if (device->status & (ATA_BSY | ATA_DRQ))
            continue;
        if (offset == REG_DEVICE)
            device->device = (uint8_t)value | 0xa0;
        else
            *registers[offset] = (uint16_t)(*registers[offset] << 8 | (uint8_t)value);
    }
}

static uint64_t control_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ide_channel *channel = opaque;
    const struct ide_device *device = &channel->device[channel->selected];
    (void)offset;
    (void)size;
    return is_there(device) ? device->status : 0;
}

static void control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ide_channel *channel = opaque;
    uint8_t set = (uint8_t)value & ~channel->control;
    (void)offset;
    (void)size;
    channel->control = (uint8_t)value;
    if (set & CONTROL_SRST)
        reset_channel(channel);
    update_irq(channel);
}

const struct bus_ops ide_command_ops = {"IDE", command_read, command_write, 1, 4};
const struct bus_ops ide_control_ops = {"IDE control", control_read, control_write, 1, 1};

/* --- The bus master */

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    const struct ide *ide = opaque;
    const struct ide_master *master = &ide->channel[offset / BM_CHANNEL].master;
    uint8_t image[BM_CHANNEL] = {[BM_COMMAND] = master->command, [BM_STATUS] = master->status};
    store_le(image + BM_TABLE, master->table, 4);
    return load_le(image + offset % BM_CHANNEL, size);
}

/* Stopping in the midst of a transfer ends it. */
static void write_master_command(struct ide_channel *channel, uint8_t value)
{
    struct ide_master *master = &channel->master;
    bool was = master->command & BM_START;
    master->command = value & (BM_START | BM_TO_MEMORY);
    if (was && !(value & BM_START)) {
        for (unsigned i = 0; master->started && i < IDE_DEVICES; i++)
            if (channel->device[i].dma)
                ide_cancel(&channel->device[i]);
        master->status &= ~BM_ACTIVE;
    } else if (!was && value & BM_START) {
        master->next = master->table;
        master->size = 0;
        master->last = master->started = false;
        master->status |= BM_ACTIVE;
        for (unsigned i = 0; i < IDE_DEVICES; i++)
            if (channel->device[i].dma && channel->device[i].status & ATA_DRQ &&
                channel->device[i].transfer != IDE_PACKET)
                ide_begin_dma(&channel->device[i]);
    }
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ide *ide = opaque;
    struct ide_channel *channel = &ide->channel[offset / BM_CHANNEL];
    struct ide_master *master = &channel->master;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        unsigned at = (unsigned)(offset + i) % BM_CHANNEL;
        if (at == BM_COMMAND)
            write_master_command(channel, byte);
        else if (at == BM_STATUS)
            master->status = (master->status & (BM_ACTIVE | BM_ERROR | BM_INTERRUPT) &
                              ~(byte & (BM_ERROR | BM_INTERRUPT))) |
                             (byte & BM_CAPABLE);
        else if (at >= BM_TABLE)
            store_le((uint8_t *)&master->table + at - BM_TABLE, at == BM_TABLE ? byte & ~3u : byte,
                     1);
    }
}

static const struct bus_ops master_ops = {"IDE bus master", master_read, master_write, 1, 4};

static void reset_function(struct pci_function *function)
{
    struct ide *ide = (struct ide *)function;
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        ide->channel[i].control = 0;
        ide->channel[i].master = (struct ide_master){0};
        reset_channel(&ide->channel[i]);
    }
}

static const struct pci_ops pci_ops = {.name = "PIIX3 IDE", .reset = reset_function};

/* --- Media and life */

struct block_image *ide_change_medium(struct ide *ide, unsigned channel, unsigned number,
                                      struct block_image *image)
{
    struct ide_device *device = &ide->channel[channel].device[number];
    struct block_image *before = device->config.image;
    if (before)
        block_drain(before);
    ide_drop_image(device);
    device->config.image = image;
    device->tray_open = !image;
    device->tray_locked = false;
    device->attention = device->event = true;
    return before;
}

bool ide_is_locked(const struct ide *ide, unsigned channel, unsigned number)
{
    return ide->channel[channel].device[number].tray_locked;
}

bool ide_is_tray_open(const struct ide *ide, unsigned channel, unsigned number)
{
    return ide->channel[channel].device[number].tray_open;
}

struct ide_channel *ide_channel(struct ide *ide, unsigned channel)
{
    return &ide->channel[channel];
}

static void describe_function(struct ide *ide)
{
    struct pci_function *pci = &ide->pci;
    pci_init(pci, &pci_ops,
             &(struct pci_identity){.vendor = 0x8086, .device = 0x7010, .class_code = 0x010180});
    pci_set(pci, PCI_STATUS, PCI_STATUS_FAST_BACK_TO_BACK | PCI_STATUS_DEVSEL_MEDIUM, 2);
    pci_describe(pci, PIIX3_IDETIM, 0, 0xffff, 2);
    pci_describe(pci, PIIX3_IDETIM + 2, 0, 0xffff, 2);
    pci_add_bar(pci, 4, PCI_BAR_IO, IDE_CHANNELS * BM_CHANNEL, &master_ops, ide);
}

struct ide *ide_create(const struct ide_config *config)
{
    struct ide *ide = calloc(1, sizeof(*ide));
    if (!ide)
        return NULL;
    ide->config = *config;
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *channel = &ide->channel[i];
        channel->ide = ide;
        channel->number = i;
        for (unsigned j = 0; j < IDE_DEVICES; j++) {
            struct ide_device *device = &channel->device[j];
            device->channel = channel;
            device->number = j;
            device->config = config->device[i][j];
            ata_reset(device);
        }
    }
    describe_function(ide);
    if (pci_bus_attach(config->bus, &ide->pci, config->slot, IDE_FUNCTION))
        return ide;
    ide_destroy(ide);
    return NULL;
}

void ide_destroy(struct ide *ide)
{
    if (!ide)
        return;
    pci_free(&ide->pci);
    free(ide);
}
