#include "devices/flash/cfi_flash.h"

#include "base/bits.h"
#include "host/memory.h"

#include <stdlib.h>

/* Commands. */
enum {
    PROGRAM_ALTERNATE = 0x10,
    BLOCK_ERASE = 0x20,
    PROGRAM = 0x40,
    CLEAR_STATUS = 0x50,
    LOCK_SETUP = 0x60,
    READ_STATUS = 0x70,
    READ_IDENTIFIER = 0x90,
    READ_QUERY = 0x98,
    CONFIRM = 0xd0, /* also: unlock */
    LOCK_BLOCK = 0x01,
    WRITE_TO_BUFFER = 0xe8,
    READ_ARRAY = 0xff,
};

/* The status register. */
enum {
    SR_LOCKED = 0x02,
    SR_PROGRAM_ERROR = 0x10,
    SR_ERASE_ERROR = 0x20,
    SR_READY = 0x80,
    SR_SEQUENCE_ERROR = SR_PROGRAM_ERROR | SR_ERASE_ERROR,
};

enum { BUFFER_SIZE_LOG2 = 5, BUFFER_SIZE = 1 << BUFFER_SIZE_LOG2 };
enum { MANUFACTURER_INTEL = 0x89, DEVICE_28F640J3 = 0x17 };
enum { QUERY_BASE = 0x10, QUERY_SIZE = 0x41 };

/* What reads yield. */
enum reading { ARRAY, STATUS, IDENTIFIER, QUERY };

struct cfi_flash {
    struct cfi_flash_config config;
    struct direct_ram array; /* shown while reads yield it */
    uint8_t query[QUERY_SIZE];
    enum reading reading;
    uint8_t pending; /* the command whose next cycle is awaited; READ_ARRAY: none */
    uint8_t status;
    uint8_t *locked; /* a byte a block */
    /* Write to Buffer: what is still to come, and where it goes. */
    bool counted;
    uint32_t left, buffer_base;
    uint8_t buffer[BUFFER_SIZE];
};

static void set_reading(struct cfi_flash *flash, enum reading reading)
{
    const struct direct_memory *direct = &flash->config.direct;
    bool was_shown = flash->reading == ARRAY;
    flash->reading = reading;
    if (!direct->ops || was_shown == (reading == ARRAY))
        return;
    if (reading == ARRAY)
        direct->ops->show(direct->opaque, &flash->array, flash->config.base);
    else
        direct->ops->hide(direct->opaque, &flash->array);
}

static uint32_t block_of(const struct cfi_flash *flash, uint32_t offset)
{
    return offset / flash->config.block_size;
}

/* --- What changes the array. While it does, the array is not shown. */

static bool is_locked(struct cfi_flash *flash, uint32_t offset, uint8_t error)
{
    if (!flash->locked[block_of(flash, offset)])
        return false;
    flash->status |= SR_LOCKED | error;
    return true;
}

static void store(struct cfi_flash *flash, uint32_t offset, uint32_t size, uint8_t error)
{
    const struct cfi_flash_config *config = &flash->config;
    if (config->changed &&
        !config->changed(config->opaque, offset, flash->array.bytes + offset, size))
        flash->status |= error;
}

/* Programming can only clear bits. */
static void program(struct cfi_flash *flash, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    flash->status |= SR_READY;
    if (is_locked(flash, offset, SR_PROGRAM_ERROR))
        return;
    for (uint32_t i = 0; i < size; i++)
        flash->array.bytes[offset + i] &= bytes[i];
    store(flash, offset, size, SR_PROGRAM_ERROR);
}

static void erase(struct cfi_flash *flash, uint32_t offset)
{
    uint32_t size = flash->config.block_size;
    flash->status |= SR_READY;
    if (is_locked(flash, offset, SR_ERASE_ERROR))
        return;
    offset &= ~(size - 1);
    memset(flash->array.bytes + offset, 0xff, size);
    store(flash, offset, size, SR_ERASE_ERROR);
}

/* --- Commands of several cycles. Each says whether more are to come. */

static bool fail_sequence(struct cfi_flash *flash)
{
    flash->status |= SR_READY | SR_SEQUENCE_ERROR;
    return false;
}

static bool go_on_locking(struct cfi_flash *flash, uint32_t offset, uint8_t command)
{
    if (command != LOCK_BLOCK && command != CONFIRM)
        return fail_sequence(flash);
    flash->locked[block_of(flash, offset)] = command == LOCK_BLOCK;
    flash->status |= SR_READY;
    return false;
}

/* The count less one, that many bytes within one buffer's range, and the confirmation. */
static bool go_on_buffering(struct cfi_flash *flash, uint32_t offset, const uint8_t *bytes,
                            unsigned size)
{
    if (!flash->counted) {
        flash->counted = true;
        flash->left = bytes[0] + 1u;
        flash->buffer_base = UINT32_MAX;
        memset(flash->buffer, 0xff, sizeof(flash->buffer));
        return flash->left <= BUFFER_SIZE || fail_sequence(flash);
    }
    if (!flash->left) {
        if (bytes[0] != CONFIRM)
            return fail_sequence(flash);
        program(flash, flash->buffer_base, flash->buffer, BUFFER_SIZE);
        return false;
    }
    if (flash->buffer_base == UINT32_MAX)
        flash->buffer_base = offset & ~(BUFFER_SIZE - 1u);
    if (size > flash->left || (offset & ~(BUFFER_SIZE - 1u)) != flash->buffer_base)
        return fail_sequence(flash);
    memcpy(flash->buffer + offset % BUFFER_SIZE, bytes, size);
    flash->left -= size;
    return true;
}

static bool go_on(struct cfi_flash *flash, uint32_t offset, const uint8_t *bytes, unsigned size)
{
    switch (flash->pending) {
    case PROGRAM:
        program(flash, offset, bytes, size);
        return false;
    case BLOCK_ERASE:
        if (bytes[0] != CONFIRM)
            return fail_sequence(flash);
        erase(flash, offset);
        return false;
    case LOCK_SETUP:
        return go_on_locking(flash, offset, bytes[0]);
    default:
        return go_on_buffering(flash, offset, bytes, size);
    }
}

static void begin(struct cfi_flash *flash, uint8_t command)
{
    switch (command) {
    case PROGRAM_ALTERNATE:
        command = PROGRAM;
        /* fall through */
    case PROGRAM:
    case BLOCK_ERASE:
    case LOCK_SETUP:
    case WRITE_TO_BUFFER:
        flash->pending = command;
        flash->counted = false;
        flash->status |= SR_READY;
        set_reading(flash, STATUS);
        return;
    case READ_STATUS:
        set_reading(flash, STATUS);
        return;
    case READ_IDENTIFIER:
        set_reading(flash, IDENTIFIER);
        return;
    case READ_QUERY:
        set_reading(flash, QUERY);
        return;
    case CLEAR_STATUS:
        flash->status = 0;
        break;
    default: /* Read Array; what is reserved */
        break;
    }
    set_reading(flash, ARRAY);
}

/* --- Bus */

static uint8_t read_byte(const struct cfi_flash *flash, uint32_t offset)
{
    uint32_t in_block = offset % flash->config.block_size;
    switch (flash->reading) {
    case STATUS:
        return flash->status;
    case IDENTIFIER:
        if (in_block == 2)
            return flash->locked[block_of(flash, offset)];
        return in_block == 0 ? MANUFACTURER_INTEL : in_block == 1 ? DEVICE_28F640J3 : 0;
    case QUERY:
        return in_block < QUERY_SIZE ? flash->query[in_block] : 0;
    default:
        return flash->array.bytes[offset];
    }
}

static uint64_t flash_read(void *device, uint64_t offset, unsigned size)
{
    const struct cfi_flash *flash = device;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)read_byte(flash, (uint32_t)offset + i) << (8 * i);
    return value;
}

static void flash_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct cfi_flash *flash = device;
    uint8_t bytes[8];
    store_le(bytes, value, sizeof(bytes));
    if (flash->pending == READ_ARRAY)
        begin(flash, bytes[0]);
    else if (!go_on(flash, (uint32_t)offset, bytes, size))
        flash->pending = READ_ARRAY;
}

const struct bus_ops cfi_flash_ops = {"flash", flash_read, flash_write, 1, 8};

/* --- Creation */

static void make_query(struct cfi_flash *flash)
{
    const uint32_t blocks = flash->config.size / flash->config.block_size;
    uint8_t *query = flash->query;
    memcpy(query + QUERY_BASE, "QRY", 3);
    store_le(query + 0x13, 1, 2);    /* Intel's command set */
    store_le(query + 0x15, 0x31, 2); /* the extended table */
    query[0x1b] = 0x45;              /* Vcc, from 4.5 V */
    query[0x1c] = 0x55;              /* to 5.5 V */
    query[0x1f] = 7;                 /* a byte, 2^n us */
    query[0x20] = 7;                 /* a buffer, likewise */
    query[0x21] = 10;                /* an erase, 2^n ms */
    query[0x23] = 4;                 /* at most 2^n times these */
    query[0x24] = 4;
    query[0x25] = 4;
    query[0x27] = (uint8_t)(32 - __builtin_clz(flash->config.size - 1)); /* 2^n bytes or fewer */
    store_le(query + 0x2a, BUFFER_SIZE_LOG2, 2);
    query[0x2c] = 1; /* kinds of block: so many, less one, of so many times 256 bytes */
    store_le(query + 0x2d, blocks - 1, 2);
    store_le(query + 0x2f, flash->config.block_size / 256, 2);
    memcpy(query + 0x31, "PRI10", 5);
    query[0x36] = 0x08; /* of the optional features, locks */
}

static void free_memory(struct cfi_flash *flash)
{
    host_memory_unmap(flash->array.bytes, flash->config.size);
    free(flash->locked);
    free(flash);
}

struct cfi_flash *cfi_flash_create(const struct cfi_flash_config *config)
{
    struct cfi_flash *flash = calloc(1, sizeof(*flash));
    if (!flash)
        return NULL;
    flash->config = *config;
    flash->config.contents = NULL;
    flash->array =
        (struct direct_ram){.bytes = host_memory_map(config->size), .size = config->size};
    flash->locked = calloc(config->size / config->block_size, 1);
    if (!flash->array.bytes || !flash->locked) {
        free_memory(flash);
        return NULL;
    }
    memcpy(flash->array.bytes, config->contents, config->size);
    make_query(flash);
    flash->reading = STATUS;
    cfi_flash_reset(flash);
    return flash;
}

void cfi_flash_destroy(struct cfi_flash *flash)
{
    if (!flash)
        return;
    set_reading(flash, STATUS);
    free_memory(flash);
}

/* The locks open: they are volatile. */
void cfi_flash_reset(struct cfi_flash *flash)
{
    flash->pending = READ_ARRAY;
    flash->status = SR_READY;
    memset(flash->locked, 0, flash->config.size / flash->config.block_size);
    set_reading(flash, ARRAY);
}
