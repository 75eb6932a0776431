#include "devices/pci/piix4_pm.h"

#include "devices/pci/piix4_smbus.h"
#include "devices/timer/acpi_pm.h"

#include <stdlib.h>

#define BASE_IS_IO 1u
#define PMREGMISC_ENABLE 1u
#define SMBHSTCFG_ENABLE 1u

/* Ports that are no BAR's. */
struct port_range {
    const struct bus_ops *ops;
    void *device;
    uint16_t size;
    uint16_t base; /* 0: not mapped */
};

struct piix4_pm {
    struct pci_function pci;
    struct piix4_pm_config config;
    struct piix4_smbus smbus;
    struct port_range pm_ports, smbus_ports;
};

/* base 0: nowhere. Where another device is, it cannot be seen. */
static void move_ports(struct piix4_pm *pm, struct port_range *range, uint32_t base)
{
    if (base == range->base)
        return;
    if (range->base)
        bus_unmap(pm->config.ports, BUS_PORT, range->base);
    range->base = 0;
    if (base &&
        bus_map(pm->config.ports, BUS_PORT, base, range->size, range->ops, range->device, NULL))
        range->base = (uint16_t)base;
}

static uint32_t base_of(const struct pci_function *pci, unsigned reg, bool enabled)
{
    return enabled ? pci_get(pci, reg, 2) & ~BASE_IS_IO : 0;
}

static void update(struct piix4_pm *pm)
{
    const struct pci_function *pci = &pm->pci;
    bool pm_enabled = pci->config[PIIX4_PMREGMISC] & PMREGMISC_ENABLE;
    bool smbus_enabled = pci->config[PIIX4_SMBHSTCFG] & SMBHSTCFG_ENABLE;
    move_ports(pm, &pm->pm_ports, base_of(pci, PIIX4_PMBASE, pm_enabled));
    move_ports(pm, &pm->smbus_ports, base_of(pci, PIIX4_SMBBA, smbus_enabled));
    acpi_pm_enable_smi(pm->config.pm, pci_get(pci, PIIX4_DEVACTB, 4) & PIIX4_APMC_ENABLE);
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    (void)size;
    if (offset >= PCI_SPECIFIC)
        update((struct piix4_pm *)function);
}

static void reset(struct pci_function *function)
{
    struct piix4_pm *pm = (struct piix4_pm *)function;
    pm->smbus = (struct piix4_smbus){0};
    acpi_pm_reset(pm->config.pm);
    update(pm);
}

static const struct pci_ops piix4_pm_ops = {
    .name = "PIIX4 power management", .config_written = config_written, .reset = reset};

struct piix4_pm *piix4_pm_create(const struct piix4_pm_config *config)
{
    struct piix4_pm *pm = calloc(1, sizeof(*pm));
    if (!pm)
        return NULL;
    pm->config = *config;
    pm->pm_ports = (struct port_range){&acpi_pm_ops, config->pm, ACPI_PM_PORTS, 0};
    pm->smbus_ports = (struct port_range){&piix4_smbus_ops, &pm->smbus, PIIX4_SMBUS_PORTS, 0};
    struct pci_function *pci = &pm->pci;
    pci_init(pci, &piix4_pm_ops,
             &(struct pci_identity){.vendor = 0x8086,
                                    .device = 0x7113,
                                    .revision = 3,
                                    .class_code = 0x068000,
                                    .interrupt_pin = 1});
    pci_describe(pci, PCI_COMMAND, 0, PCI_COMMAND_IO, 2);
    pci_set(pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK_TO_BACK, 2);
    pci_describe(pci, PIIX4_PMBASE, BASE_IS_IO, 0xffc0, 4);
    for (unsigned reg = 0x44; reg < 0x7c; reg += 4) /* counts, activity and I/O traps: stored */
        pci_describe(pci, reg, 0, ~0u, 4);
    pci_describe(pci, PIIX4_PMREGMISC, 0, PMREGMISC_ENABLE, 1);
    pci_describe(pci, PIIX4_SMBBA, BASE_IS_IO, 0xfff0, 4);
    pci_describe(pci, PIIX4_SMBHSTCFG, 0, 0x0f, 1);
    pci_describe(pci, PIIX4_SMBHSTCFG + 1, 0, 0xff, 3); /* slave and shadow addresses */
    if (!pci_bus_attach(config->bus, pci, 1, 3)) {
        piix4_pm_destroy(pm);
        return NULL;
    }
    return pm;
}

void piix4_pm_destroy(struct piix4_pm *pm)
{
    if (!pm)
        return;
    pci_free(&pm->pci);
    free(pm);
}
