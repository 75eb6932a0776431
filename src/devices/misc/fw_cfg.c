#include "devices/misc/fw_cfg.h"

#include "base/bits.h"

#include <stdlib.h>

#define ITEMS (16 + FW_CFG_FILES)
#define KEY_MASK 0xbfffu    /* bit 14 of a selector asks for writes, which nothing takes */
#define ZEROES_MAX 0x10000u /* how far a DMA read may go beyond an item's end */
#define ID_PORTS_AND_DMA 3u
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

/* A DMA command: control, length, address, big-endian. */
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { DMA_COMMAND_SIZE = 16 };

/* The directory: a count, then an entry a file: size, key, reserved, name; big-endian. */
enum { ENTRY_SIZE = 64, ENTRY_KEY = 4, ENTRY_NAME = 8 };

struct item {
    uint16_t key;
    uint8_t *data; /* owned */
    uint32_t size;
    fw_cfg_fill_fn *fill; /* or NULL */
    void *opaque;
};

struct fw_cfg {
    struct dma dma;
    unsigned count, files;
    struct item items[ITEMS];
    const struct item *selected; /* or NULL */
    uint32_t offset;
    uint64_t dma_address;
};

static void store_be(uint8_t *at, uint64_t value, unsigned size)
{
    store_le(at, __builtin_bswap64(value) >> (64 - 8 * size), size);
}

static uint64_t load_be(const uint8_t *at, unsigned size)
{
    return __builtin_bswap64(load_le(at, size)) >> (64 - 8 * size);
}

static struct item *find(struct fw_cfg *fw_cfg, unsigned key)
{
    for (unsigned i = 0; i < fw_cfg->count; i++) {
        if (fw_cfg->items[i].key == key)
            return &fw_cfg->items[i];
    }
    return NULL;
}

static void select_item(struct fw_cfg *fw_cfg, unsigned key)
{
    struct item *item = find(fw_cfg, key & KEY_MASK);
    if (item && item->fill)
        item->fill(item->opaque, item->data, item->size);
    fw_cfg->selected = item;
    fw_cfg->offset = 0;
}

/* How much of the selected item is left. */
static uint32_t remaining(const struct fw_cfg *fw_cfg)
{
    return fw_cfg->selected ? fw_cfg->selected->size - fw_cfg->offset : 0;
}

/* --- Ports */

static uint64_t port_read(void *device, uint64_t offset, unsigned size)
{
    struct fw_cfg *fw_cfg = device;
    if (size != 1 || offset != 1 || !remaining(fw_cfg))
        return 0;
    return fw_cfg->selected->data[fw_cfg->offset++];
}

static void port_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    if (size == 2)
        select_item(device, (unsigned)value);
}

const struct bus_ops fw_cfg_ops = {"fw_cfg", port_read, port_write, 1, 2};

/* --- DMA */

static bool read_item(struct fw_cfg *fw_cfg, uint64_t address, uint32_t length)
{
    static const uint8_t zeroes[ZEROES_MAX];
    const struct dma *dma = &fw_cfg->dma;
    uint32_t there = remaining(fw_cfg) < length ? remaining(fw_cfg) : length;
    if (length - there > ZEROES_MAX)
        return false;
    if (there &&
        !dma->ops->write(dma->opaque, address, fw_cfg->selected->data + fw_cfg->offset, there))
        return false;
    fw_cfg->offset += there;
    return length == there || dma->ops->write(dma->opaque, address + there, zeroes, length - there);
}

static void skip(struct fw_cfg *fw_cfg, uint32_t length)
{
    fw_cfg->offset += remaining(fw_cfg) < length ? remaining(fw_cfg) : length;
}

static void run_command(struct fw_cfg *fw_cfg, uint64_t at)
{
    const struct dma *dma = &fw_cfg->dma;
    uint8_t command[DMA_COMMAND_SIZE], result[4];
    bool ok = dma->ops->read(dma->opaque, at, command, sizeof(command));
    uint32_t control = (uint32_t)load_be(command, 4), length = (uint32_t)load_be(command + 4, 4);
    if (ok && control & DMA_SELECT)
        select_item(fw_cfg, control >> 16);
    if (ok && control & DMA_READ)
        ok = read_item(fw_cfg, load_be(command + 8, 8), length);
    else if (ok && control & DMA_WRITE)
        ok = false; /* all items are read-only */
    else if (ok && control & DMA_SKIP)
        skip(fw_cfg, length);
    store_be(result, ok ? 0 : DMA_ERROR, sizeof(result));
    dma->ops->write(dma->opaque, at, result, sizeof(result));
}

static uint64_t dma_read(void *device, uint64_t offset, unsigned size)
{
    (void)device;
    uint8_t signature[8];
    store_be(signature, DMA_SIGNATURE, 8);
    return load_le(signature + offset, size);
}

/* The low half starts the command. */
static void dma_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct fw_cfg *fw_cfg = device;
    uint8_t address[8];
    store_be(address, fw_cfg->dma_address, 8);
    store_le(address + offset, value, size);
    fw_cfg->dma_address = load_be(address, 8);
    if (offset + size < sizeof(address))
        return;
    uint64_t at = fw_cfg->dma_address;
    fw_cfg->dma_address = 0;
    run_command(fw_cfg, at);
}

const struct bus_ops fw_cfg_dma_ops = {"fw_cfg DMA", dma_read, dma_write, 4, 8};

/* --- Items */

bool fw_cfg_add(struct fw_cfg *fw_cfg, enum fw_cfg_key key, const void *data, size_t size)
{
    if (fw_cfg->count == ITEMS || size > UINT32_MAX)
        return false;
    uint8_t *copy = calloc(size ? size : 1, 1);
    if (!copy)
        return false;
    if (data)
        memcpy(copy, data, size);
    fw_cfg->items[fw_cfg->count++] = (struct item){(uint16_t)key, copy, (uint32_t)size, NULL, NULL};
    return true;
}

bool fw_cfg_add_number(struct fw_cfg *fw_cfg, enum fw_cfg_key key, uint64_t value, unsigned size)
{
    return fw_cfg_add(fw_cfg, key, &value, size);
}

bool fw_cfg_add_file(struct fw_cfg *fw_cfg, const char *name, const void *data, size_t size)
{
    unsigned key = FW_CFG_FIRST_FILE + fw_cfg->files;
    size_t length = strlen(name);
    if (fw_cfg->files == FW_CFG_FILES || length >= FW_CFG_NAME ||
        !fw_cfg_add(fw_cfg, (enum fw_cfg_key)key, data, size))
        return false;
    uint8_t *directory = fw_cfg->items[0].data;
    uint8_t *entry = directory + 4 + fw_cfg->files * ENTRY_SIZE;
    store_be(entry, size, 4);
    store_be(entry + ENTRY_KEY, key, 2);
    memcpy(entry + ENTRY_NAME, name, length);
    store_be(directory, ++fw_cfg->files, 4);
    return true;
}

bool fw_cfg_add_live_file(struct fw_cfg *fw_cfg, const char *name, size_t size,
                          fw_cfg_fill_fn *fill, void *opaque)
{
    if (!fw_cfg_add_file(fw_cfg, name, NULL, size))
        return false;
    struct item *item = &fw_cfg->items[fw_cfg->count - 1];
    item->fill = fill;
    item->opaque = opaque;
    return true;
}

void fw_cfg_reset(struct fw_cfg *fw_cfg)
{
    select_item(fw_cfg, FW_CFG_SIGNATURE);
    fw_cfg->dma_address = 0;
}

struct fw_cfg *fw_cfg_create(const struct dma *dma)
{
    static const uint8_t directory[4 + FW_CFG_FILES * ENTRY_SIZE];
    struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));
    if (!fw_cfg)
        return NULL;
    fw_cfg->dma = *dma;
    /* The directory is the first item. */
    if (!fw_cfg_add(fw_cfg, FW_CFG_FILE_DIRECTORY, directory, sizeof(directory)) ||
        !fw_cfg_add(fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4) ||
        !fw_cfg_add_number(fw_cfg, FW_CFG_ID, ID_PORTS_AND_DMA, 4)) {
        fw_cfg_destroy(fw_cfg);
        return NULL;
    }
    fw_cfg_reset(fw_cfg);
    return fw_cfg;
}

void fw_cfg_destroy(struct fw_cfg *fw_cfg)
{
    if (!fw_cfg)
        return;
    for (unsigned i = 0; i < fw_cfg->count; i++)
        free(fw_cfg->items[i].data);
    free(fw_cfg);
}
