/* PCI's core: configuration space, base addresses, interrupt pins and messages, bus mastering. */
#include "devices/irq/lapic.h"
#include "devices/pci/pci_bus.h"

#include "probe.h"

#include <string.h>

#define BAR(n) (PCI_BASE_ADDRESS + 4 * (n))

/* A function with everything, in slot 3; and one with a memory BAR, in slot 4. */
struct card {
    struct pci_function pci;
    unsigned writes, resets;
    uint64_t last_offset;
};

static struct bus *bus;
static struct clock *clock;
static struct apic_bus *apic_bus;
static struct lapic *lapic;
static struct pci_bus *pci;
static struct probe line[PCI_LINES];
static struct card card, other;
static uint8_t memory[64];

static uint64_t card_read(void *device, uint64_t offset, unsigned size)
{
    (void)size;
    return device == &card ? 0xc0 + offset : 0x0e;
}

static void card_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    (void)value;
    (void)size;
    ((struct card *)device)->last_offset = offset;
}

static const struct bus_ops card_registers = {"card", card_read, card_write, 1, 4};

static void note_write(struct pci_function *function, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    ((struct card *)function)->writes++;
}

static void note_reset(struct pci_function *function)
{
    ((struct card *)function)->resets++;
}

static const struct pci_ops card_ops = {
    .name = "card", .config_written = note_write, .reset = note_reset};

static bool memory_read(void *opaque, uint64_t address, void *data, uint64_t size)
{
    (void)opaque;
    memcpy(data, memory + address, size);
    return true;
}

static bool memory_write(void *opaque, uint64_t address, const void *data, uint64_t size)
{
    (void)opaque;
    memcpy(memory + address, data, size);
    return true;
}

static void *memory_map(void *opaque, uint64_t address, uint64_t *size)
{
    (void)opaque;
    (void)size;
    return memory + address;
}

static void memory_written(void *opaque, uint64_t address, uint64_t size)
{
    (void)opaque;
    (void)address;
    (void)size;
}

static const struct dma_ops memory_ops = {memory_read, memory_write, memory_map, memory_written};

static uint64_t tsc(void *opaque)
{
    (void)opaque;
    return 0;
}

static void create_cards(void)
{
    const struct pci_identity identity = {
        .vendor = 0x1234,
        .device = 0x5678,
        .revision = 9,
        .class_code = 0x020304,
        .interrupt_pin = 1,
        .subsystem_vendor = 0xaaaa,
        .subsystem = 0xbbbb,
    };
    card = other = (struct card){0};
    pci_init(&card.pci, &card_ops, &identity);
    pci_add_bar(&card.pci, 0, PCI_BAR_IO, 0x20, &card_registers, &card);
    pci_add_bar(&card.pci, 1, PCI_BAR_MEMORY, 0x1000, &card_registers, &card);
    pci_add_bar(&card.pci, 2, PCI_BAR_MEMORY_64, 0x10000, &card_registers, &card);
    pci_add_bar(&card.pci, PCI_BAR_ROM, PCI_BAR_MEMORY, 0x10000, &card_registers, &card);
    pci_add_msi(&card.pci, 4);
    cr_assert(pci_add_msix(&card.pci, 4, 3));
    pci_init(&other.pci, &card_ops, &(struct pci_identity){.vendor = 1, .interrupt_pin = 4});
    pci_add_bar(&other.pci, 0, PCI_BAR_MEMORY, 0x1000, &card_registers, &other);
    cr_assert(pci_bus_attach(pci, &card.pci, 3, 0));
    cr_assert(pci_bus_attach(pci, &other.pci, 4, 0));
}

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    apic_bus = apic_bus_create();
    lapic = lapic_create(&(struct lapic_config){
        .bus = bus, .clock = clock, .apic_bus = apic_bus, .physical_bits = 40, .tsc = tsc});
    lapic_reset(lapic);
    lapic_enter_virtual_wire(lapic);
    struct pci_bus_config config = {.bus = bus, .apic_bus = apic_bus, .dma = {&memory_ops, NULL}};
    for (unsigned i = 0; i < PCI_LINES; i++) {
        line[i] = (struct probe){0};
        config.line[i] = probe_line(&line[i]);
    }
    pci = pci_bus_create(&config);
    create_cards();
}

static void teardown(void)
{
    pci_bus_destroy(pci);
    pci_free(&card.pci);
    pci_free(&other.pci);
    lapic_destroy(lapic);
    apic_bus_destroy(apic_bus);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(pci, .init = setup, .fini = teardown);

static uint32_t get(unsigned offset, unsigned size)
{
    return pci_bus_read(pci, pci_devfn(3, 0), offset, size);
}

static void set(unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_write(pci, pci_devfn(3, 0), offset, value, size);
}

/* The vector that the local APIC has for the CPU, or -1. */
static int vector(void)
{
    int taken = lapic_intc_ops.acknowledge(lapic);
    lapic_ops.write(lapic, 0xb0, 0, 4); /* EOI */
    return taken;
}

Test(pci, identity)
{
    cr_expect_eq(get(PCI_VENDOR_ID, 4), 0x56781234);
    cr_expect_eq(get(PCI_REVISION_ID, 4), 0x02030409);
    cr_expect_eq(get(PCI_SUBSYSTEM_VENDOR_ID, 4), 0xbbbbaaaa);
    cr_expect_eq(get(PCI_INTERRUPT_PIN, 1), 1);
    cr_expect_eq(pci_bus_read(pci, pci_devfn(4, 0), PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    set(PCI_VENDOR_ID, 0, 4);
    cr_expect_eq(get(PCI_VENDOR_ID, 4), 0x56781234, "read-only");
    set(PCI_INTERRUPT_LINE, 0x0b, 1);
    cr_expect_eq(get(PCI_INTERRUPT_LINE, 2), 0x010b);
    cr_expect_eq(card.writes, 2);
    cr_expect_eq(pci_bus_read(pci, pci_devfn(5, 0), 0, 4), UINT32_MAX, "nobody is there");
    pci_bus_write(pci, pci_devfn(5, 0), 0, 0, 4);
}

Test(pci, status_is_cleared_by_ones)
{
    pci_set(&card.pci, PCI_STATUS, 0xf010, 2);
    set(PCI_STATUS, 0x9000, 2);
    cr_expect_eq(get(PCI_STATUS, 2), 0x6010);
}

Test(pci, slots)
{
    struct card third = {0};
    pci_init(&third.pci, &card_ops, &(struct pci_identity){.vendor = 2});
    cr_expect_not(pci_bus_attach(pci, &third.pci, 3, 0), "taken");
    cr_expect_not(pci_bus_attach(pci, &third.pci, 32, 0));
    cr_assert(pci_bus_attach(pci, &third.pci, PCI_ANY_SLOT, 0));
    cr_expect_eq(third.pci.devfn, 0);
    struct card fourth = {0};
    pci_init(&fourth.pci, &card_ops, &(struct pci_identity){.vendor = 2});
    cr_expect_eq(get(PCI_HEADER_TYPE, 1), 0);
    cr_assert(pci_bus_attach(pci, &fourth.pci, 3, 5));
    cr_expect_eq(get(PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNCTION);
    pci_bus_reset(pci);
    cr_expect_eq(get(PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNCTION);
}

Test(pci, bars_tell_their_size)
{
    const struct {
        unsigned offset;
        uint32_t value;
    } bars[] = {{BAR(0), 0xffffffe1},         {BAR(1), 0xfffff000}, {BAR(2), 0xffff000c},
                {BAR(3), 0xffffffff},         {BAR(4), 0xfffff000}, {BAR(5), 0},
                {PCI_ROM_ADDRESS, 0xffff0001}};
    set(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    for (size_t i = 0; i < ARRAY_SIZE(bars); i++) {
        set(bars[i].offset, UINT32_MAX, 4);
        cr_expect_eq(get(bars[i].offset, 4), bars[i].value, "%#x: %#x", bars[i].offset,
                     get(bars[i].offset, 4));
        set(bars[i].offset, 0, 4);
    }
    struct bus_range range;
    cr_expect_not(bus_range_at(bus, BUS_PORT, 0, &range), "nothing is mapped meanwhile");
    cr_expect_not(bus_range_at(bus, BUS_MMIO, 0, &range));
}

Test(pci, bars_move)
{
    set(BAR(0), 0xc000, 4);
    set(BAR(1), 0xfebf0000, 4);
    cr_expect_eq(in8(bus, 0xc001), 0xff, "I/O is not enabled");
    set(PCI_COMMAND, PCI_COMMAND_IO, 2);
    cr_expect_eq(in8(bus, 0xc001), 0xc1);
    cr_expect_eq(read32(bus, 0xfebf0004), UINT32_MAX, "nor memory");
    set(PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
    cr_expect_eq(read32(bus, 0xfebf0004), 0xc4);
    write32(bus, 0xfebf0ffc, 0);
    cr_expect_eq(card.last_offset, 0xffc);
    set(BAR(1) + 2, 0xfeb0, 2);
    cr_expect_eq(read32(bus, 0xfebf0004), UINT32_MAX);
    cr_expect_eq(read32(bus, 0xfeb00004), 0xc4);
    set(BAR(2), 0x00010000, 4);
    set(BAR(3), 0x12, 4);
    cr_expect_eq(read32(bus, 0x1200010008), 0xc8, "above 4 GiB");
    set(PCI_COMMAND, 0, 2);
    cr_expect_eq(in8(bus, 0xc001), 0xff);
    cr_expect_eq(read32(bus, 0x1200010008), UINT32_MAX);
}

Test(pci, rom_has_an_enable_of_its_own)
{
    set(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set(PCI_ROM_ADDRESS, 0xfe000000, 4);
    cr_expect_eq(read32(bus, 0xfe000000), UINT32_MAX);
    set(PCI_ROM_ADDRESS, 0xfe000001, 4);
    cr_expect_eq(read32(bus, 0xfe000000), 0xc0);
}

Test(pci, who_comes_second_waits_for_the_place)
{
    uint8_t devfn = pci_devfn(4, 0);
    set(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set(BAR(1), 0xfe000000, 4);
    pci_bus_write(pci, devfn, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_bus_write(pci, devfn, BAR(0), 0xfe000000, 4);
    cr_expect_eq(read32(bus, 0xfe000000), 0xc0);
    set(BAR(1), 0xfe100000, 4);
    cr_expect_eq(read32(bus, 0xfe000000), 0x0e);
    cr_expect_eq(read32(bus, 0xfe100000), 0xc0);
}

static struct {
    const struct direct_ram *ram;
    uint64_t base;
    unsigned changes;
} shown;

static bool show(void *opaque, const struct direct_ram *ram, uint64_t base)
{
    (void)opaque;
    shown.ram = ram;
    shown.base = base;
    return true;
}

static void hide(void *opaque, const struct direct_ram *ram)
{
    (void)opaque;
    cr_expect_eq(shown.ram, ram);
    shown.ram = NULL;
}

static void note_change(void *opaque)
{
    (void)opaque;
    shown.changes++;
}

Test(pci, bars_of_ram_are_shown_where_they_are)
{
    static const struct direct_memory_ops direct = {show, hide, NULL};
    static const struct pci_ops ops = {.name = "frame buffer"};
    static uint8_t bytes[0x2000], written[2];
    static const struct direct_ram ram = {bytes, sizeof(bytes), written, note_change, NULL};
    struct pci_function function;
    struct pci_bus *own =
        pci_bus_create(&(struct pci_bus_config){.bus = bus, .direct = {&direct, NULL}});
    pci_init(&function, &ops, &(struct pci_identity){.vendor = 0x1234});
    pci_add_ram_bar(&function, 0, &ram);
    cr_assert(pci_bus_attach(own, &function, 2, 0));
    pci_bus_write(own, pci_devfn(2, 0), BAR(0), UINT32_MAX, 4);
    cr_expect_eq(pci_bus_read(own, pci_devfn(2, 0), BAR(0), 4), 0xffffe008);
    pci_bus_write(own, pci_devfn(2, 0), BAR(0), 0xfd000000, 4);
    cr_expect_null(shown.ram);
    pci_bus_write(own, pci_devfn(2, 0), PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    cr_expect(shown.ram == &ram && shown.base == 0xfd000000);
    bus_write(bus, BUS_MMIO, 0xfd001008, 0x1122334455667788, 8); /* on the bus as well */
    cr_expect_eq(bus_read(bus, BUS_MMIO, 0xfd00100a, 2), 0x5566);
    cr_expect(!written[0] && written[1] && shown.changes == 1);
    pci_bus_write(own, pci_devfn(2, 0), BAR(0), 0xfe000000, 4);
    cr_expect(shown.ram == &ram && shown.base == 0xfe000000);
    pci_bus_write(own, pci_devfn(2, 0), PCI_COMMAND, 0, 2);
    cr_expect_null(shown.ram);
    cr_expect_not(bus_is_mapped(bus, BUS_MMIO, 0xfe000000));
    pci_bus_destroy(own);
}

Test(pci, pins_share_lines)
{
    /* Slot 3's INTA# and slot 4's INTD# are lines 2 and (3 + 3) mod 4. */
    pci_set_intx(&card.pci, true);
    cr_expect(line[2].level);
    cr_expect(get(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    pci_set_intx(&other.pci, true);
    pci_set_intx(&card.pci, false);
    cr_expect(line[2].level, "the other one still asserts it");
    pci_set_intx(&other.pci, false);
    cr_expect(!line[2].level);

    pci_set_intx(&card.pci, true);
    set(PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    cr_expect(!line[2].level);
    cr_expect(get(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    set(PCI_COMMAND, 0, 2);
    cr_expect(line[2].level);
    pci_bus_reset(pci);
    cr_expect(!line[2].level);
}

Test(pci, capability_list)
{
    unsigned first = get(PCI_CAPABILITIES, 1);
    unsigned second = get(first + 1, 1);
    cr_expect(get(PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES);
    cr_expect_eq(get(first, 1), PCI_CAP_MSIX);
    cr_expect_eq(get(second, 1), PCI_CAP_MSI);
    cr_expect_eq(get(second + 1, 1), 0);
    cr_expect_eq(get(second + PCI_MSI_CONTROL, 2), 0x0184);
    cr_expect_eq(get(first + PCI_MSIX_CONTROL, 2), 2);
    cr_expect_eq(get(first + PCI_MSIX_TABLE, 4), 4);
    cr_expect_eq(get(first + PCI_MSIX_PENDING, 4), 0x804);
}

Test(pci, msi)
{
    unsigned at = card.pci.msi;
    set(at + PCI_MSI_ADDRESS, 0xfee00000, 4);
    set(at + PCI_MSI_DATA, 0x51, 2);
    pci_msi_notify(&card.pci, 0);
    cr_expect_eq(vector(), -1, "not enabled");
    set(at + PCI_MSI_CONTROL, PCI_MSI_ENABLE | 1 << PCI_MSI_ENABLED_SHIFT, 2);
    pci_msi_notify(&card.pci, 0);
    cr_expect_eq(vector(), 0x50, "the low bit tells the two vectors apart");
    pci_msi_notify(&card.pci, 1);
    cr_expect_eq(vector(), 0x51);
    set(at + PCI_MSI_MASK, 2, 4);
    pci_msi_notify(&card.pci, 1);
    cr_expect_eq(vector(), -1);
    cr_expect_eq(get(at + PCI_MSI_PENDING, 4), 2);
    set(at + PCI_MSI_MASK, 0, 4);
    cr_expect_eq(vector(), 0x51);
    cr_expect_eq(get(at + PCI_MSI_PENDING, 4), 0);
    set(at + PCI_MSI_ADDRESS, 0xfed00000, 4);
    pci_msi_notify(&card.pci, 0);
    cr_expect_eq(vector(), -1, "not an interrupt's address");
}

Test(pci, msix)
{
    const uint64_t table = 0xfe200000, pending = table + 0x800;
    set(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set(BAR(4), (uint32_t)table, 4);
    cr_expect_eq(read32(bus, table + 12), 1, "masked after reset");
    write32(bus, table + 16, 0xfee00000);
    write32(bus, table + 16 + 8, 0x62);
    set(card.pci.msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE, 2);
    pci_msix_notify(&card.pci, 1);
    cr_expect_eq(vector(), -1);
    cr_expect_eq(read32(bus, pending), 2);
    write32(bus, table + 16 + 12, 0);
    cr_expect_eq(vector(), 0x62);
    cr_expect_eq(read32(bus, pending), 0);
    set(card.pci.msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE | PCI_MSIX_FUNCTION_MASK, 2);
    pci_msix_notify(&card.pci, 1);
    cr_expect_eq(vector(), -1);
    set(card.pci.msix + PCI_MSIX_CONTROL, PCI_MSIX_ENABLE, 2);
    cr_expect_eq(vector(), 0x62);
    pci_msix_notify(&card.pci, 3);
    pci_msix_notify(&card.pci, 1000);
    cr_expect_eq(vector(), -1, "no such vector");
    cr_expect_eq(bus_read(bus, BUS_MMIO, table + 3 * 16, 8), 0);
    pci_bus_reset(pci);
    cr_expect_not(pci_msix_enabled(&card.pci));
}

Test(pci, dma_needs_bus_mastering)
{
    uint8_t byte = 0;
    uint64_t size = 1;
    memory[5] = 0x42;
    cr_expect_not(pci_dma_read(&card.pci, 5, &byte, 1));
    cr_expect_null(pci_dma_map(&card.pci, 5, &size));
    set(PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    cr_expect(pci_dma_read(&card.pci, 5, &byte, 1));
    cr_expect_eq(byte, 0x42);
    cr_expect(pci_dma_write(&card.pci, 6, &byte, 1));
    cr_expect_eq(memory[6], 0x42);
    cr_expect_eq(pci_dma_map(&card.pci, 5, &size), memory + 5);
    pci_dma_written(&card.pci, 5, 1);
}

Test(pci, reset_brings_back_what_was_described)
{
    set(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    set(BAR(1), 0xfe000000, 4);
    pci_bus_reset(pci);
    cr_expect_eq(card.resets, 1);
    cr_expect_eq(get(PCI_COMMAND, 2), 0);
    cr_expect_eq(get(BAR(1), 4), 0);
    cr_expect_eq(read32(bus, 0xfe000000), UINT32_MAX);
}
