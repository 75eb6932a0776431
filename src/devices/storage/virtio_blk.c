#include "devices/storage/virtio_blk.h"

#include "backends/block/block.h"
#include "devices/virtio/virtio_pci.h"

#include <stdlib.h>

enum { QUEUE_SIZE = 256, SECTOR = 512, HEADER = 16, STATUS = 1, SEGMENT = 16 };
/* What a single discard or write of zeros may cover. */
#define SEGMENT_SECTORS (INT32_MAX / SECTOR)

#define FEATURE_SEG_MAX (1ull << 2)
#define FEATURE_RO (1ull << 5)
#define FEATURE_BLK_SIZE (1ull << 6)
#define FEATURE_FLUSH (1ull << 9)
#define FEATURE_DISCARD (1ull << 13)
#define FEATURE_WRITE_ZEROES (1ull << 14)

enum config_register {
    CONFIG_CAPACITY = 0, /* sectors, 8 bytes */
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_MAX_DISCARD_SECTORS = 36,
    CONFIG_MAX_DISCARD_SEG = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_MAX_WRITE_ZEROES_SECTORS = 48,
    CONFIG_MAX_WRITE_ZEROES_SEG = 52,
    CONFIG_WRITE_ZEROES_MAY_UNMAP = 56,
    CONFIG_LENGTH = 60,
};

enum request_type {
    TYPE_IN = 0,
    TYPE_OUT = 1,
    TYPE_FLUSH = 4,
    TYPE_GET_ID = 8,
    TYPE_DISCARD = 11,
    TYPE_WRITE_ZEROES = 13,
};

enum request_status { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2 };

struct request {
    struct virtio_blk *disk;
    struct request *next; /* that is free, too */
    struct block_request block;
    struct virtqueue_chain chain;
    struct iovec data[VIRTQUEUE_CHAIN_MAX];
};

struct virtio_blk {
    struct virtio_pci virtio;
    struct virtio_blk_config config;
    struct request *free;
    unsigned in_flight; /* at most QUEUE_SIZE */
};

/* --- Requests */

static struct request *take_request(struct virtio_blk *disk)
{
    struct request *request = disk->free;
    if (disk->in_flight == QUEUE_SIZE)
        return NULL;
    if (request)
        disk->free = request->next;
    else
        request = malloc(sizeof(*request));
    if (request) {
        request->disk = disk;
        disk->in_flight++;
    }
    return request;
}

static void give_request(struct request *request)
{
    struct virtio_blk *disk = request->disk;
    request->next = disk->free;
    disk->free = request;
    disk->in_flight--;
}

/* The status is the last byte of what the device writes. */
static void complete(struct request *request, uint8_t status)
{
    struct virtio_blk *disk = request->disk;
    uint64_t size = request->chain.in_size;
    virtqueue_write(&request->chain, size - STATUS, &status, STATUS);
    virtio_pci_push(&disk->virtio, 0, &request->chain, (uint32_t)size);
    give_request(request);
}

static void take_chains(struct virtio_pci *virtio, unsigned queue);

static void done(struct block_request *block, int error)
{
    struct request *request = block->opaque;
    struct virtio_blk *disk = request->disk;
    bool wrote = block->operation == BLOCK_WRITE || block->operation == BLOCK_WRITE_ZEROES;
    bool was_full = disk->in_flight == QUEUE_SIZE;
    /* A driver that knows no flush takes what is completed for written (5.2.6.2). */
    if (wrote && !error && !virtio_pci_has(&disk->virtio, FEATURE_FLUSH)) {
        block->operation = BLOCK_FLUSH;
        block_submit(disk->config.image, block);
        return;
    }
    complete(request, error ? STATUS_IOERR : STATUS_OK);
    virtio_pci_interrupt(&disk->virtio, 0);
    if (was_full)
        take_chains(&disk->virtio, 0);
}

static void submit(struct request *request, enum block_operation operation, uint64_t sector,
                   uint64_t size, bool may_unmap)
{
    struct virtio_blk *disk = request->disk;
    if (sector > UINT64_MAX / SECTOR) {
        complete(request, STATUS_IOERR);
        return;
    }
    request->block = (struct block_request){
        .operation = operation,
        .may_unmap = may_unmap,
        .offset = sector * SECTOR,
        .size = size,
        .iov = request->data,
        .done = done,
        .opaque = request,
    };
    if (operation == BLOCK_READ)
        request->block.iov_count = virtqueue_part(&request->chain, true, 0, size, request->data);
    else if (operation == BLOCK_WRITE)
        request->block.iov_count =
            virtqueue_part(&request->chain, false, HEADER, size, request->data);
    block_submit(disk->config.image, &request->block);
}

static void send_serial(struct request *request)
{
    const struct virtio_blk *disk = request->disk;
    uint64_t room = request->chain.in_size - STATUS;
    virtqueue_write(&request->chain, 0, disk->config.serial,
                    room < VIRTIO_BLK_SERIAL ? room : VIRTIO_BLK_SERIAL);
    complete(request, STATUS_OK);
}

/* One segment: sector, number of sectors, flags. */
static void clear_range(struct request *request, enum block_operation operation)
{
    uint8_t segment[SEGMENT];
    uint64_t size = virtqueue_read(&request->chain, HEADER, segment, sizeof(segment));
    uint32_t sectors = (uint32_t)load_le(segment + 8, 4),
             flags = (uint32_t)load_le(segment + 12, 4);
    uint32_t known = operation == BLOCK_WRITE_ZEROES ? 1 : 0;
    if (size != SEGMENT || request->chain.out_size != HEADER + SEGMENT)
        complete(request, STATUS_IOERR);
    else if (flags & ~known)
        complete(request, STATUS_UNSUPP);
    else if (sectors > SEGMENT_SECTORS)
        complete(request, STATUS_IOERR);
    else
        submit(request, operation, load_le(segment, 8), (uint64_t)sectors * SECTOR, flags & 1);
}

static void begin(struct request *request)
{
    const struct virtqueue_chain *chain = &request->chain;
    uint8_t header[HEADER];
    virtqueue_read(chain, 0, header, sizeof(header));
    uint64_t sector = load_le(header + 8, 8);
    switch (load_le(header, 4)) {
    case TYPE_IN:
        submit(request, BLOCK_READ, sector, chain->in_size - STATUS, false);
        break;
    case TYPE_OUT:
        submit(request, BLOCK_WRITE, sector, chain->out_size - HEADER, false);
        break;
    case TYPE_FLUSH:
        submit(request, BLOCK_FLUSH, 0, 0, false);
        break;
    case TYPE_GET_ID:
        send_serial(request);
        break;
    case TYPE_DISCARD:
        clear_range(request, BLOCK_DISCARD);
        break;
    case TYPE_WRITE_ZEROES:
        clear_range(request, BLOCK_WRITE_ZEROES);
        break;
    default:
        complete(request, STATUS_UNSUPP);
    }
}

static void take_chains(struct virtio_pci *virtio, unsigned queue)
{
    struct virtio_blk *disk = (struct virtio_blk *)virtio;
    struct request *request;
    while ((request = take_request(disk))) {
        if (!virtio_pci_pop(virtio, queue, &request->chain)) {
            give_request(request);
            break;
        }
        if (request->chain.out_size < HEADER || request->chain.in_size < STATUS) {
            give_request(request);
            virtio_pci_fail(virtio);
            break;
        }
        begin(request);
    }
    virtio_pci_interrupt(virtio, queue);
}

static void reset(struct virtio_pci *virtio)
{
    block_cancel(((struct virtio_blk *)virtio)->config.image);
}

static const struct virtio_pci_ops ops = {
    .name = "virtio-blk", .notify = take_chains, .reset = reset};

/* --- Life */

static void fill_config(struct virtio_blk *disk)
{
    uint8_t *config = disk->virtio.config;
    store_le(config + CONFIG_CAPACITY, block_size(disk->config.image) / SECTOR, 8);
    store_le(config + CONFIG_SEG_MAX, QUEUE_SIZE - 2, 4); /* without header and status */
    store_le(config + CONFIG_BLK_SIZE, SECTOR, 4);
    if (block_is_readonly(disk->config.image))
        return;
    store_le(config + CONFIG_MAX_DISCARD_SECTORS, SEGMENT_SECTORS, 4);
    store_le(config + CONFIG_MAX_DISCARD_SEG, 1, 4);
    store_le(config + CONFIG_DISCARD_ALIGNMENT, 1, 4);
    store_le(config + CONFIG_MAX_WRITE_ZEROES_SECTORS, SEGMENT_SECTORS, 4);
    store_le(config + CONFIG_MAX_WRITE_ZEROES_SEG, 1, 4);
    config[CONFIG_WRITE_ZEROES_MAY_UNMAP] = 1;
}

struct virtio_blk *virtio_blk_create(const struct virtio_blk_config *config)
{
    struct virtio_blk *disk = calloc(1, sizeof(*disk));
    uint64_t features = FEATURE_SEG_MAX | FEATURE_BLK_SIZE | FEATURE_FLUSH;
    if (!disk)
        return NULL;
    disk->config = *config;
    features |=
        block_is_readonly(config->image) ? FEATURE_RO : FEATURE_DISCARD | FEATURE_WRITE_ZEROES;
    bool made = virtio_pci_init(&disk->virtio, &ops,
                                &(struct virtio_pci_identity){
                                    .type = VIRTIO_TYPE_BLOCK,
                                    .transitional_id = 0x1001,
                                    .class_code = 0x010000,
                                    .features = features,
                                    .queues = 1,
                                    .queue_size = QUEUE_SIZE,
                                    .config_size = CONFIG_LENGTH,
                                });
    fill_config(disk);
    if (made && virtio_pci_attach(&disk->virtio, config->bus, config->slot))
        return disk;
    virtio_blk_destroy(disk);
    return NULL;
}

void virtio_blk_destroy(struct virtio_blk *disk)
{
    if (!disk)
        return;
    while (disk->free) {
        struct request *next = disk->free->next;
        free(disk->free);
        disk->free = next;
    }
    virtio_pci_free(&disk->virtio);
    free(disk);
}

struct pci_function *virtio_blk_function(struct virtio_blk *disk)
{
    return &disk->virtio.pci;
}
