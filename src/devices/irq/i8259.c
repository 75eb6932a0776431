/* Intel's data sheet 231468: ICW are the initialisation, OCW the operation command words. */
#include "devices/irq/i8259.h"

#include "base/bits.h"

#include <stdlib.h>

#define CASCADE_INPUT 2

/* The inputs that ISA fixes to edges: the timer, keyboard, cascade; the RTC, coprocessor. */
static const uint8_t elcr_writable[2] = {0xf8, 0xde};

enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct chip {
    uint8_t irr, imr, isr;
    uint8_t pins;         /* the inputs' levels */
    uint8_t elcr;         /* level-triggered inputs */
    uint8_t base;         /* of the vectors */
    uint8_t lowest;       /* the input of lowest priority; the next one has the highest */
    enum init_step step;  /* the command word that port 1 takes next */
    bool single;          /* ICW1: no ICW3 */
    bool needs_icw4;      /* ICW1 */
    bool auto_eoi;        /* ICW4 */
    bool fully_nested;    /* ICW4: the special fully nested mode */
    bool rotate_auto_eoi; /* OCW2 */
    bool special_mask;    /* OCW3 */
    bool read_isr;        /* OCW3 */
    bool poll;            /* OCW3: the next read acknowledges */
};

struct i8259 {
    struct i8259_config config;
    struct chip chips[2];
};

/* The input of the set that has the highest priority, as a distance from the first: 8 for none. */
static unsigned chip_rank(const struct chip *chip, uint8_t set)
{
    for (unsigned rank = 0; rank < 8; rank++) {
        if (set >> ((chip->lowest + 1 + rank) & 7) & 1)
            return rank;
    }
    return 8;
}

/* The input whose request is to be served now, or -1. */
static int chip_pending(const struct chip *chip, bool first)
{
    uint8_t in_service = chip->isr;
    if (chip->special_mask)
        in_service &= ~chip->imr;
    if (first && chip->fully_nested)
        in_service &= ~(1u << CASCADE_INPUT);
    unsigned rank = chip_rank(chip, chip->irr & ~chip->imr);
    /* The special fully nested mode admits a further request at the level in service. */
    if (rank >= chip_rank(chip, in_service))
        return -1;
    return (chip->lowest + 1 + rank) & 7;
}

static void chip_set_pin(struct chip *chip, unsigned input, bool level, bool latch)
{
    uint8_t bit = (uint8_t)(1u << input);
    if (level && (chip->elcr & bit || !(chip->pins & bit)))
        chip->irr |= bit;
    if (!level && (chip->elcr & bit || !latch))
        chip->irr &= ~bit;
    chip->pins = level ? chip->pins | bit : chip->pins & ~bit;
}

static void pics_update(struct i8259 *pics)
{
    struct chip *chips = pics->chips;
    /* A request that the second chip takes back is gone from the first, too. */
    chip_set_pin(&chips[0], CASCADE_INPUT, chip_pending(&chips[1], false) >= 0, false);
    irq_set(&pics->config.intr, chip_pending(&chips[0], true) >= 0);
}

void i8259_set_irq(void *opaque, unsigned irq, bool level)
{
    struct i8259 *pics = opaque;
    if (irq > 15 || irq == CASCADE_INPUT)
        return;
    /* Edges stay latched when the line falls, so that a device may pulse it. */
    chip_set_pin(&pics->chips[irq / 8], irq % 8, level, true);
    pics_update(pics);
}

/* Takes the highest request into service. Without one: the spurious input 7. */
static unsigned chip_acknowledge(struct chip *chip, bool first)
{
    int input = chip_pending(chip, first);
    if (input < 0)
        return 7;
    uint8_t bit = (uint8_t)(1u << input);
    if (!(chip->elcr & bit))
        chip->irr &= ~bit;
    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_auto_eoi)
        chip->lowest = (uint8_t)input;
    return (unsigned)input;
}

int i8259_acknowledge(void *opaque)
{
    struct i8259 *pics = opaque;
    struct chip *chips = pics->chips;
    unsigned input = chip_acknowledge(&chips[0], true);
    int vector = chips[0].base + (int)input;

    if (input == CASCADE_INPUT) {
        vector = chips[1].base + (int)chip_acknowledge(&chips[1], false);
        chip_set_pin(&chips[0], CASCADE_INPUT, false, true);
    }
    /* INT falls with each acknowledgement: a further request is a further edge. */
    irq_set(&pics->config.intr, false);
    pics_update(pics);
    return vector;
}

static void chip_write_icw1(struct chip *chip, uint8_t value)
{
    *chip = (struct chip){
        .pins = chip->pins,
        .elcr = chip->elcr,
        .irr = chip->pins & chip->elcr,
        .base = chip->base,
        .lowest = 7,
        .step = INIT_ICW2,
        .single = value & 2,
        .needs_icw4 = value & 1,
    };
}

static void chip_write_ocw2(struct chip *chip, uint8_t value)
{
    enum { ROTATE = 0x80, SPECIFIC = 0x40, EOI = 0x20 };
    uint8_t command = value & (ROTATE | SPECIFIC | EOI);
    unsigned input = value & 7;

    if (command == ROTATE || command == 0) {
        chip->rotate_auto_eoi = command == ROTATE;
        return;
    }
    if (command & EOI && !(command & SPECIFIC)) {
        unsigned rank = chip_rank(chip, chip->special_mask ? chip->isr & ~chip->imr : chip->isr);
        if (rank == 8)
            return;
        input = (chip->lowest + 1 + rank) & 7;
    }
    if (command & EOI)
        chip->isr &= ~(1u << input);
    if (command & ROTATE)
        chip->lowest = (uint8_t)input;
}

static void chip_write_ocw3(struct chip *chip, uint8_t value)
{
    if (value & 0x40)
        chip->special_mask = value & 0x20;
    if (value & 4)
        chip->poll = true;
    else if (value & 2)
        chip->read_isr = value & 1;
}

static void chip_write_data(struct chip *chip, uint8_t value)
{
    switch (chip->step) {
    case INIT_DONE:
        chip->imr = value; /* OCW1 */
        break;
    case INIT_ICW2:
        chip->base = value & 0xf8;
        chip->step = !chip->single ? INIT_ICW3 : chip->needs_icw4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3: /* the cascade is wired as in every PC */
        chip->step = chip->needs_icw4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW4:
        chip->auto_eoi = value & 2;
        chip->fully_nested = value & 0x10;
        chip->step = INIT_DONE;
        break;
    }
}

static void pics_write(struct i8259 *pics, unsigned index, uint64_t port, uint8_t value)
{
    struct chip *chip = &pics->chips[index];
    if (port)
        chip_write_data(chip, value);
    else if (value & 0x10)
        chip_write_icw1(chip, value);
    else if (value & 8)
        chip_write_ocw3(chip, value);
    else
        chip_write_ocw2(chip, value);
    pics_update(pics);
}

static uint8_t pics_read(struct i8259 *pics, unsigned index, uint64_t port)
{
    struct chip *chip = &pics->chips[index];
    if (chip->poll) {
        chip->poll = false;
        if (chip_pending(chip, index == 0) < 0)
            return 0;
        uint8_t input = (uint8_t)chip_acknowledge(chip, index == 0);
        if (index == 1 || input == CASCADE_INPUT)
            chip_set_pin(&pics->chips[0], CASCADE_INPUT, false, index == 0);
        pics_update(pics);
        return 0x80 | input;
    }
    if (port)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip->irr;
}

static uint64_t first_read(void *pics, uint64_t offset, unsigned size)
{
    (void)size;
    return pics_read(pics, 0, offset);
}

static void first_write(void *pics, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    pics_write(pics, 0, offset, (uint8_t)value);
}

static uint64_t second_read(void *pics, uint64_t offset, unsigned size)
{
    (void)size;
    return pics_read(pics, 1, offset);
}

static void second_write(void *pics, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    pics_write(pics, 1, offset, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *pics = opaque;
    (void)size;
    return pics->chips[offset & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *pics = opaque;
    struct chip *chip = &pics->chips[offset & 1];
    (void)size;
    chip->elcr = (uint8_t)value & elcr_writable[offset & 1];
    chip->irr = (chip->irr & ~chip->elcr) | (chip->pins & chip->elcr);
    pics_update(pics);
}

const struct bus_ops i8259_first_ops = {"first 8259", first_read, first_write, 1, 1};
const struct bus_ops i8259_second_ops = {"second 8259", second_read, second_write, 1, 1};
const struct bus_ops i8259_elcr_ops = {"8259 edge/level control", elcr_read, elcr_write, 1, 1};

void i8259_reset(struct i8259 *pics)
{
    for (unsigned i = 0; i < 2; i++)
        pics->chips[i] = (struct chip){.pins = pics->chips[i].pins, .lowest = 7};
    pics_update(pics);
}

struct i8259 *i8259_create(const struct i8259_config *config)
{
    struct i8259 *pics = calloc(1, sizeof(*pics));
    if (!pics)
        return NULL;
    pics->config = *config;
    i8259_reset(pics);
    return pics;
}

void i8259_destroy(struct i8259 *pics)
{
    free(pics);
}

void i8259_print(const struct i8259 *pics, FILE *out)
{
    for (unsigned i = 2; i-- > 0;) {
        const struct chip *chip = &pics->chips[i];
        fprintf(out,
                "pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%u elcr=%02x "
                "fnm=%u\n",
                i, chip->irr, chip->imr, chip->isr, (chip->lowest + 1) & 7, chip->base,
                chip->read_isr, chip->elcr, chip->fully_nested);
    }
}
