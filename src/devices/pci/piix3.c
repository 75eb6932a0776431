#include "devices/pci/piix3.h"

#include <stdlib.h>

#define NOT_ROUTED 0x80
#define ROUTABLE 0xdef8u /* the IRQs that a line may become: not 0, 1, 2, 8 and 13 */

struct piix3 {
    struct pci_function pci;
    struct piix3_config config;
    bool level[PCI_LINES];
    uint16_t driven; /* IRQs */
};

static void update_irqs(struct piix3 *bridge)
{
    uint16_t driven = 0;
    for (unsigned i = 0; i < PCI_LINES; i++) {
        uint8_t route = bridge->pci.config[PIIX3_PIRQRC + i];
        if (bridge->level[i] && !(route & NOT_ROUTED))
            driven |= (uint16_t)(1u << (route & 15) & ROUTABLE);
    }
    uint16_t changed = driven ^ bridge->driven;
    bridge->driven = driven;
    for (; changed; changed &= (uint16_t)(changed - 1)) {
        unsigned irq = (unsigned)__builtin_ctz(changed);
        bridge->config.set_irq(bridge->config.opaque, irq, driven >> irq & 1);
    }
}

void piix3_set_pirq(void *opaque, unsigned pirq, bool level)
{
    struct piix3 *bridge = opaque;
    bridge->level[pirq % PCI_LINES] = level;
    update_irqs(bridge);
}

static void config_written(struct pci_function *function, unsigned offset, unsigned size)
{
    if (pci_touches(offset, size, PIIX3_PIRQRC, PCI_LINES))
        update_irqs((struct piix3 *)function);
}

static void reset(struct pci_function *function)
{
    update_irqs((struct piix3 *)function);
}

static const struct pci_ops piix3_ops = {
    .name = "PIIX3 ISA bridge", .config_written = config_written, .reset = reset};

struct piix3 *piix3_create(const struct piix3_config *config)
{
    struct piix3 *bridge = calloc(1, sizeof(*bridge));
    if (!bridge)
        return NULL;
    bridge->config = *config;
    struct pci_function *pci = &bridge->pci;
    pci_init(pci, &piix3_ops,
             &(struct pci_identity){.vendor = 0x8086, .device = 0x7000, .class_code = 0x060100});
    pci_describe(pci, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                 PCI_COMMAND_SERR, 2);
    pci_set(pci, PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, 2);
    pci_describe(pci, 0x4c, 0x4d, 0xff, 1);     /* IORT: ISA recovery times */
    pci_describe(pci, 0x4e, 0x0003, 0x07ff, 2); /* XBCS: what the X-bus decodes */
    for (unsigned i = 0; i < PCI_LINES; i++)
        pci_describe(pci, PIIX3_PIRQRC + i, NOT_ROUTED, NOT_ROUTED | 15, 1);
    pci_describe(pci, 0x69, 0x02, 0xfe, 1);     /* TOM: top of memory for ISA masters */
    pci_describe(pci, 0x76, 0x0c0c, 0x8f8f, 2); /* MBDMA: motherboard DMA channels */
    if (!pci_bus_attach(config->bus, pci, PIIX3_SLOT, 0)) {
        piix3_destroy(bridge);
        return NULL;
    }
    return bridge;
}

void piix3_destroy(struct piix3 *bridge)
{
    if (!bridge)
        return;
    pci_free(&bridge->pci);
    free(bridge);
}
