#include "devices/timer/hpet.h"

#include "probe.h"

#define CONFIG 0x10
#define STATUS 0x20
#define COUNTER 0xf0
#define TIMER(n) (0x100 + 0x20 * (n))
#define COMPARATOR(n) (0x108 + 0x20 * (n))

#define LEVEL 0x02u
#define ENABLE 0x04u
#define PERIODIC 0x08u
#define SET_VALUE 0x40u
#define MODE_32 0x100u
#define ROUTE(n) ((uint32_t)(n) << 9)

static struct bus *bus;
static struct clock *clock;
static struct hpet *hpet;
static struct probe ioapic, irq0, irq8, pit, rtc;

static void setup(void)
{
    bus = bus_create();
    clock = clock_create_manual();
    ioapic = irq0 = irq8 = (struct probe){.clock = clock};
    pit = rtc = (struct probe){0};
    hpet = hpet_create(&(struct hpet_config){
        .clock = clock,
        .ioapic = probe_line(&ioapic),
        .routes = 0xf00000,
        .irq0 = probe_line(&irq0),
        .irq8 = probe_line(&irq8),
        .replaces = {probe_line(&pit), probe_line(&rtc)},
    });
    map(bus, BUS_MMIO, HPET_BASE, HPET_SIZE, &hpet_ops, hpet);
}

static void teardown(void)
{
    hpet_destroy(hpet);
    clock_destroy(clock);
    bus_destroy(bus);
}

TestSuite(hpet, .init = setup, .fini = teardown);

static void set(uint32_t reg, uint32_t value)
{
    write32(bus, HPET_BASE + reg, value);
}

static uint32_t get(uint32_t reg)
{
    return read32(bus, HPET_BASE + reg);
}

static uint64_t get64(uint32_t reg)
{
    return bus_read(bus, BUS_MMIO, HPET_BASE + reg, 8);
}

static void set64(uint32_t reg, uint64_t value)
{
    bus_write(bus, BUS_MMIO, HPET_BASE + reg, value, 8);
}

Test(hpet, capabilities)
{
    cr_expect_eq(get64(0), 10000000ull << 32 | 0x8086a201);
    cr_expect_eq(get(4), 10000000, "femtoseconds a tick");
    cr_expect_eq(get64(TIMER(0)), 0xf0000000000030);
    cr_expect_eq(get(TIMER(2) + 4), 0xf00000);
    cr_expect_eq(get64(TIMER(3)), 0);
    set(0, 0);
    cr_expect_eq(get(0), 0x8086a201);
}

Test(hpet, counter)
{
    clock_step(clock, 1000);
    cr_expect_eq(get64(COUNTER), 0, "halted");
    set(CONFIG, 1);
    clock_step(clock, 1005);
    cr_expect_eq(get64(COUNTER), 100);
    set(CONFIG, 0);
    clock_step(clock, 1000);
    cr_expect_eq(get64(COUNTER), 100);
    set64(COUNTER, 0x1fffffff0);
    set(CONFIG, 1);
    clock_step(clock, 320);
    cr_expect_eq(get64(COUNTER), 0x200000010);
    cr_expect_eq(get(COUNTER + 4), 2);
}

Test(hpet, one_shot)
{
    set(CONFIG, 1);
    set(TIMER(1), ENABLE | ROUTE(21));
    set64(COMPARATOR(1), 5000);
    clock_step(clock, 49999);
    cr_expect_eq(ioapic.rises, 0);
    clock_step(clock, 1);
    cr_expect_eq(ioapic.rises, 1);
    cr_expect_eq(ioapic.input, 21);
    cr_expect(!ioapic.level, "an edge is a pulse");
    cr_expect_eq(get(STATUS), 0);
    clock_step(clock, 100 * NS_PER_SECOND);
    cr_expect_eq(ioapic.rises, 1);
    set64(COMPARATOR(1), 5); /* past */
    clock_step(clock, 100 * NS_PER_SECOND);
    cr_expect_eq(ioapic.rises, 1);
}

Test(hpet, one_shot_of_32_bits_comes_each_lap)
{
    set(CONFIG, 1);
    set(TIMER(0), ENABLE | MODE_32 | ROUTE(20));
    set(COMPARATOR(0), 100);
    clock_step(clock, 1000);
    cr_expect_eq(ioapic.rises, 1);
    clock_step(clock, (1ull << 32) * 10 - 1);
    cr_expect_eq(ioapic.rises, 1);
    clock_step(clock, 1);
    cr_expect_eq(ioapic.rises, 2);
}

Test(hpet, periodic_as_linux_sets_it)
{
    set(CONFIG, 1);
    clock_step(clock, 777770);
    uint32_t first = get(COUNTER) + 100000;
    set(TIMER(0), ENABLE | PERIODIC | SET_VALUE | MODE_32 | ROUTE(20));
    set(COMPARATOR(0), first);
    cr_expect_eq(get(TIMER(0)) & SET_VALUE, 0, "clears itself");
    set(COMPARATOR(0), 100000);
    for (unsigned i = 1; i <= 20; i++) {
        clock_step(clock, 1000000);
        cr_expect_eq(ioapic.rises, i);
        cr_expect_eq(ioapic.rose_at, 777770 + i * 1000000);
        cr_expect_eq(get(COMPARATOR(0)), first + i * 100000);
    }
    set(TIMER(0), PERIODIC | MODE_32 | ROUTE(20));
    clock_step(clock, 10000000);
    cr_expect_eq(ioapic.rises, 20);
    cr_expect_eq(get(COMPARATOR(0)), first + 30 * 100000, "counts on without interrupts");
}

Test(hpet, periodic_64_bits_in_halves)
{
    set(CONFIG, 1);
    set(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    set(COMPARATOR(0), 0x2710);
    set(COMPARATOR(0) + 4, 0);
    set(COMPARATOR(0), 0x4e20);
    cr_expect_eq(get64(COMPARATOR(0)), 0x2710);
    clock_step(clock, 100000);
    cr_expect_eq(ioapic.rises, 1);
    cr_expect_eq(get64(COMPARATOR(0)), 0x7530);
}

Test(hpet, absurd_periods_are_bounded)
{
    set(CONFIG, 1);
    set(TIMER(0), ENABLE | PERIODIC | SET_VALUE | ROUTE(20));
    set64(COMPARATOR(0), 1);
    clock_step(clock, 10000000);
    cr_expect_leq(ioapic.rises, 10000000 / CLOCK_MIN_INTERVAL + 2);
    cr_expect_gt(ioapic.rises, 500);
    set64(COMPARATOR(0), 0); /* no period */
    clock_step(clock, 10000000);
}

Test(hpet, levels_until_the_status_is_cleared)
{
    set(CONFIG, 1);
    set(TIMER(2), ENABLE | LEVEL | ROUTE(22));
    set64(COMPARATOR(2), 1000);
    clock_step(clock, 10000);
    cr_expect(ioapic.level);
    cr_expect_eq(get(STATUS), 4);
    set(STATUS, 3);
    cr_expect(ioapic.level);
    set(STATUS, 4);
    cr_expect(!ioapic.level);
    cr_expect_eq(get(STATUS), 0);
    set(TIMER(2), LEVEL | ROUTE(22)); /* status without interrupt */
    set64(COMPARATOR(2), 2000);
    clock_step(clock, 10000);
    cr_expect_eq(get(STATUS), 4);
    cr_expect(!ioapic.level);
}

Test(hpet, routes_that_do_not_exist_go_nowhere)
{
    set(CONFIG, 1);
    set(TIMER(0), ENABLE | ROUTE(3));
    set64(COMPARATOR(0), 1000);
    clock_step(clock, 20000);
    cr_expect_eq(ioapic.rises, 0);
}

Test(hpet, legacy_replacement)
{
    set(CONFIG, 3);
    cr_expect(pit.level);
    cr_expect(rtc.level);
    set(TIMER(0), ENABLE);
    set(TIMER(1), ENABLE | ROUTE(20));
    set(TIMER(2), ENABLE | ROUTE(20));
    set64(COMPARATOR(0), 1000);
    set64(COMPARATOR(1), 1001);
    set64(COMPARATOR(2), 1002);
    clock_step(clock, 10000);
    cr_expect_eq(irq0.rises, 1);
    cr_expect_eq(irq8.rises, 0);
    clock_step(clock, 10);
    cr_expect_eq(irq8.rises, 1);
    cr_expect_eq(ioapic.rises, 0);
    clock_step(clock, 10);
    cr_expect_eq(ioapic.rises, 1);
    set(CONFIG, 1);
    cr_expect(!pit.level);
    set(CONFIG, 3);
    hpet_reset(hpet);
    cr_expect(!pit.level);
    cr_expect_eq(get64(COUNTER), 0);
}

static void rewrite_at_the_match(void *opaque)
{
    (void)opaque;
    cr_expect_eq(ioapic.rises, 0);
    set64(COMPARATOR(0), 5000);
    cr_expect_eq(ioapic.rises, 1, "the match came before the write");
}

Test(hpet, due_interrupts_survive_writes)
{
    struct clock_timer timer;
    call_at(clock, &timer, 10000, rewrite_at_the_match);
    set(CONFIG, 1);
    set(TIMER(0), ENABLE | ROUTE(20));
    set64(COMPARATOR(0), 1000);
    clock_step(clock, 20000);
    cr_expect_eq(ioapic.rises, 1);
    clock_step(clock, 30000);
    cr_expect_eq(ioapic.rises, 2);
}
