#include "devices/pci/i440fx.h"

#include <stdlib.h>

enum {
    REG_PAM0 = 0x59, /* to PAM6; the high half of PAM0 is F0000's, its low half nobody's */
    REG_PAM6 = 0x5f,
    REG_SMRAM = 0x72,
};

enum { PAM_READ = 1, PAM_WRITE = 2, PAM_BITS = PAM_READ | PAM_WRITE };

/* D_CLS would keep data accesses in SMM out of SMRAM; it is stored and changes nothing. */
enum {
    SMRAM_BASE = 0x02, /* C_BASE_SEG: A0000, the only choice */
    SMRAM_ENABLE = 1 << 3,
    SMRAM_LOCK = 1 << 4,
    SMRAM_CLOSED = 1 << 5,
    SMRAM_OPEN = 1 << 6,
};

#define CONFIG_ENABLE BIT(31)

struct i440fx {
    struct pci_function pci;
    struct i440fx_config config;
    uint32_t address;
};

static void show_segments(struct i440fx *host)
{
    for (unsigned i = 0; i < I440FX_SEGMENTS; i++) {
        /* Two a register: C0000 is in the low half of PAM1. */
        unsigned at = i ? i - 1 : 0;
        uint8_t pam = host->pci.config[i ? REG_PAM0 + 1 + at / 2 : REG_PAM0];
        unsigned bits = (i && at % 2 == 0 ? pam : pam >> 4) & PAM_BITS;
        host->config.show_segment(host->config.opaque, i, bits & PAM_READ, bits & PAM_WRITE);
    }
}

static void show_smram(struct i440fx *host)
{
    uint8_t smram = host->pci.config[REG_SMRAM];
    bool enabled = smram & SMRAM_ENABLE;
    host->config.show_smram(host->config.opaque, enabled && smram & SMRAM_OPEN, enabled);
}

/* D_LCK closes SMRAM and makes everything but D_CLS read-only until the next reset. */
static void lock_smram(struct i440fx *host)
{
    if (!(host->pci.config[REG_SMRAM] & SMRAM_LOCK))
        return;
    host->pci.config[REG_SMRAM] &= ~SMRAM_OPEN;
    host->pci.writable[REG_SMRAM] = SMRAM_CLOSED;
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    struct i440fx *host = (struct i440fx *)function;
    if (pci_touches(offset, size, REG_PAM0, REG_PAM6 - REG_PAM0 + 1))
        show_segments(host);
    if (pci_touches(offset, size, REG_SMRAM, 1)) {
        lock_smram(host);
        show_smram(host);
    }
}

static void reset(struct pci_function *function)
{
    struct i440fx *host = (struct i440fx *)function;
    host->address = 0;
    host->pci.writable[REG_SMRAM] = SMRAM_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN;
    show_segments(host);
    show_smram(host);
}

static const struct pci_ops i440fx_ops = {
    .name = "i440FX", .config_written = config_written, .reset = reset};

void i440fx_shadow(struct i440fx *host)
{
    memset(&host->pci.config[REG_PAM0], PAM_BITS | PAM_BITS << 4, REG_PAM6 - REG_PAM0 + 1);
    host->pci.config[REG_PAM0] = PAM_BITS << 4;
    show_segments(host);
}

/* --- Configuration mechanism 1: PCI 3.0, 3.2.2.3.2 */

static uint64_t address_read(void *device, uint64_t offset, unsigned size)
{
    const struct i440fx *host = device;
    if (size == 4)
        return host->address;
    if (offset != I440FX_NARROW_OFFSET || size != 1 || !host->config.narrow_ops)
        return bytes_mask(size);
    return host->config.narrow_ops->read(host->config.narrow, 0, 1);
}

static void address_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct i440fx *host = device;
    if (size == 4)
        host->address = (uint32_t)(value & 0x80fffffc);
    else if (offset == I440FX_NARROW_OFFSET && size == 1 && host->config.narrow_ops)
        host->config.narrow_ops->write(host->config.narrow, 0, value, 1);
}

/* False: no function of this bus is addressed. */
static bool addressed(const struct i440fx *host, uint8_t *devfn, unsigned *reg)
{
    *devfn = (uint8_t)(host->address >> 8);
    *reg = host->address & 0xfc;
    return host->address & CONFIG_ENABLE && !(host->address >> 16 & 0xff);
}

static uint64_t data_read(void *device, uint64_t offset, unsigned size)
{
    struct i440fx *host = device;
    uint8_t devfn;
    unsigned reg;
    if (!addressed(host, &devfn, &reg))
        return bytes_mask(size);
    return pci_bus_read(host->config.bus, devfn, reg + (unsigned)offset, size);
}

static void data_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    struct i440fx *host = device;
    uint8_t devfn;
    unsigned reg;
    if (addressed(host, &devfn, &reg))
        pci_bus_write(host->config.bus, devfn, reg + (unsigned)offset, (uint32_t)value, size);
}

const struct bus_ops i440fx_address_ops = {"PCI address", address_read, address_write, 1, 4};
const struct bus_ops i440fx_data_ops = {"PCI data", data_read, data_write, 1, 4};

struct i440fx *i440fx_create(const struct i440fx_config *config)
{
    struct i440fx *host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    host->config = *config;
    pci_init(&host->pci, &i440fx_ops,
             &(struct pci_identity){
                 .vendor = 0x8086, .device = 0x1237, .revision = 2, .class_code = 0x060000});
    pci_describe(&host->pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, PCI_COMMAND_SERR,
                 2);
    pci_set(&host->pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK_TO_BACK, 2);
    pci_describe(&host->pci, REG_PAM0, 0, PAM_BITS << 4, 1);
    for (unsigned reg = REG_PAM0 + 1; reg <= REG_PAM6; reg++)
        pci_describe(&host->pci, reg, 0, PAM_BITS | PAM_BITS << 4, 1);
    pci_set(&host->pci, REG_SMRAM, SMRAM_BASE, 1);
    if (!pci_bus_attach(config->bus, &host->pci, 0, 0)) {
        i440fx_destroy(host);
        return NULL;
    }
    return host;
}

void i440fx_destroy(struct i440fx *host)
{
    if (!host)
        return;
    pci_free(&host->pci);
    free(host);
}
