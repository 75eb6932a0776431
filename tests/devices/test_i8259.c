#include "devices/irq/i8259.h"

#include "probe.h"

static struct bus *bus;
static struct i8259 *pics;
static struct probe intr;

static void init_chip(uint16_t port, uint8_t base, uint8_t cascade, uint8_t icw4)
{
    out8(bus, port, 0x11);
    out8(bus, port + 1, base);
    out8(bus, port + 1, cascade);
    out8(bus, port + 1, icw4);
    out8(bus, port + 1, 0);
}

static void setup(void)
{
    bus = bus_create();
    intr = (struct probe){0};
    pics = i8259_create(&(struct i8259_config){.intr = probe_line(&intr)});
    map(bus, BUS_PORT, I8259_FIRST_PORT, 2, &i8259_first_ops, pics);
    map(bus, BUS_PORT, I8259_SECOND_PORT, 2, &i8259_second_ops, pics);
    map(bus, BUS_PORT, I8259_ELCR_PORT, 2, &i8259_elcr_ops, pics);
    init_chip(0x20, 0x30, 4, 1);
    init_chip(0xa0, 0x38, 2, 1);
}

static void teardown(void)
{
    i8259_destroy(pics);
    bus_destroy(bus);
}

TestSuite(i8259, .init = setup, .fini = teardown);

static void pulse(unsigned irq)
{
    i8259_set_irq(pics, irq, true);
    i8259_set_irq(pics, irq, false);
}

static uint8_t read_irr(uint16_t port)
{
    out8(bus, port, 0x0a);
    return in8(bus, port);
}

static uint8_t read_isr(uint16_t port)
{
    out8(bus, port, 0x0b);
    return in8(bus, port);
}

Test(i8259, edge_is_latched_and_acknowledged)
{
    cr_expect(!intr.level);
    pulse(4);
    cr_expect(intr.level);
    cr_expect_eq(read_irr(0x20), 0x10);
    cr_expect_eq(i8259_acknowledge(pics), 0x34);
    cr_expect(!intr.level);
    cr_expect_eq(read_irr(0x20), 0);
    cr_expect_eq(read_isr(0x20), 0x10);
    out8(bus, 0x20, 0x20);
    cr_expect_eq(read_isr(0x20), 0);
}

Test(i8259, edge_does_not_repeat_while_high)
{
    i8259_set_irq(pics, 3, true);
    cr_expect_eq(i8259_acknowledge(pics), 0x33);
    out8(bus, 0x20, 0x20);
    i8259_set_irq(pics, 3, true);
    cr_expect(!intr.level);
}

Test(i8259, level_repeats_until_it_falls)
{
    out8(bus, 0x4d1, 0x08); /* IRQ 11 */
    i8259_set_irq(pics, 11, true);
    cr_expect_eq(i8259_acknowledge(pics), 0x3b);
    cr_expect(!intr.level, "in service");
    out8(bus, 0xa0, 0x20);
    out8(bus, 0x20, 0x20);
    cr_expect(intr.level, "still asserted");
    i8259_set_irq(pics, 11, false);
    cr_expect(!intr.level);
}

Test(i8259, elcr_protects_isa_edges)
{
    out8(bus, 0x4d0, 0xff);
    out8(bus, 0x4d1, 0xff);
    cr_expect_eq(in8(bus, 0x4d0), 0xf8);
    cr_expect_eq(in8(bus, 0x4d1), 0xde);
}

Test(i8259, priorities_nest)
{
    pulse(5);
    cr_expect_eq(i8259_acknowledge(pics), 0x35);
    pulse(7);
    cr_expect(!intr.level, "lower waits");
    pulse(1);
    cr_expect(intr.level, "higher interrupts");
    cr_expect_eq(i8259_acknowledge(pics), 0x31);
    out8(bus, 0x20, 0x20);
    cr_expect_eq(read_isr(0x20), 0x20, "a non-specific EOI ends the highest");
    out8(bus, 0x20, 0x65); /* specific, 5 */
    cr_expect(intr.level);
    cr_expect_eq(i8259_acknowledge(pics), 0x37);
}

Test(i8259, mask_holds_back)
{
    out8(bus, 0x21, 0x10);
    pulse(4);
    cr_expect(!intr.level);
    cr_expect_eq(in8(bus, 0x21), 0x10);
    out8(bus, 0x21, 0);
    cr_expect(intr.level);
}

Test(i8259, spurious_irq7_leaves_no_trace)
{
    pulse(4);
    out8(bus, 0x21, 0x10);
    cr_expect_eq(i8259_acknowledge(pics), 0x37);
    cr_expect_eq(read_isr(0x20), 0);
}

Test(i8259, spurious_irq15_needs_an_eoi_of_the_first)
{
    out8(bus, 0x4d1, 0x04); /* IRQ 10 */
    i8259_set_irq(pics, 10, true);
    cr_expect(intr.level);
    i8259_set_irq(pics, 10, false);
    cr_expect(!intr.level, "taken back");
    cr_expect_eq(i8259_acknowledge(pics), 0x37);
    i8259_set_irq(pics, 10, true);
    out8(bus, 0xa0, 0x0c); /* poll takes it, but the first chip's is not asked */
    cr_expect_eq(in8(bus, 0xa0), 0x82);
    cr_expect(!intr.level);
}

Test(i8259, cascade_gives_a_new_edge_after_each_eoi)
{
    pulse(8);
    pulse(9);
    cr_expect_eq(i8259_acknowledge(pics), 0x38);
    cr_expect_eq(read_isr(0x20), 4);
    cr_expect(!intr.level);
    out8(bus, 0xa0, 0x20);
    cr_expect(!intr.level, "the first chip's input 2 is in service");
    out8(bus, 0x20, 0x20);
    cr_expect(intr.level);
    cr_expect_eq(i8259_acknowledge(pics), 0x39);
}

Test(i8259, special_fully_nested_mode_admits_the_second_chip)
{
    init_chip(0x20, 0x30, 4, 0x11);
    pulse(12);
    cr_expect_eq(i8259_acknowledge(pics), 0x3c);
    pulse(8);
    cr_expect(intr.level);
    cr_expect_eq(i8259_acknowledge(pics), 0x38);
}

Test(i8259, auto_eoi)
{
    init_chip(0x20, 0x30, 4, 3);
    pulse(0);
    pulse(1);
    cr_expect_eq(i8259_acknowledge(pics), 0x30);
    cr_expect_eq(read_isr(0x20), 0);
    cr_expect(intr.level);
    cr_expect_eq(intr.rises, 2, "a new edge");
    cr_expect_eq(i8259_acknowledge(pics), 0x31);
}

Test(i8259, rotation)
{
    out8(bus, 0x20, 0xc3); /* 3 becomes the lowest */
    pulse(3);
    pulse(4);
    pulse(0);
    cr_expect_eq(i8259_acknowledge(pics), 0x34);
    out8(bus, 0x20, 0xa0); /* rotate on non-specific EOI: 4 the lowest */
    cr_expect_eq(i8259_acknowledge(pics), 0x30);
    out8(bus, 0x20, 0xe0); /* rotate on specific EOI */
    cr_expect_eq(i8259_acknowledge(pics), 0x33);
}

Test(i8259, rotation_with_auto_eoi)
{
    init_chip(0x20, 0x30, 4, 3);
    out8(bus, 0x20, 0x80);
    pulse(0);
    cr_expect_eq(i8259_acknowledge(pics), 0x30);
    pulse(0);
    pulse(6);
    cr_expect_eq(i8259_acknowledge(pics), 0x36);
    out8(bus, 0x20, 0x00);
    pulse(6);
    cr_expect_eq(i8259_acknowledge(pics), 0x30);
}

Test(i8259, special_mask_mode_lets_lower_ones_through)
{
    pulse(1);
    cr_expect_eq(i8259_acknowledge(pics), 0x31);
    pulse(6);
    cr_expect(!intr.level);
    out8(bus, 0x20, 0x68);
    out8(bus, 0x21, 0x02);
    cr_expect(intr.level);
    cr_expect_eq(i8259_acknowledge(pics), 0x36);
    out8(bus, 0x20, 0x20);
    cr_expect_eq(read_isr(0x20), 2, "the masked one is not what is ended");
    out8(bus, 0x20, 0x48);
    pulse(6);
    cr_expect(!intr.level);
}

Test(i8259, poll)
{
    out8(bus, 0x20, 0x0c);
    cr_expect_eq(in8(bus, 0x20), 0);
    pulse(6);
    out8(bus, 0x20, 0x0c);
    cr_expect_eq(in8(bus, 0x20), 0x86);
    cr_expect(!intr.level);
    cr_expect_eq(read_isr(0x20), 0x40);
}

Test(i8259, initialisation_forgets_requests_and_masks)
{
    pulse(4);
    out8(bus, 0x21, 0xff);
    out8(bus, 0x20, 0x11);
    cr_expect_eq(in8(bus, 0x21), 0);
    cr_expect(!intr.level);
    out8(bus, 0x21, 0x50);
    out8(bus, 0x21, 4);
    out8(bus, 0x21, 1);
    pulse(4);
    cr_expect_eq(i8259_acknowledge(pics), 0x54);
}

Test(i8259, single_mode_without_icw4)
{
    out8(bus, 0x20, 0x12);
    out8(bus, 0x21, 0x60);
    out8(bus, 0x21, 0xfe); /* is OCW1 already */
    cr_expect_eq(in8(bus, 0x21), 0xfe);
}

Test(i8259, sixteen_bit_writes_reach_both_ports)
{
    bus_write(bus, BUS_PORT, 0x20, 0xab20, 2);
    cr_expect_eq(in8(bus, 0x21), 0xab);
}
