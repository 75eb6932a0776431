#include "devices/pci/piix4_smbus.h"

#include "base/types.h"

enum { REG_STATUS, REG_SLAVE_STATUS, REG_CONTROL };

enum { STATUS_DEVICE_ERROR = 1 << 2, STATUS_CLEARABLE = 0x1e };
enum { CONTROL_START = 1 << 6, CONTROL_KILL = 1 << 1 };

static uint64_t smbus_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    const struct piix4_smbus *smbus = device;
    if (offset == REG_STATUS)
        return smbus->status;
    return offset < ARRAY_SIZE(smbus->registers) ? smbus->registers[offset] : 0;
}

/* No slave acknowledges its address. */
static void smbus_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    struct piix4_smbus *smbus = device;
    if (offset == REG_STATUS) {
        smbus->status &= (uint8_t) ~(value & STATUS_CLEARABLE);
        return;
    }
    if (offset == REG_CONTROL) {
        if (value & CONTROL_START)
            smbus->status |= STATUS_DEVICE_ERROR;
        value &= (uint8_t) ~(CONTROL_START | CONTROL_KILL);
    }
    if (offset > REG_SLAVE_STATUS && offset < ARRAY_SIZE(smbus->registers))
        smbus->registers[offset] = (uint8_t)value;
}

const struct bus_ops piix4_smbus_ops = {"PIIX4 SMBus", smbus_read, smbus_write, 1, 1};
