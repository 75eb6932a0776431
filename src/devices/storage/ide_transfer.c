/* Moving a command's data: between image and buffer, and from there to the data register or, by the
 * bus master, to memory. */
#include "devices/storage/ide_internal.h"

#include <errno.h>

#define PRD_LAST (1u << 31)

/* --- Memory: the table of regions */

/* The next region of the table; false: there is none, or no memory. */
static bool next_region(struct ide_channel *channel)
{
    struct ide_master *master = &channel->master;
    uint8_t entry[8];
    if (master->last)
        return false;
    if (!pci_dma_read(&channel->ide->pci, master->next, entry, sizeof(entry)))
        return false;
    master->next += sizeof(entry);
    master->address = (uint32_t)load_le(entry, 4) & ~1u;
    master->size = (uint32_t)load_le(entry + 4, 4) & 0xfffe;
    if (!master->size)
        master->size = 0x10000;
    master->last = load_le(entry + 4, 4) & PRD_LAST;
    return true;
}

/* Moves size bytes between buffer and memory; false: the table has no room for all. */
static bool move(struct ide_channel *channel, uint8_t *buffer, unsigned size, bool to_memory)
{
    struct ide_master *master = &channel->master;
    struct pci_function *pci = &channel->ide->pci;
    while (size) {
        if (!master->size && !next_region(channel))
            return false;
        unsigned part = size < master->size ? size : master->size;
        if (to_memory)
            pci_dma_write(pci, master->address, buffer, part);
        else
            pci_dma_read(pci, master->address, buffer, part);
        master->address += part;
        master->size -= part;
        buffer += part;
        size -= part;
    }
    return true;
}

/* --- Moving data */

static void go_on(struct ide_device *device);

static void end_transfer(struct ide_device *device)
{
    device->transfer = IDE_NO_DATA;
    device->left = 0;
    device->dma = device->on_image = device->flushing = false;
    device->status &= ~(ATA_BSY | ATA_DRQ);
    device->channel->master.status &= ~BM_ACTIVE;
    device->channel->master.started = false;
}

void ide_finish(struct ide_device *device, uint8_t error)
{
    end_transfer(device);
    device->error = error;
    device->status = ATA_DRDY | ATA_DSC | (error ? ATA_ERR : 0);
    ide_set_interrupt(device->channel, true);
}

static void finish_with(struct ide_device *device, int error)
{
    if (device->by_packet)
        atapi_finish(device, error);
    else
        ide_finish(device, !error ? 0 : error == -EINVAL ? ATA_IDNF : ATA_ABRT);
}

static void request_done(struct block_request *request, int error)
{
    struct ide_device *device = request->opaque;
    if (error == -ECANCELED) {
        ide_finish(device, ATA_ABRT);
        return;
    }
    if (error || device->flushing) {
        finish_with(device, error);
        return;
    }
    device->offset += request->size;
    device->left -= request->size;
    device->at = 0;
    device->limit = device->transfer == IDE_READ ? (unsigned)request->size : 0;
    go_on(device);
}

/* The device is busy until the image has done it. */
static void submit(struct ide_device *device, enum block_operation operation, unsigned size)
{
    device->status = (device->status | ATA_BSY) & ~ATA_DRQ;
    device->iov = (struct iovec){device->buffer, size};
    device->request = (struct block_request){
        .operation = operation,
        .offset = device->offset,
        .size = size,
        .iov = &device->iov,
        .iov_count = size ? 1 : 0,
        .done = request_done,
        .opaque = device,
    };
    block_submit(device->config.image, &device->request);
}

void ide_flush(struct ide_device *device)
{
    device->flushing = true;
    submit(device, BLOCK_FLUSH, 0);
}

/* The host reads or writes the next block through the data register. */
static void offer_block(struct ide_device *device)
{
    unsigned size = device->limit - device->at;
    size = size < device->block ? size : device->block;
    device->block_end = device->at + size;
    device->status = (device->status | ATA_DRQ) & ~ATA_BSY;
    if (device->by_packet) {
        device->lba_mid = (uint8_t)size;
        device->lba_high = (uint8_t)(size >> 8);
        device->count = device->transfer == IDE_READ ? ATAPI_TO_HOST : 0;
    }
    ide_set_interrupt(device->channel, true);
}

static unsigned chunk(const struct ide_device *device)
{
    return device->left < IDE_BUFFER ? (unsigned)device->left : IDE_BUFFER;
}

static void end_command(struct ide_device *device)
{
    if (device->transfer == IDE_WRITE && !device->write_cache)
        ide_flush(device);
    else
        finish_with(device, 0);
}

/* By bus mastering: what is in the buffer goes to memory, or it is filled from there. */
static void go_on_by_dma(struct ide_device *device)
{
    struct ide_channel *channel = device->channel;
    unsigned size = chunk(device);
    if (device->transfer == IDE_READ) {
        if (device->limit && !move(channel, device->buffer, device->limit, true))
            finish_with(device, -EIO);
        else if (device->left)
            submit(device, BLOCK_READ, size);
        else
            end_command(device);
    } else if (!device->left) {
        end_command(device);
    } else if (move(channel, device->buffer, size, false)) {
        submit(device, BLOCK_WRITE, size);
    } else {
        finish_with(device, -EIO);
    }
}

/* The buffer's data, or room, is used up, or nothing has been moved yet. */
static void go_on(struct ide_device *device)
{
    if (device->dma) {
        go_on_by_dma(device);
    } else if (device->limit) {
        offer_block(device);
    } else if (!device->left) {
        end_command(device);
    } else if (device->transfer == IDE_READ) {
        submit(device, BLOCK_READ, chunk(device));
    } else {
        device->limit = chunk(device);
        offer_block(device);
    }
}

static void begin(struct ide_device *device, enum ide_transfer transfer, unsigned block)
{
    device->transfer = transfer;
    device->block = block;
    device->at = device->block_end = 0;
    device->status = ATA_BSY | ATA_DRDY | ATA_DSC; /* a CD drive's first command makes it ready */
    device->error = 0;
}

/* Where bus mastering does not run yet, the command waits for its start. */
void ide_begin_dma(struct ide_device *device)
{
    struct ide_master *master = &device->channel->master;
    device->status |= ATA_DRQ;
    if (!(master->command & BM_START) || master->started || !device->dma)
        return;
    device->status &= ~ATA_DRQ;
    master->started = true;
    master->status |= BM_ACTIVE;
    go_on(device);
}

void ide_send(struct ide_device *device, unsigned size, unsigned block)
{
    begin(device, IDE_READ, block);
    device->limit = size;
    if (device->dma)
        ide_begin_dma(device);
    else
        go_on(device);
}

/* The first block that the host is to write comes without an interrupt. */
void ide_transfer_image(struct ide_device *device, enum ide_transfer transfer, uint64_t offset,
                        uint64_t size, unsigned block)
{
    begin(device, transfer, block);
    device->on_image = true;
    device->offset = offset;
    device->left = size;
    device->limit = 0;
    if (device->dma) {
        ide_begin_dma(device);
        return;
    }
    go_on(device);
    if (transfer == IDE_WRITE)
        ide_set_interrupt(device->channel, false);
}

void ide_take_packet(struct ide_device *device)
{
    begin(device, IDE_PACKET, ATAPI_PACKET);
    device->limit = device->block_end = ATAPI_PACKET;
    device->status = (device->status | ATA_DRQ) & ~ATA_BSY;
    device->count = ATAPI_COMMAND;
}

/* A block of the data register has been moved. */
static void block_moved(struct ide_device *device)
{
    device->status &= ~ATA_DRQ;
    if (device->transfer == IDE_PACKET) {
        memcpy(device->packet, device->buffer, ATAPI_PACKET);
        device->transfer = IDE_NO_DATA;
        atapi_execute_packet(device);
    } else if (device->at < device->limit) {
        offer_block(device);
    } else if (device->transfer == IDE_WRITE) {
        submit(device, BLOCK_WRITE, device->limit);
    } else if (device->left) {
        device->limit = 0;
        go_on(device);
    } else if (device->by_packet) {
        atapi_finish(device, 0);
    } else {
        end_transfer(device); /* a disk's last block comes without another interrupt */
    }
}

uint64_t ide_data_read(struct ide_device *device, unsigned size)
{
    if (!(device->status & ATA_DRQ) || device->transfer != IDE_READ || device->dma)
        return 0;
    unsigned room = device->block_end - device->at;
    unsigned part = size < room ? size : room;
    uint64_t value = load_le(device->buffer + device->at, part);
    device->at += part;
    if (device->at == device->block_end)
        block_moved(device);
    return value;
}

void ide_data_write(struct ide_device *device, uint64_t value, unsigned size)
{
    bool takes = device->transfer == IDE_WRITE || device->transfer == IDE_PACKET;
    if (!(device->status & ATA_DRQ) || !takes || (device->dma && device->transfer == IDE_WRITE))
        return;
    unsigned room = device->block_end - device->at;
    unsigned part = size < room ? size : room;
    store_le(device->buffer + device->at, value, part);
    device->at += part;
    if (device->at == device->block_end)
        block_moved(device);
}

void ide_cancel(struct ide_device *device)
{
    if (device->config.image)
        block_cancel(device->config.image);
    end_transfer(device);
}

void ide_drop_image(struct ide_device *device)
{
    if (device->on_image)
        finish_with(device, -EIO);
}
