/* Motorola's data sheet MC146818A. */
#include "devices/timer/mc146818.h"

#include "base/bits.h"

#include <stdlib.h>
#include <time.h>

enum {
    REG_SECOND,
    REG_SECOND_ALARM,
    REG_MINUTE,
    REG_MINUTE_ALARM,
    REG_HOUR,
    REG_HOUR_ALARM,
    REG_WEEKDAY, /* 1 is Sunday */
    REG_DAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
};

#define A_UPDATING 0x80
#define A_DIVIDER 0x70
#define A_DIVIDER_32KHZ 0x20
#define A_RATE 0x0f
#define B_SET 0x80
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define B_ENABLES 0x70 /* periodic, alarm, update: at the bits of their flags in C */
#define C_IRQ 0x80
#define C_PERIODIC 0x40
#define C_ALARM 0x20
#define C_UPDATED 0x10
#define D_VALID 0x80

#define ANY 0xc0              /* alarm bytes from here match everything */
#define UPDATE_NOTICE 244000u /* ns from "updating" to the update */
#define DAY_SECONDS 86400
#define PM 0x80

struct mc146818 {
    struct mc146818_config config;
    struct clock_timer timer;
    uint8_t index;
    bool nmi_masked, replaced;
    uint8_t bytes[128];
    uint64_t second_start; /* guest ns when the current second began; modulo 2^64 */
    uint64_t synced;       /* guest ns up to which flags and time are true */
};

/* A point in time, as the registers have it. */
struct civil {
    int64_t days; /* since 1970-01-01 */
    int seconds;  /* of the day */
    int weekday;  /* 0 is Sunday */
};

static uint8_t from_register(const struct mc146818 *rtc, uint8_t value)
{
    return rtc->bytes[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t to_register(const struct mc146818 *rtc, unsigned value)
{
    return (uint8_t)(rtc->bytes[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int hour_from_register(const struct mc146818 *rtc, uint8_t value)
{
    if (rtc->bytes[REG_B] & B_24_HOURS)
        return from_register(rtc, value);
    return from_register(rtc, value & ~PM) % 12 + (value & PM ? 12 : 0);
}

static uint8_t hour_to_register(const struct mc146818 *rtc, unsigned hour)
{
    if (rtc->bytes[REG_B] & B_24_HOURS)
        return to_register(rtc, hour);
    return to_register(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? PM : 0);
}

/* The Gregorian calendar repeats every 400 years. Years are counted from March, so that the leap
 * day is the last one; 719468 days lie between 0000-03-01 and 1970-01-01. */
#define ERA_YEARS 400
#define ERA_DAYS 146097

static int64_t days_before_year(int64_t year)
{
    return year * 365 + year / 4 - year / 100 + year / 400;
}

static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    month = (month + 9) % 12;
    return days_before_year(year + ERA_YEARS) - ERA_DAYS + (month * 153 + 2) / 5 + day - 1 - 719468;
}

/* days is not before the year 0. */
static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468 + ERA_DAYS;
    int64_t y = days / 366;
    while (days >= days_before_year(y + 1))
        y++;
    int rest = (int)(days - days_before_year(y));
    int m = (rest * 5 + 2) / 153;
    *day = rest - (m * 153 + 2) / 5 + 1;
    *month = (m + 2) % 12 + 1;
    *year = y - ERA_YEARS + (m >= 10);
}

/* Whatever the guest wrote makes some time. */
static struct civil read_time(const struct mc146818 *rtc)
{
    const uint8_t *bytes = rtc->bytes;
    int month = from_register(rtc, bytes[REG_MONTH]);
    int year =
        from_register(rtc, bytes[MC146818_CENTURY]) * 100 + from_register(rtc, bytes[REG_YEAR]);
    int seconds = hour_from_register(rtc, bytes[REG_HOUR]) * 3600 +
                  from_register(rtc, bytes[REG_MINUTE]) * 60 +
                  from_register(rtc, bytes[REG_SECOND]);

    if (month < 1 || month > 12)
        month = 1;
    return (struct civil){
        .days =
            days_from_date(year, month, from_register(rtc, bytes[REG_DAY])) + seconds / DAY_SECONDS,
        .seconds = seconds % DAY_SECONDS,
        .weekday = (from_register(rtc, bytes[REG_WEEKDAY]) + 6) % 7,
    };
}

static void write_time(struct mc146818 *rtc, const struct civil *civil)
{
    int64_t year;
    int month, day;
    date_from_days(civil->days, &year, &month, &day);
    rtc->bytes[REG_SECOND] = to_register(rtc, (unsigned)civil->seconds % 60);
    rtc->bytes[REG_MINUTE] = to_register(rtc, (unsigned)civil->seconds / 60 % 60);
    rtc->bytes[REG_HOUR] = hour_to_register(rtc, (unsigned)civil->seconds / 3600);
    rtc->bytes[REG_WEEKDAY] = to_register(rtc, (unsigned)civil->weekday + 1);
    rtc->bytes[REG_DAY] = to_register(rtc, (unsigned)day);
    rtc->bytes[REG_MONTH] = to_register(rtc, (unsigned)month);
    rtc->bytes[REG_YEAR] = to_register(rtc, (unsigned)(year % 100));
    rtc->bytes[MC146818_CENTURY] = to_register(rtc, (unsigned)(year / 100 % 100));
}

static void advance_time(struct mc146818 *rtc, uint64_t seconds)
{
    struct civil civil = read_time(rtc);
    uint64_t total = (uint64_t)civil.seconds + seconds;
    civil.days += (int64_t)(total / DAY_SECONDS);
    civil.weekday = (int)(((uint64_t)civil.weekday + total / DAY_SECONDS) % 7);
    civil.seconds = (int)(total % DAY_SECONDS);
    write_time(rtc, &civil);
}

/* Seconds from the registers' time to the next alarm, 1 to a day; 0 if it never comes. */
static unsigned seconds_to_alarm(const struct mc146818 *rtc)
{
    const uint8_t *bytes = rtc->bytes;
    int now = read_time(rtc).seconds;
    int second = bytes[REG_SECOND_ALARM] >= ANY ? -1 : from_register(rtc, bytes[REG_SECOND_ALARM]);
    int minute = bytes[REG_MINUTE_ALARM] >= ANY ? -1 : from_register(rtc, bytes[REG_MINUTE_ALARM]);
    int hour = bytes[REG_HOUR_ALARM] >= ANY ? -1 : hour_from_register(rtc, bytes[REG_HOUR_ALARM]);

    if (second > 59)
        return 0;
    /* The rest of this minute, then whole minutes up to this one tomorrow. */
    for (int ahead = 0; ahead <= 24 * 60; ahead++) {
        int at = now / 60 + ahead;
        if ((minute >= 0 && at % 60 != minute) || (hour >= 0 && at / 60 % 24 != hour))
            continue;
        int first = ahead == 0 ? now % 60 + 1 : 0;
        int match = second < 0 ? first : second;
        if (match >= first && match < 60)
            return (unsigned)(at * 60 + match - now);
    }
    return 0;
}

static bool divider_runs(const struct mc146818 *rtc)
{
    return (rtc->bytes[REG_A] & A_DIVIDER) == A_DIVIDER_32KHZ;
}

/* The periodic rate in 1/32768 s: rates 1 and 2 are those of 8 and 9. 0: none. */
static unsigned periodic_ticks(const struct mc146818 *rtc)
{
    unsigned rate = rtc->bytes[REG_A] & A_RATE;
    if (!rate || !divider_runs(rtc))
        return 0;
    return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* Brings time and flags up to `now`. */
static void rtc_sync(struct mc146818 *rtc, uint64_t now)
{
    unsigned ticks = periodic_ticks(rtc);

    if (!divider_runs(rtc)) {
        rtc->synced = now;
        return;
    }
    if (ticks && clock_scale(now - rtc->second_start, 32768, NS_PER_SECOND) / ticks !=
                     clock_scale(rtc->synced - rtc->second_start, 32768, NS_PER_SECOND) / ticks)
        rtc->bytes[REG_C] |= C_PERIODIC;

    uint64_t seconds = (now - rtc->second_start) / NS_PER_SECOND;
    if (seconds && !(rtc->bytes[REG_B] & B_SET)) {
        unsigned alarm = seconds_to_alarm(rtc);
        rtc->bytes[REG_C] |= C_UPDATED;
        if (alarm && alarm <= seconds)
            rtc->bytes[REG_C] |= C_ALARM;
        advance_time(rtc, seconds);
    }
    rtc->second_start += seconds * NS_PER_SECOND;
    rtc->synced = now;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Sets the line, and waits for the next enabled event unless one is still unread. */
static void rtc_update(struct mc146818 *rtc, uint64_t now)
{
    uint8_t *bytes = rtc->bytes;
    uint64_t deadline = CLOCK_NEVER;

    rtc_sync(rtc, now);
    bytes[REG_C] &= ~C_IRQ;
    if (bytes[REG_B] & bytes[REG_C] & B_ENABLES)
        bytes[REG_C] |= C_IRQ;
    if (!rtc->replaced)
        irq_set(&rtc->config.irq, bytes[REG_C] & C_IRQ);

    if (!(bytes[REG_C] & C_IRQ) && divider_runs(rtc)) {
        if (bytes[REG_B] & C_PERIODIC && periodic_ticks(rtc))
            deadline =
                clock_next_tick(rtc->second_start, periodic_ticks(rtc) * NS_PER_SECOND, 32768, now);
        if (bytes[REG_B] & C_UPDATED && !(bytes[REG_B] & B_SET))
            deadline = earlier(deadline, rtc->second_start + NS_PER_SECOND);
        if (bytes[REG_B] & C_ALARM && !(bytes[REG_B] & B_SET) && seconds_to_alarm(rtc))
            deadline = earlier(deadline, rtc->second_start + seconds_to_alarm(rtc) * NS_PER_SECOND);
    }
    clock_arm(rtc->config.clock, &rtc->timer, deadline);
}

static void rtc_fire(void *opaque)
{
    struct mc146818 *rtc = opaque;
    rtc_update(rtc, clock_now(rtc->config.clock));
}

static uint8_t read_a(const struct mc146818 *rtc, uint64_t now)
{
    bool updates = divider_runs(rtc) && !(rtc->bytes[REG_B] & B_SET);
    bool soon = now - rtc->second_start >= NS_PER_SECOND - UPDATE_NOTICE;
    return rtc->bytes[REG_A] | (updates && soon ? A_UPDATING : 0);
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    struct mc146818 *rtc = opaque;
    uint64_t now = clock_now(rtc->config.clock);

    (void)size;
    if (!(offset & 1))
        return 0xff; /* the index cannot be read */
    rtc_update(rtc, now);
    switch (rtc->index) {
    case REG_A:
        return read_a(rtc, now);
    case REG_C: {
        uint8_t flags = rtc->bytes[REG_C];
        rtc->bytes[REG_C] = 0;
        rtc_update(rtc, now);
        return flags;
    }
    case REG_D:
        return D_VALID;
    default:
        return rtc->bytes[rtc->index];
    }
}

static void write_a(struct mc146818 *rtc, uint8_t value, uint64_t now)
{
    bool ran = divider_runs(rtc);
    rtc->bytes[REG_A] = value & ~A_UPDATING;
    /* The first update comes half a second after the divider's reset ends. */
    if (!ran && divider_runs(rtc))
        rtc->second_start = now - NS_PER_SECOND / 2;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct mc146818 *rtc = opaque;
    uint64_t now = clock_now(rtc->config.clock);

    (void)size;
    if (!(offset & 1)) {
        rtc->index = value & 0x7f;
        rtc->nmi_masked = value & 0x80;
        return;
    }
    rtc_update(rtc, now);
    switch (rtc->index) {
    case REG_A:
        write_a(rtc, (uint8_t)value, now);
        break;
    case REG_B:
        rtc->bytes[REG_B] = (uint8_t)value;
        if (value & B_SET) /* clears the update interrupt's enable */
            rtc->bytes[REG_B] &= ~C_UPDATED;
        break;
    case REG_C:
    case REG_D:
        break;
    default:
        rtc->bytes[rtc->index] = (uint8_t)value;
    }
    rtc_update(rtc, now);
}

const struct bus_ops mc146818_ops = {"RTC and CMOS", rtc_read, rtc_write, 1, 1};

void mc146818_set_byte(struct mc146818 *rtc, unsigned index, uint8_t value)
{
    if (index > REG_D && index < sizeof(rtc->bytes))
        rtc->bytes[index] = value;
}

uint8_t mc146818_get_byte(const struct mc146818 *rtc, unsigned index)
{
    return index < sizeof(rtc->bytes) ? rtc->bytes[index] : 0;
}

bool mc146818_nmi_masked(const struct mc146818 *rtc)
{
    return rtc->nmi_masked;
}

void mc146818_set_replaced(void *opaque, unsigned input, bool replaced)
{
    struct mc146818 *rtc = opaque;
    (void)input;
    if (replaced && !rtc->replaced)
        irq_set(&rtc->config.irq, false);
    rtc->replaced = replaced;
    rtc_update(rtc, clock_now(rtc->config.clock));
}

void mc146818_reset(struct mc146818 *rtc)
{
    uint64_t now = clock_now(rtc->config.clock);
    rtc_sync(rtc, now);
    rtc->bytes[REG_B] &= ~(B_ENABLES | 0x08); /* 0x08: the square wave, which goes nowhere */
    rtc->bytes[REG_C] = 0;
    rtc->index = 0;
    rtc->nmi_masked = false;
    rtc_update(rtc, now);
}

int64_t mc146818_host_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * (int64_t)NS_PER_SECOND + now.tv_nsec;
}

static void set_clock(struct mc146818 *rtc)
{
    uint64_t now = clock_now(rtc->config.clock);
    /* Years 1970 to 9999 are what the registers hold. */
    uint64_t since_1970 = rtc->config.epoch > 0 ? (uint64_t)rtc->config.epoch + now : now;
    uint64_t seconds = since_1970 / NS_PER_SECOND;
    struct civil civil = {
        .days = (int64_t)(seconds / DAY_SECONDS),
        .seconds = (int)(seconds % DAY_SECONDS),
        .weekday = (int)((seconds / DAY_SECONDS + 4) % 7), /* 1970-01-01 was a Thursday */
    };
    write_time(rtc, &civil);
    rtc->second_start = now - since_1970 % NS_PER_SECOND;
    rtc->synced = now;
}

struct mc146818 *mc146818_create(const struct mc146818_config *config)
{
    struct mc146818 *rtc = calloc(1, sizeof(*rtc));
    if (!rtc)
        return NULL;
    rtc->config = *config;
    rtc->bytes[REG_A] = A_DIVIDER_32KHZ | 6; /* 1024 Hz, as firmware leaves it */
    rtc->bytes[REG_B] = B_24_HOURS;
    clock_timer_init(&rtc->timer, rtc_fire, rtc);
    set_clock(rtc);
    return rtc;
}

void mc146818_destroy(struct mc146818 *rtc)
{
    if (!rtc)
        return;
    clock_cancel(rtc->config.clock, &rtc->timer);
    free(rtc);
}
