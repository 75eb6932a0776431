#include "devices/timer/mc146818.h"

#include "probe.h"

#include <time.h>

#define SECOND NS_PER_SECOND
/* 2026-02-28 23:59:50 UTC, a Saturday. */
#define EPOCH 1772323190

static struct bus *bus;
static struct clock *guest_clock;
static struct mc146818 *rtc;
static struct probe irq;

static void create(int64_t epoch)
{
    bus = bus_create();
    guest_clock = clock_create_manual();
    irq = (struct probe){.clock = guest_clock};
    rtc = mc146818_create(&(struct mc146818_config){
        .clock = guest_clock,
        .irq = probe_line(&irq),
        .epoch = epoch,
    });
    map(bus, BUS_PORT, MC146818_PORT, 2, &mc146818_ops, rtc);
}

static void setup(void)
{
    create(EPOCH * (int64_t)SECOND);
}

static void teardown(void)
{
    mc146818_destroy(rtc);
    clock_destroy(guest_clock);
    bus_destroy(bus);
}

TestSuite(rtc, .init = setup, .fini = teardown);

static uint8_t get(uint8_t index)
{
    out8(bus, 0x70, index);
    return in8(bus, 0x71);
}

static void set(uint8_t index, uint8_t value)
{
    out8(bus, 0x70, index);
    out8(bus, 0x71, value);
}

static void expect_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t weekday,
                        uint8_t hour, uint8_t minute, uint8_t second)
{
    const uint8_t indexes[] = {0x32, 9, 8, 7, 6, 4, 2, 0};
    const uint8_t values[] = {century, year, month, day, weekday, hour, minute, second};
    for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++)
        cr_expect_eq(get(indexes[i]), values[i], "register %#x is %#x, not %#x", indexes[i],
                     get(indexes[i]), values[i]);
}

Test(rtc, starts_at_the_epoch_in_bcd)
{
    expect_time(0x20, 0x26, 0x02, 0x28, 7, 0x23, 0x59, 0x50);
    cr_expect_eq(get(0xd), 0x80);
    cr_expect_eq(in8(bus, 0x70), 0xff);
    clock_step(guest_clock, 9 * SECOND);
    expect_time(0x20, 0x26, 0x02, 0x28, 7, 0x23, 0x59, 0x59);
    clock_step(guest_clock, SECOND);
    expect_time(0x20, 0x26, 0x03, 0x01, 1, 0x00, 0x00, 0x00);
}

Test(rtc, follows_the_calendar)
{
    unsigned seed = 20260301;
    for (unsigned i = 0; i < 300; i++) {
        time_t when = (time_t)(rand_r(&seed) % 4000) * 10000000 + rand_r(&seed) % 10000000;
        time_t later = when + rand_r(&seed) % 100000000;
        struct tm tm;
        if (when > 9000000000) /* int64 ns end in 2262 */
            continue;
        teardown();
        create(when * (int64_t)SECOND);
        clock_step(guest_clock, (uint64_t)(later - when) * SECOND);
        set(0xb, 6); /* binary comes after: the bytes are as they were */
        set(0xb, 2);
        gmtime_r(&later, &tm);
        unsigned values[] = {(unsigned)tm.tm_sec,        (unsigned)tm.tm_min,
                             (unsigned)tm.tm_hour,       (unsigned)tm.tm_wday + 1,
                             (unsigned)tm.tm_mday,       (unsigned)tm.tm_mon + 1,
                             (unsigned)tm.tm_year % 100, (unsigned)(tm.tm_year + 1900) / 100};
        static const uint8_t indexes[] = {0, 2, 4, 6, 7, 8, 9, 0x32};
        for (unsigned n = 0; n < ARRAY_SIZE(indexes); n++)
            cr_expect_eq(get(indexes[n]), values[n] / 10 << 4 | values[n] % 10,
                         "seed 20260301, %lld + %lld s, register %u", (long long)when,
                         (long long)(later - when), indexes[n]);
    }
}

Test(rtc, sets_time_as_linux_does)
{
    clock_step(guest_clock, SECOND / 3);
    set(0xb, 0x82);
    set(0xa, 0x76); /* divider reset */
    set(0, 0x30);
    set(2, 0x15);
    set(4, 0x12);
    set(7, 0x29);
    set(8, 0x02);
    set(9, 0x24);
    set(0xb, 0x02);
    clock_step(guest_clock, 10 * SECOND);
    cr_expect_eq(get(0), 0x30, "stands while the divider is reset");
    set(0xa, 0x26);
    clock_step(guest_clock, SECOND / 2 - 1);
    cr_expect_eq(get(0), 0x30);
    clock_step(guest_clock, 1);
    cr_expect_eq(get(0), 0x31, "half a second after");
    clock_step(guest_clock, 86400 * SECOND);
    cr_expect_eq(get(7), 0x01);
    cr_expect_eq(get(8), 0x03);
}

Test(rtc, set_bit_inhibits_updates)
{
    set(0xb, 0x82);
    clock_step(guest_clock, 5 * SECOND);
    cr_expect_eq(get(0), 0x50);
    cr_expect_eq(get(0xc), 0x40, "no update, but the divider runs");
    cr_expect_eq(get(0xa) & 0x80, 0);
    set(0xb, 0x02);
    clock_step(guest_clock, SECOND);
    cr_expect_eq(get(0), 0x51);
}

Test(rtc, binary_and_twelve_hours)
{
    set(0xb, 0x86);
    set(0, 59);
    set(2, 59);
    set(4, 11);
    set(0xb, 0x04); /* binary, 12 hours */
    clock_step(guest_clock, SECOND);
    cr_expect_eq(get(0), 0);
    cr_expect_eq(get(4), 0x80 | 12, "noon");
    clock_step(guest_clock, 3600 * SECOND);
    cr_expect_eq(get(4), 0x80 | 1);
    clock_step(guest_clock, 11 * 3600 * SECOND);
    cr_expect_eq(get(4), 12, "midnight");
    clock_step(guest_clock, 3600 * SECOND);
    cr_expect_eq(get(4), 1);
}

Test(rtc, update_in_progress)
{
    clock_step(guest_clock, SECOND - 244001);
    cr_expect_eq(get(0xa) & 0x80, 0);
    clock_step(guest_clock, 1);
    cr_expect_eq(get(0xa) & 0x80, 0x80);
    clock_step(guest_clock, 243999);
    cr_expect_eq(get(0xa) & 0x80, 0x80);
    clock_step(guest_clock, 1);
    cr_expect_eq(get(0xa) & 0x80, 0);
    cr_expect_eq(get(0), 0x51);
}

Test(rtc, update_interrupts)
{
    set(0xb, 0x12);
    clock_step(guest_clock, SECOND - 1);
    cr_expect(!irq.level);
    clock_step(guest_clock, 1);
    cr_expect(irq.level);
    clock_step(guest_clock, 10 * SECOND);
    cr_expect_eq(irq.rises, 1, "until C is read");
    cr_expect_eq(get(0xc), 0xf0, "the other flags need no enable");
    cr_expect(!irq.level);
    cr_expect_eq(get(0xc), 0);
    clock_step(guest_clock, SECOND);
    cr_expect_eq(irq.rises, 2);
}

Test(rtc, flags_without_interrupts)
{
    clock_step(guest_clock, 3 * SECOND);
    cr_expect_eq(get(0xc), 0x50);
    cr_expect_eq(irq.rises, 0);
    cr_expect_eq(clock_next_deadline(guest_clock), CLOCK_NEVER, "no timer runs for them");
    clock_step(guest_clock, SECOND / 1024);
    cr_expect_eq(get(0xc), 0);
    clock_step(guest_clock, 1000);
    cr_expect_eq(get(0xc), 0x40);
}

Test(rtc, alarms)
{
    set(1, 0x05); /* 00:01:05 */
    set(3, 0x01);
    set(5, 0x00);
    set(0xb, 0x22);
    clock_step(guest_clock, 75 * SECOND - 1);
    cr_expect(!irq.level);
    clock_step(guest_clock, 1);
    cr_expect(irq.level);
    cr_expect_eq(get(0xc), 0xf0);
    clock_step(guest_clock, 86400 * SECOND - 1);
    cr_expect(!irq.level);
    clock_step(guest_clock, 1);
    cr_expect(irq.level, "every day");
    get(0xc);
    set(1, 0xc0); /* every second of any hour's minute 2 */
    set(5, 0xff);
    set(3, 0x02);
    clock_step(guest_clock, 55 * SECOND);
    for (unsigned i = 0; i < 60; i++) {
        cr_expect(irq.level);
        get(0xc);
        clock_step(guest_clock, SECOND);
    }
    cr_expect(!irq.level);
    set(1, 0x77); /* never */
    clock_step(guest_clock, 2 * 86400 * SECOND);
    cr_expect(!irq.level);
}

Test(rtc, periodic_interrupts)
{
    static const unsigned hz[] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
                                  256, 128, 64,  32,   16,   8,    4,    2};
    for (uint8_t rate = 0; rate < 16; rate++) {
        set(0xa, 0x20 | rate);
        set(0xb, 0x42);
        get(0xc);
        irq.rises = 0;
        uint64_t start = clock_now(guest_clock);
        while (clock_next_deadline(guest_clock) <= start + SECOND) {
            run_until(guest_clock, clock_next_deadline(guest_clock));
            cr_expect_eq(get(0xc) & 0xc0, 0xc0);
        }
        run_until(guest_clock, start + SECOND);
        cr_expect_eq(irq.rises, hz[rate], "rate %u: %u", rate, irq.rises);
    }
    set(0xa, 0x70 | 6);
    get(0xc);
    clock_step(guest_clock, SECOND);
    cr_expect_eq(get(0xc), 0, "a reset divider gives nothing");
}

Test(rtc, memory_and_nmi_mask)
{
    mc146818_set_byte(rtc, 0x34, 0xab);
    mc146818_set_byte(rtc, 0, 0x12); /* not time */
    cr_expect_eq(get(0x34), 0xab);
    cr_expect_eq(get(0), 0x50);
    set(0x0f, 0x42);
    mc146818_reset(rtc);
    cr_expect_eq(get(0x0f), 0x42);
    out8(bus, 0x70, 0x8f);
    cr_expect(mc146818_nmi_masked(rtc));
    cr_expect_eq(in8(bus, 0x71), 0x42);
    cr_expect(!(get(0x0f) & 0x80));
    cr_expect(!mc146818_nmi_masked(rtc));
    set(0xd, 0);
    set(0xc, 0xff);
    cr_expect_eq(get(0xd), 0x80);
    cr_expect_eq(get(0xc), 0);
}

Test(rtc, nonsense_is_survived)
{
    for (unsigned fill = 0; fill < 256; fill++) {
        for (uint8_t b = 0; b < 8; b += 2) {
            set(0xb, 0x80);
            for (uint8_t i = 0; i < 10; i++)
                set(i, (uint8_t)fill);
            set(0x32, (uint8_t)(fill * 7));
            set(0xb, 0x70 | b);
            clock_step(guest_clock, 3 * SECOND);
            cr_expect_lt(get(0), b & 4 ? 60 : 0x60);
            get(0xc);
        }
    }
}

Test(rtc, replaced_by_the_hpet)
{
    set(0xb, 0x12);
    mc146818_set_replaced(rtc, 0, true);
    clock_step(guest_clock, 5 * SECOND);
    cr_expect_eq(irq.rises, 0);
    cr_expect_eq(get(0xc) & 0x10, 0x10);
}
