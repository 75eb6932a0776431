/* Commands of IDE disks (ATA/ATAPI-6, 8). */
#include "devices/storage/ide_internal.h"

enum ata_command {
    RECALIBRATE = 0x10, /* to 0x1f */
    READ_SECTORS = 0x20,
    READ_SECTORS_NO_RETRY = 0x21,
    READ_SECTORS_EXT = 0x24,
    READ_DMA_EXT = 0x25,
    READ_NATIVE_MAX_EXT = 0x27,
    READ_MULTIPLE_EXT = 0x29,
    WRITE_SECTORS = 0x30,
    WRITE_SECTORS_NO_RETRY = 0x31,
    WRITE_SECTORS_EXT = 0x34,
    WRITE_DMA_EXT = 0x35,
    WRITE_MULTIPLE_EXT = 0x39,
    VERIFY_SECTORS = 0x40,
    VERIFY_SECTORS_NO_RETRY = 0x41,
    VERIFY_SECTORS_EXT = 0x42,
    SEEK = 0x70,
    INITIALIZE_PARAMETERS = 0x91,
    READ_MULTIPLE = 0xc4,
    WRITE_MULTIPLE = 0xc5,
    SET_MULTIPLE = 0xc6,
    READ_DMA = 0xc8,
    READ_DMA_NO_RETRY = 0xc9,
    WRITE_DMA = 0xca,
    WRITE_DMA_NO_RETRY = 0xcb,
    STANDBY_IMMEDIATE = 0xe0,
    IDLE_IMMEDIATE = 0xe1,
    STANDBY = 0xe2,
    IDLE = 0xe3,
    CHECK_POWER_MODE = 0xe5,
    SLEEP = 0xe6,
    FLUSH_CACHE = 0xe7,
    FLUSH_CACHE_EXT = 0xea,
    IDENTIFY_DEVICE = 0xec,
    SET_FEATURES = 0xef,
    READ_NATIVE_MAX = 0xf8,
};

enum set_features {
    ENABLE_WRITE_CACHE = 0x02,
    SET_TRANSFER_MODE = 0x03,
    DISABLE_LOOK_AHEAD = 0x55,
    DISABLE_REVERTING = 0x66,
    DISABLE_WRITE_CACHE = 0x82,
    ENABLE_LOOK_AHEAD = 0xaa,
    ENABLE_REVERTING = 0xcc,
};

enum { HEADS = 16, SECTORS = 63, CYLINDERS_MAX = 16383, MULTIPLE_MAX = 16, DMA_MODE = 0x45 };
#define LBA28_MAX (1u << 28)

static uint64_t sectors_of(const struct ide_device *device)
{
    return device->config.image ? block_size(device->config.image) / ATA_SECTOR : 0;
}

static unsigned cylinders_of(const struct ide_device *device, unsigned heads, unsigned sectors)
{
    uint64_t cylinders = sectors_of(device) / (heads * sectors);
    return cylinders < CYLINDERS_MAX ? (unsigned)cylinders : CYLINDERS_MAX;
}

void ata_set_signature(struct ide_device *device)
{
    bool disk = device->config.kind == IDE_DISK;
    device->count = device->lba_low = 1;
    device->lba_mid = disk ? 0 : 0x14;
    device->lba_high = disk ? 0 : 0xeb;
    device->device = device->number ? 0xa0 | ATA_DEV : 0xa0;
}

void ata_reset(struct ide_device *device)
{
    ata_set_signature(device);
    device->status = device->config.kind == IDE_DISK ? ATA_DRDY | ATA_DSC : 0;
    device->error = 1; /* the device has passed its test */
    device->features = 0;
    device->heads = HEADS;
    device->sectors = SECTORS;
    device->multiple = MULTIPLE_MAX;
    device->write_cache = true;
    device->dma_mode = DMA_MODE;
    device->tray_locked = false;
}

/* --- Where a command points to */

/* The sector; false: there is no such one. */
static bool address(const struct ide_device *device, bool ext, uint64_t *sector)
{
    uint8_t low = (uint8_t)device->lba_low, mid = (uint8_t)device->lba_mid,
            high = (uint8_t)device->lba_high;
    unsigned head = device->device & 15;
    if (ext) {
        *sector = low | mid << 8 | high << 16 | (uint64_t)(device->lba_low >> 8) << 24 |
                  (uint64_t)(device->lba_mid >> 8) << 32 | (uint64_t)(device->lba_high >> 8) << 40;
    } else if (device->device & ATA_LBA) {
        *sector = low | mid << 8 | high << 16 | head << 24;
    } else {
        if (!low || low > device->sectors || head >= device->heads)
            return false;
        *sector = ((uint64_t)(high << 8 | mid) * device->heads + head) * device->sectors + low - 1;
    }
    return *sector < sectors_of(device);
}

static unsigned count_of(const struct ide_device *device, bool ext)
{
    if (ext)
        return device->count ? device->count : 0x10000;
    return (uint8_t)device->count ? (uint8_t)device->count : 0x100;
}

/* Where a transfer goes; false: the command has ended, as there is no such place. */
static bool place(struct ide_device *device, bool ext, uint64_t *sector, unsigned *count)
{
    *count = count_of(device, ext);
    if (address(device, ext, sector) && *count <= sectors_of(device) - *sector)
        return true;
    ide_finish(device, ATA_IDNF);
    return false;
}

static void transfer(struct ide_device *device, enum ide_transfer which, bool ext,
                     unsigned block_sectors)
{
    uint64_t sector;
    unsigned count;
    if (!block_sectors || (which == IDE_WRITE && block_is_readonly(device->config.image))) {
        ide_finish(device, ATA_ABRT);
        return;
    }
    if (place(device, ext, &sector, &count))
        ide_transfer_image(device, which, sector * ATA_SECTOR, (uint64_t)count * ATA_SECTOR,
                           block_sectors * ATA_SECTOR);
}

static void transfer_by_dma(struct ide_device *device, enum ide_transfer which, bool ext)
{
    device->dma = true;
    transfer(device, which, ext, 1);
}

static void verify(struct ide_device *device, bool ext)
{
    uint64_t sector;
    unsigned count;
    if (place(device, ext, &sector, &count))
        ide_finish(device, 0);
}

static void tell_native_max(struct ide_device *device, bool ext)
{
    uint64_t last = sectors_of(device) - 1;
    if (!ext && last >= LBA28_MAX)
        last = LBA28_MAX - 1;
    device->lba_low = (uint8_t)last;
    device->lba_mid = (uint8_t)(last >> 8);
    device->lba_high = (uint8_t)(last >> 16);
    if (ext) {
        device->lba_low |= (uint16_t)(last >> 24 << 8);
        device->lba_mid |= (uint16_t)(last >> 32 << 8);
        device->lba_high |= (uint16_t)(last >> 40 << 8);
    } else {
        device->device = (device->device & 0xf0) | (last >> 24 & 15);
    }
    ide_finish(device, 0);
}

/* --- Identification and settings */

void ata_put_string(uint8_t *at, const char *text, unsigned length)
{
    memset(at, ' ', length);
    for (unsigned i = 0; i < length && text[i]; i++)
        at[i ^ 1] = (uint8_t)text[i];
}

void ata_put_word(struct ide_device *device, unsigned word, unsigned value)
{
    store_le(device->buffer + 2 * word, value, 2);
}

static void put_geometry(struct ide_device *device)
{
    unsigned cylinders = cylinders_of(device, device->heads, device->sectors);
    ata_put_word(device, 1, cylinders_of(device, HEADS, SECTORS));
    ata_put_word(device, 3, HEADS);
    ata_put_word(device, 6, SECTORS);
    ata_put_word(device, 54, cylinders);
    ata_put_word(device, 55, device->heads);
    ata_put_word(device, 56, device->sectors);
    store_le(device->buffer + 2 * 57, cylinders * device->heads * device->sectors, 4);
}

static void identify(struct ide_device *device)
{
    uint64_t sectors = sectors_of(device);
    uint8_t *data = device->buffer, mode = device->dma_mode;
    memset(data, 0, ATA_SECTOR);
    ata_put_word(device, 0, 0x0040); /* fixed */
    put_geometry(device);
    ata_put_string(data + 2 * 10, device->config.serial, 20);
    ata_put_string(data + 2 * 23, "1.0", 8);
    ata_put_string(data + 2 * 27, "DOPPEL HARDDISK", 40);
    ata_put_word(device, 47, 0x8000 | MULTIPLE_MAX);
    ata_put_word(device, 49, 1 << 11 | 1 << 9 | 1 << 8); /* IORDY, LBA, DMA */
    ata_put_word(device, 53, 7);                         /* words 54-58, 64-70, 88 are valid */
    ata_put_word(device, 59, device->multiple ? 0x100 | device->multiple : 0);
    store_le(data + 2 * 60, sectors < LBA28_MAX ? sectors : LBA28_MAX - 1, 4);
    ata_put_word(device, 63, 7 | (mode >> 3 == 4 ? 0x100u << (mode & 7) : 0)); /* multiword DMA */
    ata_put_word(device, 64, 3);                                               /* PIO 3, 4 */
    for (unsigned i = 65; i <= 68; i++)
        ata_put_word(device, i, 120);                               /* cycle times in ns */
    ata_put_word(device, 80, 0x70);                                 /* ATA-4 to ATA-6 */
    ata_put_word(device, 82, 1 << 5);                               /* write cache */
    ata_put_word(device, 83, 0x4000 | 1 << 13 | 1 << 12 | 1 << 10); /* flushes, LBA48 */
    ata_put_word(device, 84, 0x4000);
    ata_put_word(device, 85, device->write_cache ? 1 << 5 : 0);
    ata_put_word(device, 86, 1 << 13 | 1 << 12 | 1 << 10);
    ata_put_word(device, 87, 0x4000);
    ata_put_word(device, 88, 0x3f | (mode >> 3 == 8 ? 0x100u << (mode & 7) : 0)); /* Ultra DMA */
    ata_put_word(device, 93, 0x6001 | (device->number ? 0x0800 : 0)); /* 80-wire cable */
    store_le(data + 2 * 100, sectors, 8);
    ide_send(device, ATA_SECTOR, ATA_SECTOR);
}

static void set_features(struct ide_device *device)
{
    uint8_t error = 0;
    switch ((uint8_t)device->features) {
    case ENABLE_WRITE_CACHE:
        device->write_cache = true;
        break;
    case DISABLE_WRITE_CACHE:
        device->write_cache = false;
        ide_flush(device);
        return;
    case SET_TRANSFER_MODE:
        device->dma_mode = (uint8_t)device->count;
        break;
    case DISABLE_LOOK_AHEAD:
    case ENABLE_LOOK_AHEAD:
    case DISABLE_REVERTING:
    case ENABLE_REVERTING:
        break;
    default:
        error = ATA_ABRT;
    }
    ide_finish(device, error);
}

static void set_multiple(struct ide_device *device)
{
    unsigned count = (uint8_t)device->count;
    bool good = count <= MULTIPLE_MAX && (count & (count - 1)) == 0;
    if (good)
        device->multiple = count;
    ide_finish(device, good ? 0 : ATA_ABRT);
}

static void initialize_parameters(struct ide_device *device)
{
    unsigned sectors = (uint8_t)device->count;
    if (sectors) {
        device->heads = (device->device & 15u) + 1;
        device->sectors = sectors;
    }
    ide_finish(device, sectors ? 0 : ATA_ABRT);
}

/* Commands that move no data of the image. */
static void execute_other(struct ide_device *device, uint8_t command)
{
    switch (command) {
    case IDENTIFY_DEVICE:
        identify(device);
        break;
    case SET_FEATURES:
        set_features(device);
        break;
    case SET_MULTIPLE:
        set_multiple(device);
        break;
    case INITIALIZE_PARAMETERS:
        initialize_parameters(device);
        break;
    case READ_NATIVE_MAX:
    case READ_NATIVE_MAX_EXT:
        tell_native_max(device, command == READ_NATIVE_MAX_EXT);
        break;
    case CHECK_POWER_MODE:
        device->count = 0xff; /* active */
        ide_finish(device, 0);
        break;
    case STANDBY_IMMEDIATE:
    case IDLE_IMMEDIATE:
    case STANDBY:
    case IDLE:
    case SLEEP:
    case SEEK:
        ide_finish(device, 0);
        break;
    default:
        ide_finish(device, (command & 0xf0) == RECALIBRATE ? 0 : ATA_ABRT);
    }
}

void ata_execute(struct ide_device *device, uint8_t command)
{
    switch (command) {
    case READ_SECTORS:
    case READ_SECTORS_NO_RETRY:
    case READ_SECTORS_EXT:
        transfer(device, IDE_READ, command == READ_SECTORS_EXT, 1);
        break;
    case WRITE_SECTORS:
    case WRITE_SECTORS_NO_RETRY:
    case WRITE_SECTORS_EXT:
        transfer(device, IDE_WRITE, command == WRITE_SECTORS_EXT, 1);
        break;
    case READ_MULTIPLE:
    case READ_MULTIPLE_EXT:
        transfer(device, IDE_READ, command == READ_MULTIPLE_EXT, device->multiple);
        break;
    case WRITE_MULTIPLE:
    case WRITE_MULTIPLE_EXT:
        transfer(device, IDE_WRITE, command == WRITE_MULTIPLE_EXT, device->multiple);
        break;
    case READ_DMA:
    case READ_DMA_NO_RETRY:
    case READ_DMA_EXT:
        transfer_by_dma(device, IDE_READ, command == READ_DMA_EXT);
        break;
    case WRITE_DMA:
    case WRITE_DMA_NO_RETRY:
    case WRITE_DMA_EXT:
        transfer_by_dma(device, IDE_WRITE, command == WRITE_DMA_EXT);
        break;
    case VERIFY_SECTORS:
    case VERIFY_SECTORS_NO_RETRY:
    case VERIFY_SECTORS_EXT:
        verify(device, command == VERIFY_SECTORS_EXT);
        break;
    case FLUSH_CACHE:
    case FLUSH_CACHE_EXT:
        ide_flush(device);
        break;
    default:
        execute_other(device, command);
    }
}
