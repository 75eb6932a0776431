#include "devices/irq/ioapic.h"

#include "devices/irq/lapic.h"
#include "probe.h"

#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u
#define LEVEL 0x8000u

static struct bus *bus;
static struct clock *clock;
static struct apic_bus *apic_bus;
static struct lapic *lapic;
static struct ioapic *ioapic;
static struct probe intr, nmi;

static int take_extint(void *opaque)
{
    (void)opaque;
    return 0x77;
}

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    apic_bus = apic_bus_create();
    intr = nmi = (struct probe){0};
    lapic = lapic_create(&(struct lapic_config){
        .bootstrap = true,
        .physical_bits = 40,
        .bus = bus,
        .clock = clock,
        .apic_bus = apic_bus,
        .intr = probe_line(&intr),
        .nmi = probe_line(&nmi),
        .extint = take_extint,
    });
    ioapic = ioapic_create(&(struct ioapic_config){.id = 1, .apic_bus = apic_bus});
    map(bus, BUS_MMIO, LAPIC_BASE, LAPIC_SIZE, &lapic_ops, lapic);
    map(bus, BUS_MMIO, IOAPIC_BASE, IOAPIC_SIZE, &ioapic_ops, ioapic);
    write32(bus, LAPIC_BASE + 0xf0, 0x1ff);
}

static void teardown(void)
{
    ioapic_destroy(ioapic);
    lapic_destroy(lapic);
    apic_bus_destroy(apic_bus);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(ioapic, .init = setup, .fini = teardown);

static void set(uint8_t reg, uint32_t value)
{
    write32(bus, IOAPIC_BASE, reg);
    write32(bus, IOAPIC_BASE + 0x10, value);
}

static uint32_t get(uint8_t reg)
{
    write32(bus, IOAPIC_BASE, reg);
    return read32(bus, IOAPIC_BASE + 0x10);
}

static void route(unsigned input, uint32_t low, uint8_t destination)
{
    set((uint8_t)(0x11 + 2 * input), (uint32_t)destination << 24);
    set((uint8_t)(0x10 + 2 * input), low);
}

static uint32_t entry(unsigned input)
{
    return get((uint8_t)(0x10 + 2 * input));
}

static int acknowledge(void)
{
    return lapic_intc_ops.acknowledge(lapic);
}

static void eoi(void)
{
    write32(bus, LAPIC_BASE + 0xb0, 0);
}

static void pulse(unsigned input)
{
    ioapic_set_irq(ioapic, input, true);
    ioapic_set_irq(ioapic, input, false);
}

Test(ioapic, registers)
{
    cr_expect_eq(get(0), 1u << 24);
    cr_expect_eq(get(1), 0x170020);
    cr_expect_eq(get(2), 1u << 24);
    set(0, 0xff000000);
    cr_expect_eq(get(0), 0xf000000);
    for (unsigned i = 0; i < IOAPIC_INPUTS; i++)
        cr_expect_eq(entry(i), MASKED);
    route(3, UINT32_MAX, 0xff);
    cr_expect_eq(entry(3), 0x1afff);
    cr_expect_eq(get(0x11 + 6), 0xff000000);
    cr_expect_eq(get(0x40), 0, "beyond the last entry");
    set(0xff, 0x1234);
}

Test(ioapic, edges)
{
    route(4, 0x34, 0);
    pulse(4);
    cr_expect_eq(acknowledge(), 0x34);
    ioapic_set_irq(ioapic, 4, true);
    cr_expect(read32(bus, LAPIC_BASE + 0x210) & 1u << 0x14, "pending while in service");
    eoi();
    cr_expect_eq(acknowledge(), 0x34);
    eoi();
    ioapic_set_irq(ioapic, 4, true);
    cr_expect(!intr.level, "no new edge");
}

Test(ioapic, masked_edges_are_lost)
{
    route(4, MASKED | 0x34, 0);
    ioapic_set_irq(ioapic, 4, true);
    route(4, 0x34, 0);
    cr_expect(!intr.level);
}

Test(ioapic, levels_wait_for_the_eoi)
{
    route(9, LEVEL | 0x49, 0);
    ioapic_set_irq(ioapic, 9, true);
    cr_expect_eq(entry(9), REMOTE_IRR | LEVEL | 0x49);
    cr_expect_eq(acknowledge(), 0x49);
    ioapic_set_irq(ioapic, 9, false);
    ioapic_set_irq(ioapic, 9, true);
    cr_expect_eq(read32(bus, LAPIC_BASE + 0x220), 0, "not sent twice");
    eoi();
    cr_expect_eq(acknowledge(), 0x49, "still asserted");
    ioapic_set_irq(ioapic, 9, false);
    eoi();
    cr_expect_eq(entry(9), LEVEL | 0x49);
    cr_expect(!intr.level);
}

Test(ioapic, masked_levels_come_when_unmasked)
{
    route(10, MASKED | LEVEL | 0x4a, 0);
    ioapic_set_irq(ioapic, 10, true);
    cr_expect(!intr.level);
    route(10, LEVEL | 0x4a, 0);
    cr_expect(intr.level);
}

Test(ioapic, eoi_register)
{
    write32(bus, LAPIC_BASE + 0xf0, 0x11ff); /* no broadcasts */
    route(9, LEVEL | 0x49, 0);
    ioapic_set_irq(ioapic, 9, true);
    acknowledge();
    ioapic_set_irq(ioapic, 9, false);
    eoi();
    cr_expect_eq(entry(9), REMOTE_IRR | LEVEL | 0x49);
    write32(bus, IOAPIC_BASE + 0x40, 0x48);
    cr_expect_eq(entry(9), REMOTE_IRR | LEVEL | 0x49);
    write32(bus, IOAPIC_BASE + 0x40, 0x49);
    cr_expect_eq(entry(9), LEVEL | 0x49);
}

Test(ioapic, edge_mode_clears_remote_irr)
{
    route(9, LEVEL | 0x49, 0);
    ioapic_set_irq(ioapic, 9, true);
    ioapic_set_irq(ioapic, 9, false);
    route(9, MASKED | 0x49, 0);
    route(9, MASKED | LEVEL | 0x49, 0);
    cr_expect_eq(entry(9), MASKED | LEVEL | 0x49);
}

Test(ioapic, shared_vector)
{
    route(9, LEVEL | 0x49, 0);
    route(10, LEVEL | 0x49, 0);
    ioapic_set_irq(ioapic, 9, true);
    ioapic_set_irq(ioapic, 10, true);
    cr_expect_eq(acknowledge(), 0x49);
    ioapic_set_irq(ioapic, 9, false);
    eoi();
    cr_expect_eq(acknowledge(), 0x49);
    ioapic_set_irq(ioapic, 10, false);
    eoi();
    cr_expect(!intr.level);
}

Test(ioapic, destinations_and_modes)
{
    route(5, 0x35, 7); /* nobody */
    pulse(5);
    cr_expect(!intr.level);
    route(5, 0x35, 0xff); /* everybody */
    pulse(5);
    cr_expect_eq(acknowledge(), 0x35);
    eoi();
    write32(bus, LAPIC_BASE + 0xd0, 1u << 24);
    route(5, 0x936, 3); /* logical, lowest priority */
    pulse(5);
    cr_expect_eq(acknowledge(), 0x36);
    eoi();
    route(5, LEVEL | 0x400, 0); /* NMIs are edges, whatever bit 15 says */
    ioapic_set_irq(ioapic, 5, true);
    cr_expect_eq(nmi.rises, 1);
    ioapic_set_irq(ioapic, 5, false);
    route(5, 0x700, 0);
    pulse(5);
    cr_expect_eq(acknowledge(), 0x77);
    cr_expect(!intr.level);
}

/* A level that nobody takes is not remembered as sent. */
Test(ioapic, level_without_taker)
{
    write32(bus, LAPIC_BASE + 0xf0, 0xff);
    route(9, LEVEL | 0x49, 0);
    ioapic_set_irq(ioapic, 9, true);
    cr_expect_eq(entry(9), LEVEL | 0x49);
    write32(bus, LAPIC_BASE + 0xf0, 0x1ff);
    route(9, LEVEL | 0x49, 0);
    cr_expect_eq(acknowledge(), 0x49);
}
