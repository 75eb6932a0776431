/* Commands of IDE CD drives: packets of MMC-3 and SPC-2 by ATA/ATAPI-6, 9.8. */
#include "devices/storage/ide_internal.h"

#include <errno.h>

enum ata_command {
    NOP = 0x00,
    PACKET = 0xa0,
    IDENTIFY_PACKET_DEVICE = 0xa1,
    CHECK_POWER_MODE = 0xe5,
    IDENTIFY_DEVICE = 0xec,
    SET_FEATURES = 0xef,
};

enum packet_command {
    TEST_UNIT_READY = 0x00,
    REQUEST_SENSE = 0x03,
    INQUIRY = 0x12,
    START_STOP_UNIT = 0x1b,
    PREVENT_ALLOW_REMOVAL = 0x1e,
    READ_CAPACITY = 0x25,
    READ_10 = 0x28,
    SEEK_10 = 0x2b,
    READ_TOC = 0x43,
    GET_CONFIGURATION = 0x46,
    GET_EVENT_STATUS = 0x4a,
    READ_DISC_INFORMATION = 0x51,
    MODE_SENSE_10 = 0x5a,
    READ_12 = 0xa8,
    SET_SPEED = 0xbb,
    MECHANISM_STATUS = 0xbd,
};

enum sense_key { NO_SENSE = 0, NOT_READY = 2, MEDIUM_ERROR = 3, ILLEGAL = 5, ATTENTION = 6 };

enum {
    INVALID_COMMAND = 0x20,
    ADDRESS_OUT_OF_RANGE = 0x21,
    INVALID_FIELD = 0x24,
    MEDIUM_CHANGED = 0x28,
    NO_MEDIUM = 0x3a,
    READ_ERROR = 0x11,
    REMOVAL_PREVENTED = 0x53,
};

static bool has_medium(const struct ide_device *device)
{
    return device->config.image && !device->tray_open;
}

static uint64_t sectors_of(const struct ide_device *device)
{
    return block_size(device->config.image) / CD_SECTOR;
}

/* --- Ends */

static void end(struct ide_device *device, uint8_t key, uint8_t code, uint8_t qualifier)
{
    device->sense_key = key;
    device->sense_code = code;
    device->sense_qualifier = qualifier;
    device->count = ATAPI_COMMAND | ATAPI_TO_HOST;
    ide_finish(device, key ? (uint8_t)(key << 4) | ATA_ABRT : 0);
}

static void fail(struct ide_device *device, uint8_t key, uint8_t code)
{
    end(device, key, code, 0);
}

void atapi_finish(struct ide_device *device, int error)
{
    if (error)
        fail(device, MEDIUM_ERROR, READ_ERROR);
    else
        end(device, NO_SENSE, 0, 0);
}

/* The bytes that the host takes in a block (ATA/ATAPI-6, 9.8): even, and not 0. */
static unsigned block_of(const struct ide_device *device)
{
    unsigned limit = (uint8_t)device->lba_mid | (unsigned)(uint8_t)device->lba_high << 8;
    limit &= ~1u;
    return limit ? limit : 0xfffe;
}

/* Sends what is in the buffer, of which the command wants so much. */
static void answer(struct ide_device *device, unsigned size, unsigned wanted)
{
    size = size < wanted ? size : wanted;
    if (size)
        ide_send(device, size, block_of(device));
    else
        atapi_finish(device, 0);
}

/* --- Big-endian fields */

static void put_be(uint8_t *at, uint64_t value, unsigned size)
{
    while (size--) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t get_be(const uint8_t *at, unsigned size)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value = value << 8 | at[i];
    return value;
}

/* --- What the drive says about itself */

static void send_sense(struct ide_device *device)
{
    uint8_t *data = device->buffer;
    memset(data, 0, 18);
    data[0] = 0x70;
    data[2] = device->sense_key;
    data[7] = 10;
    data[12] = device->sense_code;
    data[13] = device->sense_qualifier;
    device->sense_key = device->sense_code = device->sense_qualifier = 0;
    answer(device, 18, device->packet[4]);
}

static void send_inquiry(struct ide_device *device)
{
    uint8_t *data = device->buffer;
    if (device->packet[1] & 1) { /* vital product data */
        fail(device, ILLEGAL, INVALID_FIELD);
        return;
    }
    memset(data, 0, 36);
    data[0] = 5;    /* a CD drive */
    data[1] = 0x80; /* removable */
    data[3] = 0x21; /* by ATAPI */
    data[4] = 31;
    memcpy(data + 8, "DOPPEL  DOPPEL CD-ROM   1.0 ", 28);
    answer(device, 36, get_be(device->packet + 3, 2));
}

static void send_mode(struct ide_device *device)
{
    enum { ERROR_RECOVERY = 0x01, CAPABILITIES = 0x2a };
    uint8_t *data = device->buffer, page = device->packet[2] & 0x3f;
    unsigned size = page == ERROR_RECOVERY ? 16 : 28;
    if (device->packet[2] >> 6 == 3 || (page != ERROR_RECOVERY && page != CAPABILITIES)) {
        fail(device, ILLEGAL, INVALID_FIELD);
        return;
    }
    memset(data, 0, size);
    put_be(data, size - 2, 2);
    data[2] = !has_medium(device) ? 0x70 : 0x01;
    data[8] = page;
    data[9] = (uint8_t)(size - 10);
    if (page == ERROR_RECOVERY) {
        data[11] = 5; /* retries */
    } else {
        data[10] = 0x3b; /* reads CD-R, CD-RW, method 2, DVD-ROM, DVD-R */
        data[12] = 0x70; /* mode 2 form 1 and 2, multi-session */
        data[14] = 0x29 | (device->tray_locked ? 2 : 0); /* tray, eject, lock */
        put_be(data + 16, 706, 2);                       /* kB/s */
        put_be(data + 20, 512, 2);                       /* kB of buffer */
        put_be(data + 22, 706, 2);
    }
    answer(device, size, get_be(device->packet + 7, 2));
}

/* The profile and those features that every drive has. */
static void send_configuration(struct ide_device *device)
{
    enum { CD_ROM = 0x08, DVD_ROM = 0x10, CD_SECTORS = 450000 };
    uint8_t *data = device->buffer;
    bool dvd = has_medium(device) && sectors_of(device) > CD_SECTORS;
    memset(data, 0, 40);
    put_be(data, 36, 4);
    put_be(data + 6, !has_medium(device) ? 0 : dvd ? DVD_ROM : CD_ROM, 2);
    data[10] = 3; /* the list of profiles: persistent, current */
    data[11] = 8;
    put_be(data + 12, DVD_ROM, 2);
    data[14] = has_medium(device) && dvd;
    put_be(data + 16, CD_ROM, 2);
    data[18] = has_medium(device) && !dvd;
    data[21] = 1; /* core */
    data[22] = 0x0b;
    data[23] = 8;
    data[27] = 2; /* ATAPI */
    data[28] = 1;
    data[33] = 3; /* removable medium */
    data[34] = 3;
    data[35] = 4;
    data[36] = 0x39;
    answer(device, 40, get_be(device->packet + 7, 2));
}

static void send_event(struct ide_device *device)
{
    enum { MEDIA = 4, NEW_MEDIA = 2, REMOVAL = 3 };
    uint8_t *data = device->buffer;
    bool media = device->packet[4] & 1 << MEDIA;
    if (!(device->packet[1] & 1)) { /* asynchronous */
        fail(device, ILLEGAL, INVALID_FIELD);
        return;
    }
    memset(data, 0, 8);
    put_be(data, media ? 6 : 2, 2);
    data[2] = media ? MEDIA : 0x80;
    data[3] = 1 << MEDIA;
    if (media) {
        data[4] = !device->event ? 0 : has_medium(device) ? NEW_MEDIA : REMOVAL;
        data[5] = (uint8_t)(device->tray_open | has_medium(device) << 1);
        device->event = false;
    }
    answer(device, media ? 8 : 4, get_be(device->packet + 7, 2));
}

static void send_mechanism_status(struct ide_device *device)
{
    memset(device->buffer, 0, 8);
    device->buffer[1] = device->tray_open ? 0x10 : 0;
    answer(device, 8, get_be(device->packet + 8, 2));
}

/* --- What it says about the medium */

static void send_capacity(struct ide_device *device)
{
    put_be(device->buffer, sectors_of(device) - 1, 4);
    put_be(device->buffer + 4, CD_SECTOR, 4);
    answer(device, 8, 8);
}

/* Addresses are of sectors, or minute, second and frame. */
static void put_address(uint8_t *at, uint32_t sector, bool msf)
{
    if (!msf) {
        put_be(at, sector, 4);
        return;
    }
    sector += 150;
    at[0] = 0;
    at[1] = (uint8_t)(sector / (75 * 60));
    at[2] = (uint8_t)(sector / 75 % 60);
    at[3] = (uint8_t)(sector % 75);
}

static uint8_t *put_track(uint8_t *at, unsigned track, uint32_t sector, bool msf)
{
    memset(at, 0, 8);
    at[1] = 0x14; /* data */
    at[2] = (uint8_t)track;
    put_address(at + 4, sector, msf);
    return at + 8;
}

/* One session of one track of data. */
static void send_toc(struct ide_device *device)
{
    enum { LEAD_OUT = 0xaa };
    uint8_t *data = device->buffer, *at = data + 4;
    bool msf = device->packet[1] & 2;
    unsigned format = device->packet[2] & 15, first = device->packet[6];
    if (!format)
        format = device->packet[9] >> 6;
    data[2] = data[3] = 1;
    if (format == 1) {
        at = put_track(at, 1, 0, msf);
    } else if (format || (first > 1 && first != LEAD_OUT)) {
        fail(device, ILLEGAL, INVALID_FIELD);
        return;
    } else {
        if (first <= 1)
            at = put_track(at, 1, 0, msf);
        at = put_track(at, LEAD_OUT, (uint32_t)sectors_of(device), msf);
    }
    put_be(data, (unsigned)(at - data) - 2, 2);
    answer(device, (unsigned)(at - data), get_be(device->packet + 7, 2));
}

static void send_disc_information(struct ide_device *device)
{
    uint8_t *data = device->buffer;
    memset(data, 0, 34);
    put_be(data, 32, 2);
    data[2] = 0x0e; /* finalised */
    data[3] = data[4] = data[5] = data[6] = 1;
    data[7] = 0x20;
    answer(device, 34, get_be(device->packet + 7, 2));
}

static void read_sectors(struct ide_device *device, uint64_t sector, uint64_t count)
{
    uint64_t sectors = sectors_of(device);
    if (sector > sectors || count > sectors - sector)
        fail(device, ILLEGAL, ADDRESS_OUT_OF_RANGE);
    else if (!count)
        atapi_finish(device, 0);
    else
        ide_transfer_image(device, IDE_READ, sector * CD_SECTOR, count * CD_SECTOR,
                           block_of(device));
}

/* --- The tray */

static void start_stop(struct ide_device *device)
{
    bool start = device->packet[4] & 1, tray = device->packet[4] & 2;
    if (tray && !start && device->tray_locked) {
        end(device, has_medium(device) ? ILLEGAL : NOT_READY, REMOVAL_PREVENTED, 2);
        return;
    }
    if (tray) {
        device->event = device->event || device->tray_open == start;
        device->attention = device->tray_open && start;
        device->tray_open = !start;
    }
    atapi_finish(device, 0);
}

static void prevent_removal(struct ide_device *device)
{
    device->tray_locked = device->packet[4] & 1;
    atapi_finish(device, 0);
}

/* --- Commands */

/* Those that need a medium. */
static void execute_on_medium(struct ide_device *device)
{
    const uint8_t *packet = device->packet;
    switch (packet[0]) {
    case READ_CAPACITY:
        send_capacity(device);
        break;
    case READ_10:
        read_sectors(device, get_be(packet + 2, 4), get_be(packet + 7, 2));
        break;
    case READ_12:
        read_sectors(device, get_be(packet + 2, 4), get_be(packet + 6, 4));
        break;
    case READ_TOC:
        send_toc(device);
        break;
    case READ_DISC_INFORMATION:
        send_disc_information(device);
        break;
    default: /* TEST_UNIT_READY, SEEK_10 */
        atapi_finish(device, 0);
    }
}

/* Those that answer whatever there is. */
static void execute_always(struct ide_device *device)
{
    switch (device->packet[0]) {
    case REQUEST_SENSE:
        send_sense(device);
        break;
    case INQUIRY:
        send_inquiry(device);
        break;
    case START_STOP_UNIT:
        start_stop(device);
        break;
    case PREVENT_ALLOW_REMOVAL:
        prevent_removal(device);
        break;
    case GET_CONFIGURATION:
        send_configuration(device);
        break;
    case GET_EVENT_STATUS:
        send_event(device);
        break;
    case MODE_SENSE_10:
        send_mode(device);
        break;
    case MECHANISM_STATUS:
        send_mechanism_status(device);
        break;
    case SET_SPEED:
        atapi_finish(device, 0);
        break;
    default:
        fail(device, ILLEGAL, INVALID_COMMAND);
    }
}

static bool needs_medium(uint8_t command)
{
    switch (command) {
    case TEST_UNIT_READY:
    case READ_CAPACITY:
    case READ_10:
    case READ_12:
    case SEEK_10:
    case READ_TOC:
    case READ_DISC_INFORMATION:
        return true;
    default:
        return false;
    }
}

void atapi_execute_packet(struct ide_device *device)
{
    if (!needs_medium(device->packet[0])) {
        execute_always(device);
    } else if (!has_medium(device)) {
        fail(device, NOT_READY, NO_MEDIUM);
    } else if (device->attention) {
        device->attention = false;
        fail(device, ATTENTION, MEDIUM_CHANGED);
    } else {
        execute_on_medium(device);
    }
}

static void identify(struct ide_device *device)
{
    uint8_t *data = device->buffer;
    memset(data, 0, ATA_SECTOR);
    ata_put_word(device, 0, 0x85c0); /* a CD drive, removable, DRQ within 50 us, 12-byte packets */
    ata_put_string(data + 2 * 10, device->config.serial, 20);
    ata_put_string(data + 2 * 23, "1.0", 8);
    ata_put_string(data + 2 * 27, "DOPPEL CD-ROM", 40);
    ata_put_word(device, 49, 1 << 11 | 1 << 9 | 1 << 8); /* IORDY, LBA, DMA */
    ata_put_word(device, 53, 6);                         /* words 64-70 and 88 are valid */
    ata_put_word(device, 63,
                 7 | (device->dma_mode >> 3 == 4 ? 0x100u << (device->dma_mode & 7) : 0));
    ata_put_word(device, 64, 3);
    for (unsigned i = 65; i <= 68; i++)
        ata_put_word(device, i, 120);
    ata_put_word(device, 80, 0x70);            /* ATA-4 to ATA-6 */
    ata_put_word(device, 82, 1 << 9 | 1 << 4); /* DEVICE RESET, packets */
    ata_put_word(device, 83, 0x4000);
    ata_put_word(device, 85, 1 << 9 | 1 << 4);
    ata_put_word(device, 87, 0x4000);
    ata_put_word(device, 88,
                 0x3f | (device->dma_mode >> 3 == 8 ? 0x100u << (device->dma_mode & 7) : 0));
    ata_put_word(device, 93, 0x6001 | (device->number ? 0x0800 : 0));
    ide_send(device, ATA_SECTOR, ATA_SECTOR);
}

void atapi_execute(struct ide_device *device, uint8_t command)
{
    enum { BY_DMA = 1, SET_TRANSFER_MODE = 3 };
    device->by_packet = command == PACKET;
    switch (command) {
    case PACKET:
        device->dma = device->features & BY_DMA;
        ide_take_packet(device);
        break;
    case IDENTIFY_PACKET_DEVICE:
        identify(device);
        break;
    case CHECK_POWER_MODE:
        device->count = 0xff;
        ide_finish(device, 0);
        break;
    case SET_FEATURES:
        if ((uint8_t)device->features == SET_TRANSFER_MODE)
            device->dma_mode = (uint8_t)device->count;
        ide_finish(device, 0);
        break;
    default:
        if (command == IDENTIFY_DEVICE)
            ata_set_signature(device);
        ide_finish(device, ATA_ABRT);
    }
}
