/* Ports, commands and the command byte: IBM Personal System/2 Hardware Interface Technical
 * Reference, "Keyboard and Auxiliary Device Controller". */
#include "devices/input/i8042.h"

#include "bus/clock.h"
#include "devices/input/ps2.h"
#include "devices/input/scancodes.h"

#include <stdlib.h>

/* Between the reading of a byte and the next one from a device: a real cable takes a millisecond a
 * byte, and an interrupt handler may read the data port twice. */
#define BYTE_GAP_NS 100000

enum {
    STATUS_OUTPUT_FULL = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08, /* the last write went to the command port */
    STATUS_UNLOCKED = 0x10,
    STATUS_MOUSE = 0x20, /* the output buffer's byte is the mouse's */
};

/* The command byte: byte 0 of the controller's RAM. */
enum {
    KEYBOARD_INTERRUPT = 0x01,
    MOUSE_INTERRUPT = 0x02,
    SYSTEM = 0x04,
    KEYBOARD_OFF = 0x10,
    MOUSE_OFF = 0x20,
    TRANSLATE = 0x40,
};

enum {
    READ_RAM = 0x20, /* to 0x3f */
    WRITE_RAM = 0x60,
    PASSWORD_INSTALLED = 0xa4,
    MOUSE_DISABLE = 0xa7,
    MOUSE_ENABLE = 0xa8,
    MOUSE_TEST = 0xa9,
    SELF_TEST = 0xaa,
    KEYBOARD_TEST = 0xab,
    KEYBOARD_DISABLE = 0xad,
    KEYBOARD_ENABLE = 0xae,
    READ_INPUT_PORT = 0xc0,
    READ_OUTPUT_PORT = 0xd0,
    WRITE_OUTPUT_PORT = 0xd1,
    WRITE_KEYBOARD_BUFFER = 0xd2,
    WRITE_MOUSE_BUFFER = 0xd3,
    WRITE_MOUSE = 0xd4,
    A20_OFF = 0xdd,
    A20_ON = 0xdf,
    READ_TEST_INPUTS = 0xe0,
    PULSE = 0xf0, /* to 0xff: the low bits that are clear */
};

enum { PORT_NOT_RESET = 0x01, PORT_A20 = 0x02, PORT_KEYBOARD = 0x10, PORT_MOUSE = 0x20 };
enum { INPUT_PORT_UNLOCKED = 0x80 };
enum { NO_PASSWORD = 0xf1, SELF_TEST_PASSED = 0x55 };

struct i8042 {
    struct i8042_config config;
    uint8_t ram[32];
    uint8_t output_port;  /* PORT_A20 and what else the guest wrote there */
    uint8_t command;      /* waits for its argument; 0: none */
    bool last_to_command; /* for STATUS_COMMAND */

    uint8_t output; /* keeps its value when it has been read */
    bool full, from_mouse;
    uint8_t answer; /* the controller's own next byte */
    bool has_answer, answer_from_mouse;

    bool break_prefix;  /* translation has swallowed an F0 */
    bool loading;       /* a device is being read: what it sends now waits */
    uint64_t next_byte; /* no device's byte before this time */
    struct clock_timer gap;
};

static void update_irqs(struct i8042 *i8042)
{
    uint8_t enabled = i8042->ram[0];
    irq_set(&i8042->config.keyboard_irq,
            i8042->full && !i8042->from_mouse && (enabled & KEYBOARD_INTERRUPT));
    irq_set(&i8042->config.mouse_irq,
            i8042->full && i8042->from_mouse && (enabled & MOUSE_INTERRUPT));
}

static void fill(struct i8042 *i8042, uint8_t byte, bool from_mouse)
{
    i8042->output = byte;
    i8042->full = true;
    i8042->from_mouse = from_mouse;
}

/* Set 2 to set 1: a break prefix becomes the top bit of the code that follows. */
static bool translate(struct i8042 *i8042, uint8_t *byte)
{
    if (!(i8042->ram[0] & TRANSLATE))
        return true;
    if (*byte == 0xf0) {
        i8042->break_prefix = true;
        return false;
    }
    *byte = scancode_set1_of_set2[*byte] | (i8042->break_prefix ? 0x80 : 0);
    i8042->break_prefix = false;
    return true;
}

static void load_from_devices(struct i8042 *i8042)
{
    uint8_t byte;
    i8042->loading = true;
    while (!i8042->full && !(i8042->ram[0] & KEYBOARD_OFF) &&
           ps2_read(i8042->config.keyboard, &byte))
        if (translate(i8042, &byte))
            fill(i8042, byte, false);
    if (!i8042->full && !(i8042->ram[0] & MOUSE_OFF) && ps2_read(i8042->config.mouse, &byte))
        fill(i8042, byte, true);
    i8042->loading = false;
}

/* Fills the output buffer where it is empty and something waits for it. */
static void update(struct i8042 *i8042)
{
    if (!i8042->full && i8042->has_answer) {
        fill(i8042, i8042->answer, i8042->answer_from_mouse);
        i8042->has_answer = false;
    }
    if (!i8042->full && clock_now(i8042->config.clock) >= i8042->next_byte)
        load_from_devices(i8042);
    update_irqs(i8042);
}

static void on_gap(void *opaque)
{
    update(opaque);
}

static void on_ready(void *opaque)
{
    struct i8042 *i8042 = opaque;
    if (!i8042->loading)
        update(i8042);
}

static void answer(struct i8042 *i8042, uint8_t byte, bool from_mouse)
{
    i8042->answer = byte;
    i8042->answer_from_mouse = from_mouse;
    i8042->has_answer = true;
}

static void pulse_reset(struct i8042 *i8042)
{
    irq_pulse(&i8042->config.reset);
}

static void write_output_port(struct i8042 *i8042, uint8_t value)
{
    i8042->output_port = value;
    irq_set(&i8042->config.a20, value & PORT_A20);
    if (!(value & PORT_NOT_RESET))
        pulse_reset(i8042);
}

static uint8_t read_output_port(const struct i8042 *i8042)
{
    uint8_t value = i8042->output_port & (uint8_t) ~(PORT_KEYBOARD | PORT_MOUSE);
    if (i8042->full)
        value |= i8042->from_mouse ? PORT_MOUSE : PORT_KEYBOARD;
    return value;
}

static void run_command(struct i8042 *i8042, uint8_t command)
{
    switch (command) {
    case READ_RAM ... READ_RAM + 31:
        answer(i8042, i8042->ram[command - READ_RAM], false);
        break;
    case WRITE_RAM ... WRITE_RAM + 31:
    case WRITE_OUTPUT_PORT:
    case WRITE_KEYBOARD_BUFFER:
    case WRITE_MOUSE_BUFFER:
    case WRITE_MOUSE:
        i8042->command = command;
        break;
    case PASSWORD_INSTALLED:
        answer(i8042, NO_PASSWORD, false);
        break;
    case MOUSE_DISABLE:
        i8042->ram[0] |= MOUSE_OFF;
        break;
    case MOUSE_ENABLE:
        i8042->ram[0] &= (uint8_t)~MOUSE_OFF;
        break;
    case KEYBOARD_DISABLE:
        i8042->ram[0] |= KEYBOARD_OFF;
        break;
    case KEYBOARD_ENABLE:
        i8042->ram[0] &= (uint8_t)~KEYBOARD_OFF;
        break;
    case MOUSE_TEST:
    case KEYBOARD_TEST:
    case READ_TEST_INPUTS:
        answer(i8042, 0, false);
        break;
    case SELF_TEST:
        i8042->ram[0] |= SYSTEM;
        answer(i8042, SELF_TEST_PASSED, false);
        break;
    case READ_INPUT_PORT:
        answer(i8042, INPUT_PORT_UNLOCKED, false);
        break;
    case READ_OUTPUT_PORT:
        answer(i8042, read_output_port(i8042), false);
        break;
    case A20_OFF:
        write_output_port(i8042, i8042->output_port & (uint8_t)~PORT_A20);
        break;
    case A20_ON:
        write_output_port(i8042, i8042->output_port | PORT_A20);
        break;
    case PULSE ... 0xff:
        if (!(command & PORT_NOT_RESET))
            pulse_reset(i8042);
        break;
    }
}

static void take_argument(struct i8042 *i8042, uint8_t argument)
{
    uint8_t command = i8042->command;
    i8042->command = 0;
    switch (command) {
    case WRITE_OUTPUT_PORT:
        write_output_port(i8042, argument);
        break;
    case WRITE_KEYBOARD_BUFFER:
        answer(i8042, argument, false);
        break;
    case WRITE_MOUSE_BUFFER:
        answer(i8042, argument, true);
        break;
    case WRITE_MOUSE: /* talking to a device switches it on */
        i8042->ram[0] &= (uint8_t)~MOUSE_OFF;
        i8042->config.mouse->write(i8042->config.mouse, argument);
        break;
    default:
        i8042->ram[command - WRITE_RAM] = argument;
        break;
    }
}

static uint64_t data_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8042 *i8042 = device;
    update(i8042);
    uint8_t byte = i8042->output;
    if (i8042->full) {
        i8042->full = false;
        update_irqs(i8042);
        i8042->next_byte = clock_now(i8042->config.clock) + BYTE_GAP_NS;
        clock_arm(i8042->config.clock, &i8042->gap, i8042->next_byte);
        update(i8042);
    }
    return byte;
}

static void data_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8042 *i8042 = device;
    i8042->last_to_command = false;
    if (i8042->command)
        take_argument(i8042, (uint8_t)value);
    else {
        i8042->ram[0] &= (uint8_t)~KEYBOARD_OFF;
        i8042->config.keyboard->write(i8042->config.keyboard, (uint8_t)value);
    }
    update(i8042);
}

static uint64_t command_read(void *device, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8042 *i8042 = device;
    update(i8042); /* a guest that polls need not wait for the timer's thread */
    uint8_t status = STATUS_UNLOCKED;
    if (i8042->full)
        status |= STATUS_OUTPUT_FULL | (i8042->from_mouse ? STATUS_MOUSE : 0);
    if (i8042->ram[0] & SYSTEM)
        status |= STATUS_SYSTEM;
    if (i8042->last_to_command)
        status |= STATUS_COMMAND;
    return status;
}

static void command_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8042 *i8042 = device;
    i8042->last_to_command = true;
    i8042->command = 0;
    run_command(i8042, (uint8_t)value);
    update(i8042);
}

const struct bus_ops i8042_data_ops = {
    .name = "i8042 data",
    .read = data_read,
    .write = data_write,
    .min_size = 1,
    .max_size = 1,
};

const struct bus_ops i8042_command_ops = {
    .name = "i8042 command",
    .read = command_read,
    .write = command_write,
    .min_size = 1,
    .max_size = 1,
};

static void plug_in(struct i8042 *i8042, struct ps2_device *device)
{
    device->ready = on_ready;
    device->opaque = i8042;
}

struct i8042 *i8042_create(const struct i8042_config *config)
{
    struct i8042 *i8042 = calloc(1, sizeof(*i8042));
    if (!i8042)
        return NULL;
    i8042->config = *config;
    clock_timer_init(&i8042->gap, on_gap, i8042);
    plug_in(i8042, config->keyboard);
    plug_in(i8042, config->mouse);
    i8042_reset(i8042);
    return i8042;
}

void i8042_destroy(struct i8042 *i8042)
{
    if (!i8042)
        return;
    clock_cancel(i8042->config.clock, &i8042->gap);
    i8042->config.keyboard->ready = NULL;
    i8042->config.mouse->ready = NULL;
    free(i8042);
}

void i8042_reset(struct i8042 *i8042)
{
    clock_cancel(i8042->config.clock, &i8042->gap);
    for (size_t i = 0; i < sizeof(i8042->ram); i++)
        i8042->ram[i] = 0;
    i8042->ram[0] = KEYBOARD_INTERRUPT | SYSTEM | MOUSE_OFF | TRANSLATE;
    i8042->command = 0;
    i8042->full = i8042->has_answer = i8042->break_prefix = i8042->last_to_command = false;
    i8042->next_byte = 0;
    i8042->output_port = PORT_NOT_RESET | PORT_A20;
    irq_set(&i8042->config.a20, true);
    update_irqs(i8042);
}
