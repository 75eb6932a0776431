#include "devices/timer/i8254.h"

#include "probe.h"

static struct bus *bus;
static struct clock *clock;
static struct i8254 *pit;
static struct probe irq;

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    irq = (struct probe){.clock = clock};
    pit = i8254_create(&(struct i8254_config){.clock = clock, .irq = probe_line(&irq)});
    map(bus, BUS_PORT, I8254_PORT, 4, &i8254_ops, pit);
    map(bus, BUS_PORT, I8254_SPEAKER_PORT, 1, &i8254_speaker_ops, pit);
}

static void teardown(void)
{
    i8254_destroy(pit);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(i8254, .init = setup, .fini = teardown);

/* The guest ns at which tick k begins. */
static uint64_t tick_ns(uint64_t k)
{
    return (k * NS_PER_SECOND + I8254_HZ - 1) / I8254_HZ;
}

static void program(unsigned counter, unsigned mode, uint16_t count)
{
    out8(bus, 0x43, (uint8_t)(counter << 6 | 3 << 4 | mode << 1));
    out8(bus, (uint16_t)(0x40 + counter), (uint8_t)count);
    out8(bus, (uint16_t)(0x40 + counter), (uint8_t)(count >> 8));
}

static uint16_t latch(unsigned counter)
{
    out8(bus, 0x43, (uint8_t)(counter << 6));
    uint8_t low = in8(bus, (uint16_t)(0x40 + counter));
    return (uint16_t)(low | in8(bus, (uint16_t)(0x40 + counter)) << 8);
}

static uint8_t status(unsigned counter)
{
    out8(bus, 0x43, (uint8_t)(0xe0 | 2 << counter));
    return in8(bus, (uint16_t)(0x40 + counter));
}

Test(i8254, mode_0_interrupts_once)
{
    program(0, 0, 1000);
    cr_expect(!irq.level);
    run_until(clock, tick_ns(1001) - 1);
    cr_expect_eq(irq.rises, 0);
    run_until(clock, tick_ns(1001));
    cr_expect(irq.level);
    cr_expect_eq(irq.rose_at, tick_ns(1001), "the count is loaded by tick 1");
    run_until(clock, NS_PER_SECOND);
    cr_expect_eq(irq.rises, 1);
    cr_expect(irq.level, "until a new count");
    program(0, 0, 5);
    cr_expect(!irq.level);
}

Test(i8254, mode_0_counts_on_below_zero)
{
    program(0, 0, 100);
    run_until(clock, tick_ns(1));
    cr_expect_eq(latch(0), 100);
    run_until(clock, tick_ns(51));
    cr_expect_eq(latch(0), 50);
    run_until(clock, tick_ns(101));
    cr_expect_eq(latch(0), 0);
    run_until(clock, tick_ns(102));
    cr_expect_eq(latch(0), 0xffff);
}

Test(i8254, mode_0_first_byte_stops_the_count)
{
    program(0, 0, 1000);
    run_until(clock, tick_ns(500));
    out8(bus, 0x40, 0x10);
    run_until(clock, tick_ns(5000));
    cr_expect_eq(irq.rises, 0);
    out8(bus, 0x40, 0);
    run_until(clock, tick_ns(5000 + 1 + 0x10));
    cr_expect_eq(irq.rises, 1);
    cr_expect_eq(irq.rose_at, tick_ns(5000 + 1 + 0x10));
}

Test(i8254, mode_2_does_not_drift)
{
    program(0, 2, 11932); /* Linux at HZ=100 */
    cr_expect_eq(irq.rises, 1, "the control word sets the output high");
    irq.rises = 0;
    run_until(clock, 100 * NS_PER_SECOND);
    cr_expect_eq(irq.rises, (100 * (uint64_t)I8254_HZ - 1) / 11932);
    cr_expect_eq(irq.rose_at, tick_ns(1 + 11932 * (uint64_t)irq.rises));
}

Test(i8254, mode_2_reads)
{
    program(0, 2, 1000);
    run_until(clock, tick_ns(1));
    cr_expect_eq(latch(0), 1000);
    run_until(clock, tick_ns(1 + 999));
    cr_expect_eq(latch(0), 1);
    cr_expect_eq(status(0) & 0x80, 0, "low for one tick");
    run_until(clock, tick_ns(1 + 1000));
    cr_expect_eq(latch(0), 1000);
    cr_expect_eq(status(0), 0x80 | 3 << 4 | 2 << 1);
}

Test(i8254, mode_2_new_count_waits_for_the_period)
{
    program(0, 2, 1000);
    irq.rises = 0;
    run_until(clock, tick_ns(100));
    out8(bus, 0x40, 2000 & 0xff);
    out8(bus, 0x40, 2000 >> 8);
    cr_expect_eq(status(0) & 0x40, 0x40, "null count");
    run_until(clock, tick_ns(1001));
    cr_expect_eq(irq.rose_at, tick_ns(1001));
    cr_expect_eq(status(0) & 0x40, 0);
    run_until(clock, tick_ns(3001) - 1);
    cr_expect_eq(irq.rises, 1);
    run_until(clock, tick_ns(3001));
    cr_expect_eq(irq.rises, 2);
}

Test(i8254, mode_3_square_wave)
{
    program(2, 3, 10);
    out8(bus, 0x61, 1);
    /* The gate's rise loads the count anew: at tick 1. */
    static const uint8_t even[] = {10, 8, 6, 4, 2, 10, 8, 6, 4, 2, 10};
    for (unsigned i = 0; i < ARRAY_SIZE(even); i++) {
        run_until(clock, tick_ns(1 + i));
        cr_expect_eq(latch(2), even[i], "tick %u", i);
        cr_expect_eq(in8(bus, 0x61) >> 5 & 1, i % 10 < 5);
    }
    out8(bus, 0x61, 0);
    program(2, 3, 5);
    uint64_t start = 1000;
    run_until(clock, tick_ns(start));
    out8(bus, 0x61, 1);
    static const uint8_t odd[] = {5, 4, 2, 5, 2, 5, 4, 2, 5, 2};
    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        run_until(clock, tick_ns(start + 1 + i));
        cr_expect_eq(latch(2), odd[i], "tick %u", i);
        cr_expect_eq(in8(bus, 0x61) >> 5 & 1, i % 5 < 3);
    }
}

Test(i8254, mode_3_interrupts_each_period)
{
    program(0, 3, 0); /* 65536: the BIOS's 18.2 Hz */
    run_until(clock, tick_ns(1 + 65536) - 1);
    cr_expect_eq(irq.rises, 1, "the control word set the output high");
    run_until(clock, tick_ns(1 + 65536));
    cr_expect_eq(irq.rises, 2);
    run_until(clock, 10 * NS_PER_SECOND);
    cr_expect_eq(irq.rises, 1 + 10 * (uint64_t)I8254_HZ / 65536);
}

Test(i8254, mode_3_new_count_waits_for_half_the_period)
{
    program(0, 3, 1000);
    run_until(clock, tick_ns(100));
    out8(bus, 0x40, 100);
    out8(bus, 0x40, 0);
    /* The first half ends at 501; then comes the new count's low half of 50. */
    unsigned before = irq.rises;
    run_until(clock, tick_ns(551) - 1);
    cr_expect_eq(irq.rises, before);
    run_until(clock, tick_ns(551));
    cr_expect_eq(irq.rises, before + 1);
    run_until(clock, tick_ns(651));
    cr_expect_eq(irq.rises, before + 2);
}

Test(i8254, mode_1_and_5_wait_for_the_gate)
{
    program(2, 1, 100);
    run_until(clock, tick_ns(50));
    cr_expect(in8(bus, 0x61) & 0x20);
    out8(bus, 0x61, 1);
    run_until(clock, tick_ns(51));
    cr_expect(!(in8(bus, 0x61) & 0x20));
    out8(bus, 0x61, 0); /* the gate's level means nothing */
    run_until(clock, tick_ns(150));
    cr_expect(!(in8(bus, 0x61) & 0x20));
    run_until(clock, tick_ns(151));
    cr_expect(in8(bus, 0x61) & 0x20);

    program(2, 5, 10);
    run_until(clock, tick_ns(1000));
    out8(bus, 0x61, 1);
    run_until(clock, tick_ns(1010));
    cr_expect(in8(bus, 0x61) & 0x20);
    run_until(clock, tick_ns(1011));
    cr_expect(!(in8(bus, 0x61) & 0x20), "the strobe");
    run_until(clock, tick_ns(1012));
    cr_expect(in8(bus, 0x61) & 0x20);
}

Test(i8254, mode_4_strobes)
{
    program(0, 4, 100);
    unsigned before = irq.rises;
    run_until(clock, tick_ns(101));
    cr_expect_eq(status(0) & 0x80, 0);
    run_until(clock, tick_ns(102));
    cr_expect_eq(status(0) & 0x80, 0x80);
    cr_expect_eq(irq.rises, before + 1);
    run_until(clock, NS_PER_SECOND);
    cr_expect_eq(irq.rises, before + 1);
}

Test(i8254, gate_2_holds_mode_0)
{
    /* As systems calibrate the TSC by counter 2. */
    out8(bus, 0x61, 0);
    program(2, 0, 1000);
    run_until(clock, tick_ns(5000));
    cr_expect_eq(latch(2), 1000);
    out8(bus, 0x61, 1);
    run_until(clock, tick_ns(5400));
    cr_expect_eq(latch(2), 600);
    out8(bus, 0x61, 0);
    run_until(clock, tick_ns(9000));
    cr_expect_eq(latch(2), 600);
    out8(bus, 0x61, 1);
    run_until(clock, tick_ns(9599));
    cr_expect(!(in8(bus, 0x61) & 0x20));
    run_until(clock, tick_ns(9600));
    cr_expect(in8(bus, 0x61) & 0x20);
}

Test(i8254, latches_hold_until_read)
{
    program(0, 2, 5000);
    run_until(clock, tick_ns(101));
    out8(bus, 0x43, 0xc2); /* read back status and count */
    run_until(clock, tick_ns(201));
    out8(bus, 0x43, 0xc2);
    cr_expect_eq(in8(bus, 0x40), 0x80 | 3 << 4 | 2 << 1, "status first");
    cr_expect_eq(in8(bus, 0x40), 4900 & 0xff);
    cr_expect_eq(in8(bus, 0x40), 4900 >> 8);
    cr_expect_eq(in8(bus, 0x40), 4800 & 0xff, "then the count itself");
    cr_expect_eq(in8(bus, 0x40), 4800 >> 8);
    cr_expect_eq(in8(bus, 0x43), 0xff);
}

Test(i8254, byte_access_modes)
{
    out8(bus, 0x43, 0x14); /* counter 0, low byte, mode 2 */
    out8(bus, 0x40, 200);
    run_until(clock, tick_ns(1 + 50));
    cr_expect_eq(in8(bus, 0x40), 150);
    cr_expect_eq(in8(bus, 0x40), 150);
    out8(bus, 0x43, 0x24); /* high byte */
    out8(bus, 0x40, 0x12);
    uint64_t start = 51 + 1;
    run_until(clock, tick_ns(start + 0x100));
    cr_expect_eq(in8(bus, 0x40), 0x11);
}

Test(i8254, bcd)
{
    out8(bus, 0x43, 0x35); /* counter 0, both bytes, mode 2, BCD */
    out8(bus, 0x40, 0x34);
    out8(bus, 0x40, 0x12);
    run_until(clock, tick_ns(1 + 35));
    cr_expect_eq(latch(0), 0x1199);
    run_until(clock, tick_ns(1 + 1234));
    cr_expect_eq(latch(0), 0x1234);
    out8(bus, 0x43, 0x35);
    out8(bus, 0x40, 0);
    out8(bus, 0x40, 0);
    uint64_t start = 1235 + 1;
    run_until(clock, tick_ns(start + 1));
    cr_expect_eq(latch(0), 0x9999);
}

Test(i8254, absurd_rates_are_bounded)
{
    program(0, 2, 1);
    clock_step(clock, NS_PER_SECOND / 100);
    cr_expect_leq(irq.rises, NS_PER_SECOND / 100 / CLOCK_MIN_INTERVAL + 2);
    cr_expect_gt(irq.rises, 500);
}

Test(i8254, refresh_toggles_every_15_us)
{
    cr_expect_eq(in8(bus, 0x61) & 0x10, 0);
    run_until(clock, tick_ns(18));
    cr_expect_eq(in8(bus, 0x61) & 0x10, 0x10);
    run_until(clock, tick_ns(36));
    cr_expect_eq(in8(bus, 0x61) & 0x10, 0);
    out8(bus, 0x61, 0xff);
    cr_expect_eq(in8(bus, 0x61) & 0xf, 0xf);
}

Test(i8254, replaced_by_the_hpet)
{
    program(0, 2, 1000);
    i8254_set_replaced(pit, 0, true);
    unsigned before = irq.rises;
    clock_step(clock, NS_PER_SECOND);
    cr_expect_eq(irq.rises, before);
    i8254_set_replaced(pit, 0, false);
    clock_step(clock, NS_PER_SECOND);
    cr_expect_gt(irq.rises, before + 1000);
}

static void latch_at_the_edge(void *opaque)
{
    (void)opaque;
    cr_expect_eq(irq.rises, 1);
    cr_expect_eq(latch(0), 1000);
    cr_expect_eq(irq.rises, 2, "the tick came before the write");
}

Test(i8254, due_interrupts_survive_writes)
{
    struct clock_timer timer;
    call_at(clock, &timer, tick_ns(1001), latch_at_the_edge);
    program(0, 2, 1000);
    run_until(clock, tick_ns(2000));
    cr_expect_eq(irq.rises, 2);
}
