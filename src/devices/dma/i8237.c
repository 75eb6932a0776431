#include "devices/dma/i8237.h"

#include "base/bits.h"

#include <stdlib.h>

/* Registers from 8 on; below are each channel's address and count. */
enum {
    REG_STATUS_COMMAND = 8,
    REG_REQUEST,
    REG_SINGLE_MASK,
    REG_MODE,
    REG_CLEAR_FLIP_FLOP,
    REG_MASTER_CLEAR,
    REG_CLEAR_MASK,
    REG_MASK,
};

enum { COMMAND_DISABLE = 1 << 2 };
enum { MASK_SET = 1 << 2 };
enum {
    MODE_TYPE = 3 << 2,
    MODE_VERIFY = 0 << 2,
    MODE_WRITE = 1 << 2, /* to memory */
    MODE_READ = 2 << 2,
    MODE_AUTO_INITIALIZE = 1 << 4,
    MODE_DECREMENT = 1 << 5,
};

enum { CHANNELS = 4, CASCADE_CHANNEL = 4 };

struct channel {
    uint16_t base_address, base_count;
    uint16_t address, count; /* count: units that are left, less one */
    uint8_t mode;
};

struct chip {
    struct channel channels[CHANNELS];
    uint8_t command, status, mask;
    bool high; /* the flip-flop: the next byte is the high one */
};

struct i8237 {
    struct dma memory;
    struct chip chips[2];
    uint8_t pages[I8237_PAGE_PORTS];
};

/* --- Registers */

static void master_clear(struct chip *chip)
{
    chip->command = chip->status = 0;
    chip->high = false;
    chip->mask = 0xf;
}

static uint8_t next_byte(struct chip *chip, uint16_t value)
{
    uint8_t byte = (uint8_t)(chip->high ? value >> 8 : value);
    chip->high = !chip->high;
    return byte;
}

static uint8_t chip_read(struct chip *chip, unsigned reg)
{
    const struct channel *channel = &chip->channels[reg / 2 % CHANNELS];
    uint8_t status = chip->status;
    switch (reg) {
    case 0 ... 7:
        return next_byte(chip, reg & 1 ? channel->count : channel->address);
    case REG_STATUS_COMMAND:
        chip->status = 0; /* the terminal counts are cleared by reading */
        return status;
    case REG_MASK:
        return chip->mask;
    }
    return 0;
}

static void write_half(struct chip *chip, uint16_t *base, uint16_t *current, uint8_t value)
{
    unsigned shift = chip->high ? 8 : 0;
    *base = (uint16_t)((*base & ~(0xff << shift)) | value << shift);
    *current = *base;
    chip->high = !chip->high;
}

static void chip_write(struct chip *chip, unsigned reg, uint8_t value)
{
    struct channel *channel = &chip->channels[reg / 2 % CHANNELS];
    uint8_t bit = (uint8_t)(1u << (value & 3));
    switch (reg) {
    case 0 ... 7:
        if (reg & 1)
            write_half(chip, &channel->base_count, &channel->count, value);
        else
            write_half(chip, &channel->base_address, &channel->address, value);
        break;
    case REG_STATUS_COMMAND:
        chip->command = value;
        break;
    case REG_SINGLE_MASK:
        chip->mask = value & MASK_SET ? chip->mask | bit : chip->mask & ~bit;
        break;
    case REG_MODE:
        chip->channels[value & 3].mode = value;
        break;
    case REG_CLEAR_FLIP_FLOP:
        chip->high = false;
        break;
    case REG_MASTER_CLEAR:
        master_clear(chip);
        break;
    case REG_CLEAR_MASK:
        chip->mask = 0;
        break;
    case REG_MASK:
        chip->mask = value & 0xf;
        break;
    }
}

static uint64_t first_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return chip_read(&((struct i8237 *)device)->chips[0], (unsigned)offset);
}

static void first_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    chip_write(&((struct i8237 *)device)->chips[0], (unsigned)offset, (uint8_t)value);
}

/* The second chip's registers are two ports apart. */
static uint64_t second_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return chip_read(&((struct i8237 *)device)->chips[1], (unsigned)offset / 2);
}

static void second_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    chip_write(&((struct i8237 *)device)->chips[1], (unsigned)offset / 2, (uint8_t)value);
}

static uint64_t page_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct i8237 *)device)->pages[offset];
}

static void page_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    ((struct i8237 *)device)->pages[offset] = (uint8_t)value;
}

const struct bus_ops i8237_first_ops = {"first 8237", first_read, first_write, 1, 1};
const struct bus_ops i8237_second_ops = {"second 8237", second_read, second_write, 1, 1};
const struct bus_ops i8237_page_ops = {"8237 pages", page_read, page_write, 1, 1};

/* --- Transfers */

/* Which page register is which channel's. */
static const uint8_t page_of[2 * CHANNELS] = {7, 3, 1, 2, 0xf, 0xb, 9, 0xa};

static uint64_t memory_address(const struct i8237 *dma, unsigned number,
                               const struct channel *channel)
{
    uint64_t page = dma->pages[page_of[number]];
    if (number < CASCADE_CHANNEL)
        return page << 16 | channel->address;
    return (page & 0xfe) << 16 | (uint64_t)channel->address << 1;
}

static void move_unit(struct i8237 *dma, uint64_t address, uint8_t *data, unsigned unit,
                      unsigned type)
{
    if (type == MODE_WRITE)
        dma->memory.ops->write(dma->memory.opaque, address, data, unit);
    else if (type == MODE_READ)
        dma->memory.ops->read(dma->memory.opaque, address, data, unit);
}

/* After the last unit. */
static void end_count(struct chip *chip, unsigned index)
{
    struct channel *channel = &chip->channels[index];
    chip->status |= (uint8_t)(1u << index);
    if (channel->mode & MODE_AUTO_INITIALIZE) {
        channel->address = channel->base_address;
        channel->count = channel->base_count;
    } else {
        chip->mask |= (uint8_t)(1u << index);
    }
}

/* The address wraps at 16 bits: a transfer stays in its page. */
static size_t transfer(struct i8237 *dma, unsigned number, uint8_t *data, size_t size,
                       unsigned type, bool *ended)
{
    unsigned index = number % CHANNELS, unit = number < CASCADE_CHANNEL ? 1 : 2;
    struct chip *chip = &dma->chips[number / CHANNELS % 2];
    struct channel *channel = &chip->channels[index];
    unsigned programmed = channel->mode & MODE_TYPE;
    size_t done = 0;
    *ended = false;
    if (number == CASCADE_CHANNEL || number >= 2 * CHANNELS || chip->mask >> index & 1 ||
        chip->command & COMMAND_DISABLE || (programmed != type && programmed != MODE_VERIFY))
        return 0;
    for (; !*ended && size - done >= unit; done += unit) {
        move_unit(dma, memory_address(dma, number, channel), data + done, unit, programmed);
        channel->address = (uint16_t)(channel->address + (channel->mode & MODE_DECREMENT ? -1 : 1));
        *ended = channel->count-- == 0;
    }
    if (*ended)
        end_count(chip, index);
    return done;
}

size_t i8237_read(struct i8237 *dma, unsigned channel, void *data, size_t size, bool *ended)
{
    return transfer(dma, channel, data, size, MODE_READ, ended);
}

size_t i8237_write(struct i8237 *dma, unsigned channel, const void *data, size_t size, bool *ended)
{
    return transfer(dma, channel, (uint8_t *)data, size, MODE_WRITE, ended);
}

void i8237_reset(struct i8237 *dma)
{
    memset(dma->chips, 0, sizeof(dma->chips));
    memset(dma->pages, 0, sizeof(dma->pages));
    for (unsigned i = 0; i < 2; i++)
        master_clear(&dma->chips[i]);
}

struct i8237 *i8237_create(const struct dma *dma)
{
    struct i8237 *chips = calloc(1, sizeof(*chips));
    if (!chips)
        return NULL;
    chips->memory = *dma;
    i8237_reset(chips);
    return chips;
}

void i8237_destroy(struct i8237 *dma)
{
    free(dma);
}
