/* Commands and packets: IBM Personal System/2 Hardware Interface Technical Reference, "Auxiliary
 * Device"; the wheel: Microsoft's IntelliMouse, which shows after the sample rates 200, 100, 80. */
#include "devices/input/ps2_mouse.h"

#include <stdlib.h>

enum { PACKET_BUFFER = 16, FARTHEST = 32767 };

enum {
    SCALING_1_1 = 0xe6,
    SCALING_2_1 = 0xe7,
    SET_RESOLUTION = 0xe8,
    STATUS = 0xe9,
    STREAM_MODE = 0xea,
    READ_DATA = 0xeb,
    RESET_WRAP = 0xec,
    WRAP_MODE = 0xee,
    REMOTE_MODE = 0xf0,
    IDENTIFY = 0xf2,
    SET_SAMPLE_RATE = 0xf3,
    ENABLE = 0xf4,
    DISABLE = 0xf5,
    SET_DEFAULTS = 0xf6,
    RESEND = 0xfe,
    RESET = 0xff,
};

enum { ID_PLAIN = 0, ID_WHEEL = 3 };

struct ps2_mouse {
    struct ps2_device device;
    uint8_t command; /* the one that waits for its argument; 0: none */
    uint8_t id, resolution, rate;
    uint8_t rates[2]; /* the two rates before */
    bool enabled, remote, wrap, scaling;

    int right, up, wheel; /* moved since the last packet */
    uint8_t buttons, reported_buttons;
};

static void set_defaults(struct ps2_mouse *mouse)
{
    mouse->resolution = 2;
    mouse->rate = 100;
    mouse->enabled = mouse->remote = mouse->wrap = mouse->scaling = false;
    mouse->right = mouse->up = mouse->wheel = 0;
    mouse->reported_buttons = mouse->buttons;
}

void ps2_mouse_reset(struct ps2_mouse *mouse)
{
    set_defaults(mouse);
    mouse->command = 0;
    mouse->id = ID_PLAIN;
    mouse->rates[0] = mouse->rates[1] = 0;
    ps2_clear(&mouse->device);
}

/* ---- Packets ---- */

/* Takes what fits a field of the packet off a distance. */
static int take(int *distance, int least, int most)
{
    int part = *distance < least ? least : *distance > most ? most : *distance;
    *distance -= part;
    return part;
}

/* Scaling 2:1 (stream mode only): the first counts of a packet are made smaller, the others
 * doubled. */
static int scale(int counts)
{
    static const int small[] = {0, 1, 1, 3, 6, 9};
    int size = abs(counts);
    size = size < (int)ARRAY_SIZE(small) ? small[size] : 2 * size;
    if (size > 255)
        size = 255;
    return counts < 0 ? -size : size;
}

static void send_packet(struct ps2_mouse *mouse, bool scaled)
{
    int right = take(&mouse->right, -255, 255), up = take(&mouse->up, -255, 255);
    if (scaled) {
        right = scale(right);
        up = scale(up);
    }
    uint8_t packet[4] = {
        (uint8_t)(0x08 | mouse->buttons | (right < 0) << 4 | (up < 0) << 5),
        (uint8_t)right,
        (uint8_t)up,
    };
    if (mouse->id == ID_WHEEL)
        packet[3] = (uint8_t)take(&mouse->wheel, -8, 7);
    mouse->reported_buttons = mouse->buttons;
    ps2_send(&mouse->device, packet, mouse->id == ID_WHEEL ? 4 : 3);
}

/* A packet at a time, unless a button wants to be seen: so motion adds up at the pace at which the
 * guest reads, and clicks do not get lost. */
static void report(struct ps2_mouse *mouse)
{
    bool clicked = mouse->buttons != mouse->reported_buttons;
    bool moved = mouse->right || mouse->up || mouse->wheel;
    unsigned count = mouse->device.count;
    if (!mouse->enabled || mouse->remote || mouse->wrap)
        return;
    if (clicked ? count <= PACKET_BUFFER : moved && !count)
        send_packet(mouse, mouse->scaling);
}

static void mouse_emptied(struct ps2_device *device)
{
    report(container_of(device, struct ps2_mouse, device));
}

static int add(int distance, int more)
{
    int64_t sum = (int64_t)distance + more;
    return (int)(sum > FARTHEST ? FARTHEST : sum < -FARTHEST ? -FARTHEST : sum);
}

void ps2_mouse_move(struct ps2_mouse *mouse, int right, int down, int wheel, uint8_t buttons)
{
    mouse->buttons = buttons & 7;
    if (!mouse->enabled && !mouse->remote)
        return;
    mouse->right = add(mouse->right, right);
    mouse->up = -add(-mouse->up, down);
    if (mouse->id == ID_WHEEL)
        mouse->wheel = add(mouse->wheel, wheel);
    report(mouse);
}

/* ---- Commands ---- */

static void send_status(struct ps2_mouse *mouse)
{
    uint8_t state = (uint8_t)(mouse->remote << 6 | mouse->enabled << 5 | mouse->scaling << 4 |
                              !!(mouse->buttons & PS2_BUTTON_LEFT) << 2 |
                              !!(mouse->buttons & PS2_BUTTON_MIDDLE) << 1 |
                              !!(mouse->buttons & PS2_BUTTON_RIGHT));
    ps2_send(&mouse->device, (const uint8_t[]){state, mouse->resolution, mouse->rate}, 3);
}

static void set_rate(struct ps2_mouse *mouse, uint8_t rate)
{
    if (mouse->rates[0] == 200 && mouse->rates[1] == 100 && rate == 80)
        mouse->id = ID_WHEEL;
    mouse->rates[0] = mouse->rates[1];
    mouse->rates[1] = rate;
    mouse->rate = rate;
}

static void take_argument(struct ps2_mouse *mouse, uint8_t argument)
{
    uint8_t command = mouse->command;
    mouse->command = 0;
    ps2_send_byte(&mouse->device, PS2_ACK);
    if (command == SET_SAMPLE_RATE)
        set_rate(mouse, argument);
    else
        mouse->resolution = argument & 3;
}

/* An acknowledged command; Reset and Resend have answers of their own. */
static void run_command(struct ps2_mouse *mouse, uint8_t command)
{
    switch (command) {
    case SCALING_1_1:
    case SCALING_2_1:
        mouse->scaling = command == SCALING_2_1;
        break;
    case SET_RESOLUTION:
    case SET_SAMPLE_RATE:
        mouse->command = command;
        break;
    case STATUS:
        send_status(mouse);
        break;
    case STREAM_MODE:
    case REMOTE_MODE:
        mouse->remote = command == REMOTE_MODE;
        break;
    case READ_DATA:
        send_packet(mouse, false);
        break;
    case RESET_WRAP:
    case WRAP_MODE:
        mouse->wrap = command == WRAP_MODE;
        break;
    case IDENTIFY:
        ps2_send_byte(&mouse->device, mouse->id);
        break;
    case ENABLE:
    case DISABLE:
        mouse->enabled = command == ENABLE;
        break;
    case SET_DEFAULTS:
        set_defaults(mouse);
        break;
    }
}

static bool is_command(uint8_t byte)
{
    return (byte >= SCALING_1_1 && byte <= RESET_WRAP) || byte == WRAP_MODE ||
           byte == REMOTE_MODE || (byte >= IDENTIFY && byte <= SET_DEFAULTS);
}

/* A byte from the controller breaks off what the mouse was sending. */
static void mouse_write(struct ps2_device *device, uint8_t byte)
{
    struct ps2_mouse *mouse = container_of(device, struct ps2_mouse, device);
    ps2_clear(device);
    if (byte == RESET) {
        ps2_mouse_reset(mouse);
        ps2_send(device, (const uint8_t[]){PS2_ACK, PS2_TEST_PASSED, mouse->id}, 3);
    } else if (mouse->wrap && byte != RESET_WRAP)
        ps2_send_byte(device, byte);
    else if (byte == RESEND)
        ps2_send_byte(device, device->last);
    else if (mouse->command)
        take_argument(mouse, byte);
    else if (is_command(byte)) {
        ps2_send_byte(device, PS2_ACK);
        run_command(mouse, byte);
    } else
        ps2_send_byte(device, PS2_RESEND);
}

struct ps2_device *ps2_mouse_device(struct ps2_mouse *mouse)
{
    return &mouse->device;
}

struct ps2_mouse *ps2_mouse_create(void)
{
    struct ps2_mouse *mouse = calloc(1, sizeof(*mouse));
    if (!mouse)
        return NULL;
    mouse->device.write = mouse_write;
    mouse->device.emptied = mouse_emptied;
    ps2_mouse_reset(mouse);
    return mouse;
}

void ps2_mouse_destroy(struct ps2_mouse *mouse)
{
    free(mouse);
}
