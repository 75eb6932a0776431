/* Commands and answers: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboards
 * (101- and 102-key)". */
#include "devices/input/ps2_keyboard.h"

#include "devices/input/scancodes.h"

#include <stdlib.h>

enum { KEY_BUFFER = 16 }; /* of the queue; the rest is for answers */

enum {
    SET_LEDS = 0xed,
    ECHO = 0xee,
    SCAN_CODE_SET = 0xf0,
    IDENTIFY = 0xf2,
    SET_TYPEMATIC = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    SET_DEFAULTS = 0xf6,
    RESEND = 0xfe,
    RESET = 0xff,
};

struct ps2_keyboard {
    struct ps2_device device;
    uint8_t command; /* the one that waits for its argument; 0: none */
    uint8_t set;     /* scan code set: 1 or 2 */
    uint8_t leds;
    bool scanning;
    bool overrun; /* the last thing queued says that keys were lost */
};

static void set_defaults(struct ps2_keyboard *keyboard)
{
    keyboard->command = 0;
    keyboard->set = 2;
    keyboard->scanning = true;
    keyboard->overrun = false;
    ps2_clear(&keyboard->device);
}

void ps2_keyboard_reset(struct ps2_keyboard *keyboard)
{
    set_defaults(keyboard);
    keyboard->leds = 0;
}

static void run_command(struct ps2_keyboard *keyboard, uint8_t command)
{
    struct ps2_device *device = &keyboard->device;
    switch (command) {
    case SET_LEDS:
    case SCAN_CODE_SET:
    case SET_TYPEMATIC:
        keyboard->command = command;
        ps2_send_byte(device, PS2_ACK);
        break;
    case ECHO:
        ps2_send_byte(device, ECHO);
        break;
    case IDENTIFY:
        ps2_send(device, (const uint8_t[]){PS2_ACK, 0xab, 0x83}, 3);
        break;
    case ENABLE:
    case DISABLE:
    case SET_DEFAULTS:
        set_defaults(keyboard);
        keyboard->scanning = command != DISABLE;
        ps2_send_byte(device, PS2_ACK);
        break;
    case RESEND:
        ps2_send_byte(device, device->last);
        break;
    case RESET:
        ps2_keyboard_reset(keyboard);
        ps2_send(device, (const uint8_t[]){PS2_ACK, PS2_TEST_PASSED}, 2);
        break;
    default:
        ps2_send_byte(device, PS2_RESEND);
        break;
    }
}

static void take_argument(struct ps2_keyboard *keyboard, uint8_t argument)
{
    struct ps2_device *device = &keyboard->device;
    uint8_t command = keyboard->command;
    keyboard->command = 0;
    if (command == SCAN_CODE_SET && argument > 2) {
        ps2_send_byte(device, PS2_RESEND);
        return;
    }
    ps2_send_byte(device, PS2_ACK);
    if (command == SET_LEDS)
        keyboard->leds = argument & 7;
    else if (command == SCAN_CODE_SET && argument)
        keyboard->set = argument;
    else if (command == SCAN_CODE_SET)
        ps2_send_byte(device, keyboard->set);
}

static void keyboard_write(struct ps2_device *device, uint8_t byte)
{
    struct ps2_keyboard *keyboard = container_of(device, struct ps2_keyboard, device);
    if (keyboard->command && byte < 0x80)
        take_argument(keyboard, byte);
    else { /* a command in an argument's place takes over */
        keyboard->command = 0;
        run_command(keyboard, byte);
    }
}

struct sequence {
    uint8_t bytes[8];
    unsigned count;
};

static void append(struct sequence *sequence, uint8_t byte)
{
    sequence->bytes[sequence->count++] = byte;
}

static void append_key(struct sequence *sequence, unsigned set, uint8_t key, bool pressed)
{
    uint8_t code = key & 0x7f;
    if (key & PS2_KEY_EXTENDED)
        append(sequence, 0xe0);
    if (set == 1) {
        append(sequence, pressed ? code : code | 0x80);
        return;
    }
    if (!pressed)
        append(sequence, 0xf0);
    append(sequence, scancode_set2_of_set1(code));
}

/* What a key sends. Print Screen comes with a left Shift of its own, and Pause says its release
 * together with its press. */
static struct sequence sequence_of(unsigned set, uint8_t key, bool pressed)
{
    enum { FAKE_SHIFT = PS2_KEY_EXTENDED | 0x2a };
    static const struct sequence pause[] = {
        {{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}, 6},
        {{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}, 8},
    };
    struct sequence sequence = {.count = 0};
    if (key == PS2_KEY_PAUSE)
        return pressed ? pause[set - 1] : sequence;
    if (key == PS2_KEY_PRINT_SCREEN && pressed)
        append_key(&sequence, set, FAKE_SHIFT, true);
    append_key(&sequence, set, key, pressed);
    if (key == PS2_KEY_PRINT_SCREEN && !pressed)
        append_key(&sequence, set, FAKE_SHIFT, false);
    return sequence;
}

void ps2_keyboard_key(struct ps2_keyboard *keyboard, uint8_t key, bool pressed)
{
    struct ps2_device *device = &keyboard->device;
    if (!keyboard->scanning || !(key & 0x7f))
        return;
    struct sequence sequence = sequence_of(keyboard->set, key, pressed);
    if (device->count + sequence.count <= KEY_BUFFER) {
        keyboard->overrun = false;
        ps2_send(device, sequence.bytes, sequence.count);
    } else if (!keyboard->overrun)
        keyboard->overrun = ps2_send_byte(device, keyboard->set == 1 ? 0xff : 0x00);
}

uint8_t ps2_keyboard_leds(const struct ps2_keyboard *keyboard)
{
    return keyboard->leds;
}

struct ps2_device *ps2_keyboard_device(struct ps2_keyboard *keyboard)
{
    return &keyboard->device;
}

struct ps2_keyboard *ps2_keyboard_create(void)
{
    struct ps2_keyboard *keyboard = calloc(1, sizeof(*keyboard));
    if (!keyboard)
        return NULL;
    keyboard->device.write = keyboard_write;
    ps2_keyboard_reset(keyboard);
    return keyboard;
}

void ps2_keyboard_destroy(struct ps2_keyboard *keyboard)
{
    free(keyboard);
}
