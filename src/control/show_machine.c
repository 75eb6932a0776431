#include "bus/bus.h"
#include "control/show.h"
#include "devices/pci/pci_bus.h"
#include "mmu/phys.h"

#include <inttypes.h>

static const char *class_name(unsigned class)
{
    static const struct {
        uint16_t class; /* base class and sub-class */
        char name[24];
    } names[] = {
        {0x0100, "SCSI controller"}, {0x0101, "IDE controller"}, {0x0200, "Ethernet controller"},
        {0x0300, "VGA controller"},  {0x0600, "Host bridge"},    {0x0601, "ISA bridge"},
        {0x0604, "PCI bridge"},      {0x0680, "Bridge"},         {0x0c05, "SMBus"}};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].class == class)
            return names[i].name;
    }
    return NULL;
}

static unsigned config_word(const struct pci_function *function, unsigned offset)
{
    return function->config[offset] | (unsigned)function->config[offset + 1] << 8;
}

static void show_bar(const struct pci_function *function, unsigned number, FILE *out)
{
    const struct pci_bar *bar = &function->bar[number];
    if (bar->kind == PCI_BAR_NONE)
        return;
    fprintf(out, "      BAR%u: %s at ", number,
            bar->kind == PCI_BAR_IO          ? "I/O"
            : bar->kind == PCI_BAR_MEMORY_64 ? "64 bit memory"
                                             : "32 bit memory");
    if (bar->mapped)
        fprintf(out, "0x%" PRIx64 " [0x%" PRIx64 "].\n", bar->base, bar->base + bar->size - 1);
    else
        fprintf(out, "nowhere, of 0x%" PRIx64 " bytes.\n", bar->size);
}

static void show_function(const struct pci_function *function, FILE *out)
{
    unsigned class = config_word(function, 0x0a);
    const char *name = class_name(class);
    fprintf(out, "  Bus  0, device %3u, function %u:\n    ", function->devfn >> 3,
            function->devfn & 7);
    if (name)
        fprintf(out, "%s", name);
    else
        fprintf(out, "Class %04x", class);
    fprintf(out, ": PCI device %04x:%04x\n", config_word(function, 0), config_word(function, 2));
    fprintf(out, "      PCI subsystem %04x:%04x\n", config_word(function, 0x2c),
            config_word(function, 0x2e));
    if (function->config[0x3d])
        fprintf(out, "      IRQ %u, pin %c\n", function->config[0x3c],
                'A' + function->config[0x3d] - 1);
    for (unsigned i = 0; i < PCI_BARS; i++)
        show_bar(function, i, out);
    fprintf(out, "      id \"\"\n");
}

void show_pci(struct pci_bus *pci, FILE *out)
{
    for (unsigned devfn = 0; devfn < PCI_FUNCTIONS; devfn++) {
        const struct pci_function *function = pci_bus_function(pci, (uint8_t)devfn);
        if (function)
            show_function(function, out);
    }
}

static void show_space(struct bus *bus, enum bus_space space, FILE *out)
{
    struct bus_range range;
    for (unsigned i = 0; bus_range_at(bus, space, i, &range); i++)
        fprintf(out, "    %016" PRIx64 "-%016" PRIx64 " (prio 0, i/o): %s\n", range.base,
                range.base + range.size - 1, range.name);
}

/* The device that answers where nothing is in front of it. */
static const char *device_at(struct bus *bus, uint64_t address)
{
    struct bus_range range;
    for (unsigned i = 0; bus_range_at(bus, BUS_MMIO, i, &range); i++) {
        if (address - range.base < range.size)
            return range.name;
    }
    return "a device";
}

static void show_region(struct bus *bus, const struct phys_region *region, FILE *out)
{
    const char *kind = region->kind == PHYS_RAM ? "ram" : "rom";
    fprintf(out, "    %016" PRIx64 "-%016" PRIx64, region->base, region->base + region->size - 1);
    if (region->direct)
        fprintf(out, " (prio 1, %s): %s.%s\n", kind, device_at(bus, region->base), kind);
    else
        fprintf(out, " (prio 0, %s): pc.%s\n", kind, kind);
}

void show_memory_map(struct phys_map *phys, struct bus *bus, FILE *out)
{
    const struct phys_region *region;
    fprintf(out, "address-space: memory\n"
                 "  0000000000000000-ffffffffffffffff (prio 0, i/o): system\n");
    for (unsigned i = 0; (region = phys_region_at(phys, i)); i++)
        show_region(bus, region, out);
    show_space(bus, BUS_MMIO, out);
    fprintf(out, "\naddress-space: I/O\n"
                 "  0000000000000000-000000000000ffff (prio 0, i/o): io\n");
    show_space(bus, BUS_PORT, out);
}
