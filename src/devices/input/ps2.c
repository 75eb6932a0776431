#include "devices/input/ps2.h"

bool ps2_send(struct ps2_device *device, const uint8_t *bytes, unsigned count)
{
    if (device->count + count > PS2_QUEUE)
        return false;
    for (unsigned i = 0; i < count; i++)
        device->queue[(device->head + device->count++) % PS2_QUEUE] = bytes[i];
    if (device->ready)
        device->ready(device->opaque);
    return true;
}

bool ps2_send_byte(struct ps2_device *device, uint8_t byte)
{
    return ps2_send(device, &byte, 1);
}

void ps2_clear(struct ps2_device *device)
{
    device->count = 0;
}

bool ps2_read(struct ps2_device *device, uint8_t *byte)
{
    if (!device->count)
        return false;
    *byte = device->last = device->queue[device->head];
    device->head = (device->head + 1) % PS2_QUEUE;
    device->count--;
    if (!device->count && device->emptied)
        device->emptied(device);
    return true;
}
