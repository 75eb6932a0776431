#include "machine/chipset.h"

#include "bus/bus.h"
#include "devices/misc/reset_control.h"
#include "devices/pci/i440fx.h"
#include "devices/pci/piix3.h"
#include "devices/pci/piix4_pm.h"
#include "devices/storage/ide.h"
#include "devices/timer/acpi_pm.h"
#include "machine/memory_map.h"
#include "mmu/phys.h"

#include <stdlib.h>

struct chipset {
    struct chipset_config config;
    struct pci_bus *pci;
    struct i440fx *host;
    struct piix3 *isa;
    struct piix4_pm *pm;
};

static void show_segment(void *opaque, unsigned segment, bool reads, bool writes)
{
    struct chipset *chipset = opaque;
    unsigned shown = (reads ? PHYS_READABLE : 0u) | (writes ? PHYS_WRITABLE : 0u);
    phys_switch_window(chipset->config.phys, chipset->config.windows->segment[segment], shown,
                       shown);
}

static void show_smram(void *opaque, bool all, bool smm)
{
    struct chipset *chipset = opaque;
    const unsigned shown = PHYS_READABLE | PHYS_WRITABLE;
    phys_switch_window(chipset->config.phys, chipset->config.windows->smram, all ? shown : 0,
                       smm ? shown : 0);
}

static void set_line(void *opaque, unsigned line, bool level)
{
    struct chipset *chipset = opaque;
    if (chipset->isa)
        piix3_set_pirq(chipset->isa, line, level);
}

static bool create_functions(struct chipset *chipset)
{
    const struct chipset_config *config = &chipset->config;
    struct pci_bus_config pci = {
        .bus = config->bus,
        .dma = phys_dma(config->phys),
        .direct = config->direct,
        .apic_bus = config->apic_bus,
    };
    for (unsigned i = 0; i < PCI_LINES; i++)
        pci.line[i] = (struct irq_line){set_line, chipset, i};
    chipset->pci = pci_bus_create(&pci);
    if (!chipset->pci)
        return false;
    chipset->host = i440fx_create(&(struct i440fx_config){
        .bus = chipset->pci,
        .show_segment = show_segment,
        .show_smram = show_smram,
        .opaque = chipset,
        .narrow_ops = &reset_control_ops,
        .narrow = config->reset_control,
    });
    chipset->isa = piix3_create(&(struct piix3_config){
        .bus = chipset->pci,
        .set_irq = config->set_irq,
        .opaque = config->opaque,
    });
    chipset->pm = piix4_pm_create(&(struct piix4_pm_config){
        .bus = chipset->pci,
        .ports = config->bus,
        .pm = config->pm,
    });
    return chipset->host && chipset->isa && chipset->pm;
}

static bool map_host(struct chipset *chipset)
{
    struct bus *bus = chipset->config.bus;
    return bus_map(bus, BUS_PORT, I440FX_ADDRESS_PORT, 4, &i440fx_address_ops, chipset->host,
                   NULL) &&
           bus_map(bus, BUS_PORT, I440FX_DATA_PORT, 4, &i440fx_data_ops, chipset->host, NULL);
}

struct chipset *chipset_create(const struct chipset_config *config, struct error *error)
{
    struct chipset *chipset = calloc(1, sizeof(*chipset));
    if (!chipset) {
        error_format(error, "no memory for the guest's chipset");
        return NULL;
    }
    chipset->config = *config;
    if (create_functions(chipset) && map_host(chipset))
        return chipset;
    error_format(error, "no memory for the guest's chipset");
    chipset_destroy(chipset);
    return NULL;
}

void chipset_destroy(struct chipset *chipset)
{
    piix4_pm_destroy(chipset->pm);
    piix3_destroy(chipset->isa);
    i440fx_destroy(chipset->host);
    pci_bus_destroy(chipset->pci);
    free(chipset);
}

void chipset_reset(struct chipset *chipset)
{
    pci_bus_reset(chipset->pci);
}

struct pci_bus *chipset_pci_bus(struct chipset *chipset)
{
    return chipset->pci;
}

/* --- What SeaBIOS would do */

static const uint8_t line_irq[PCI_LINES] = {10, 10, 11, 11};

static void set_power_management(struct pci_bus *pci)
{
    const uint8_t devfn = pci_devfn(PIIX3_SLOT, 3);
    pci_bus_write(pci, devfn, PIIX4_PMBASE, ACPI_PM_PORT, 4);
    pci_bus_write(pci, devfn, PIIX4_PMREGMISC, 1, 1);
    pci_bus_write(pci, devfn, PIIX4_SMBBA, PIIX4_SMBUS_PORT, 4);
    pci_bus_write(pci, devfn, PIIX4_SMBHSTCFG, 0x09, 1);
}

static void enable_ide(struct pci_bus *pci)
{
    const uint8_t devfn = pci_devfn(PIIX3_SLOT, IDE_FUNCTION);
    pci_bus_write(pci, devfn, PIIX3_IDETIM, PIIX3_IDETIM_ENABLE, 2);
    pci_bus_write(pci, devfn, PIIX3_IDETIM + 2, PIIX3_IDETIM_ENABLE, 2);
}

static void route_interrupts(struct pci_bus *pci)
{
    for (unsigned i = 0; i < PCI_LINES; i++)
        pci_bus_write(pci, pci_devfn(PIIX3_SLOT, 0), PIIX3_PIRQRC + i, line_irq[i], 1);
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++) {
        const struct pci_function *function = pci_bus_function(pci, (uint8_t)devfn);
        if (function && function->config[PCI_INTERRUPT_PIN])
            pci_bus_write(pci, (uint8_t)devfn, PCI_INTERRUPT_LINE, line_irq[pci_line_of(function)],
                          1);
    }
}

void chipset_enter_after_firmware(struct chipset *chipset)
{
    i440fx_shadow(chipset->host);
    set_power_management(chipset->pci);
    enable_ide(chipset->pci);
    route_interrupts(chipset->pci);
}
