#include "devices/timer/hpet.h"

#include "base/bits.h"

#include <stdlib.h>

enum {
    REG_CAPABILITIES = 0x00,
    REG_CONFIG = 0x10,
    REG_STATUS = 0x20,
    REG_COUNTER = 0xf0,
    REG_TIMERS = 0x100, /* each 0x20 */
    TIMER_CONFIG = 0x00,
    TIMER_COMPARATOR = 0x08,
};

#define CAPABILITIES ((uint64_t)HPET_TICK_NS * 1000000 << 32 | HPET_ID)

#define CONFIG_ENABLE BIT(0)
#define CONFIG_LEGACY BIT(1)

#define TIMER_LEVEL BIT(1)
#define TIMER_ENABLE BIT(2)
#define TIMER_PERIODIC BIT(3)
#define TIMER_SET_VALUE BIT(6)
#define TIMER_32BIT BIT(8)
#define TIMER_ROUTE 0x3e00ull
#define TIMER_WRITABLE                                                                             \
    (TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET_VALUE | TIMER_32BIT | TIMER_ROUTE)
#define TIMER_CAPABILITIES (BIT(4) | BIT(5)) /* periodic, 64 bits */

struct hpet_timer {
    struct hpet *hpet;
    unsigned index;
    struct clock_timer timer;
    uint64_t config;
    uint64_t comparator;
    uint64_t period; /* as written, of periodic timers */
};

struct hpet {
    struct hpet_config config;
    struct hpet_timer timers[HPET_TIMERS];
    uint64_t general; /* the general configuration */
    uint32_t status;  /* level-triggered interrupts in force */
    uint64_t counter; /* at guest ns `origin`, from where it counts while enabled */
    uint64_t origin;
};

static uint64_t counter_at(const struct hpet *hpet, uint64_t now)
{
    if (!(hpet->general & CONFIG_ENABLE))
        return hpet->counter;
    return hpet->counter + (now - hpet->origin) / HPET_TICK_NS;
}

static uint64_t timer_mask(const struct hpet_timer *timer)
{
    return timer->config & TIMER_32BIT ? UINT32_MAX : UINT64_MAX;
}

static uint64_t timer_period(const struct hpet_timer *timer)
{
    return timer->config & TIMER_PERIODIC ? timer->period & timer_mask(timer) : 0;
}

/* Moves a periodic comparator past the counter, as its matches did; not while software is writing
 * it, perhaps in halves. */
static void timer_settle(struct hpet_timer *timer, uint64_t counter)
{
    uint64_t mask = timer_mask(timer), period = timer_period(timer);
    uint64_t behind = (counter - timer->comparator) & mask;
    if (period && behind <= mask / 2 && !(timer->config & TIMER_SET_VALUE))
        timer->comparator = (timer->comparator + (behind / period + 1) * period) & mask;
}

/* Waits for the next match. One that is exact now has been, or was missed: the next is a lap away.
 */
static void timer_arm(struct hpet_timer *timer, uint64_t now)
{
    struct hpet *hpet = timer->hpet;
    uint64_t counter = counter_at(hpet, now), deadline = CLOCK_NEVER;
    timer_settle(timer, counter);
    uint64_t left = ((timer->comparator - counter - 1) & timer_mask(timer));

    if (hpet->general & CONFIG_ENABLE && timer->config & (TIMER_ENABLE | TIMER_LEVEL) &&
        left < INT64_MAX / HPET_TICK_NS) {
        deadline = hpet->origin + (counter - hpet->counter + left + 1) * HPET_TICK_NS;
        if (timer_period(timer) && deadline < now + CLOCK_MIN_INTERVAL &&
            timer_period(timer) * HPET_TICK_NS < CLOCK_MIN_INTERVAL)
            deadline = now + CLOCK_MIN_INTERVAL;
    }
    clock_arm(hpet->config.clock, &timer->timer, deadline);
}

static struct irq_line timer_line(const struct hpet_timer *timer)
{
    const struct hpet *hpet = timer->hpet;
    struct irq_line line = hpet->config.ioapic;

    if (hpet->general & CONFIG_LEGACY && timer->index < 2)
        return timer->index ? hpet->config.irq8 : hpet->config.irq0;
    line.input = (unsigned)bits_get(timer->config, 9, 5);
    if (!(hpet->config.routes >> line.input & 1))
        line.set = NULL;
    return line;
}

/* Drives the lines of the level-triggered interrupts in force. */
static void hpet_drive_levels(const struct hpet *hpet, bool level)
{
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        const struct hpet_timer *timer = &hpet->timers[i];
        struct irq_line line = timer_line(timer);
        if (hpet->status >> i & 1 && timer->config & TIMER_ENABLE)
            irq_set(&line, level);
    }
}

static void timer_fire(void *opaque)
{
    struct hpet_timer *timer = opaque;
    struct hpet *hpet = timer->hpet;

    if (timer->config & TIMER_LEVEL) {
        hpet->status |= 1u << timer->index;
        hpet_drive_levels(hpet, true);
    } else {
        struct irq_line line = timer_line(timer);
        irq_pulse(&line);
    }
    timer_arm(timer, clock_now(hpet->config.clock));
}

static uint64_t timer_read(struct hpet_timer *timer, unsigned reg, uint64_t now)
{
    switch (reg) {
    case TIMER_CONFIG:
        return (uint64_t)timer->hpet->config.routes << 32 | TIMER_CAPABILITIES | timer->config;
    case TIMER_COMPARATOR:
        timer_settle(timer, counter_at(timer->hpet, now));
        return timer->comparator;
    default:
        return 0;
    }
}

/* Replaces the bits of `mask` by the value's. */
static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
    return (old & ~mask) | (value & mask);
}

/* A periodic timer's comparator register takes the period; after TIMER_SET_VALUE also the
 * comparator itself, and the bit clears itself. */
static void timer_write_comparator(struct hpet_timer *timer, uint64_t value, uint64_t mask)
{
    mask &= timer_mask(timer);
    if (!(timer->config & TIMER_PERIODIC) || timer->config & TIMER_SET_VALUE)
        timer->comparator = merge(timer->comparator, value, mask);
    if (timer->config & TIMER_PERIODIC)
        timer->period = merge(timer->period, value, mask);
    /* The halves of a 64-bit value come low, then high. */
    if (mask >> 32 || timer->config & TIMER_32BIT)
        timer->config &= ~TIMER_SET_VALUE;
}

static void timer_write(struct hpet_timer *timer, unsigned reg, uint64_t value, uint64_t mask)
{
    switch (reg) {
    case TIMER_CONFIG:
        timer->config = merge(timer->config, value, mask & TIMER_WRITABLE);
        timer->comparator &= timer_mask(timer);
        if (!(timer->config & TIMER_LEVEL))
            timer->hpet->status &= ~(1u << timer->index);
        break;
    case TIMER_COMPARATOR:
        timer_write_comparator(timer, value, mask);
        break;
    }
}

static uint64_t hpet_read_register(struct hpet *hpet, unsigned reg)
{
    uint64_t now = clock_now(hpet->config.clock);

    switch (reg) {
    case REG_CAPABILITIES:
        return CAPABILITIES;
    case REG_CONFIG:
        return hpet->general;
    case REG_STATUS:
        return hpet->status;
    case REG_COUNTER:
        return counter_at(hpet, now);
    }
    unsigned index = (reg - REG_TIMERS) / 0x20;
    if (reg < REG_TIMERS || index >= HPET_TIMERS)
        return 0;
    return timer_read(&hpet->timers[index], reg % 0x20, now);
}

static void hpet_write_general(struct hpet *hpet, uint64_t value, uint64_t now)
{
    uint64_t old = hpet->general;
    hpet->counter = counter_at(hpet, now);
    hpet->origin = now;
    hpet->general = value & (CONFIG_ENABLE | CONFIG_LEGACY);
    if ((old ^ hpet->general) & CONFIG_LEGACY) {
        for (unsigned i = 0; i < ARRAY_SIZE(hpet->config.replaces); i++)
            irq_set(&hpet->config.replaces[i], hpet->general & CONFIG_LEGACY);
    }
}

/* Returns a time at which no timer is due. */
static uint64_t hpet_catch_up(struct hpet *hpet)
{
    for (;;) {
        uint64_t now = clock_now(hpet->config.clock);
        unsigned due = 0;
        for (unsigned i = 0; i < HPET_TIMERS; i++) {
            if (hpet->timers[i].timer.deadline <= now) {
                clock_catch_up(hpet->config.clock, &hpet->timers[i].timer);
                due++;
            }
        }
        if (!due)
            return now;
    }
}

/* Changes the bits of `mask`. */
static void hpet_write_register(struct hpet *hpet, unsigned reg, uint64_t value, uint64_t mask)
{
    uint64_t now = hpet_catch_up(hpet);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_settle(&hpet->timers[i], counter_at(hpet, now));

    hpet_drive_levels(hpet, false);
    switch (reg) {
    case REG_CONFIG:
        hpet_write_general(hpet, merge(hpet->general, value, mask), now);
        break;
    case REG_STATUS:
        hpet->status &= ~(uint32_t)(value & mask);
        break;
    case REG_COUNTER:
        hpet->counter = merge(counter_at(hpet, now), value, mask);
        hpet->origin = now;
        break;
    default:
        if (reg >= REG_TIMERS && (reg - REG_TIMERS) / 0x20 < HPET_TIMERS)
            timer_write(&hpet->timers[(reg - REG_TIMERS) / 0x20], reg % 0x20, value, mask);
    }
    hpet_drive_levels(hpet, true);
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_arm(&hpet->timers[i], now);
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return hpet_read_register(opaque, (unsigned)offset & ~7u) >> (8 * (offset & 7));
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned shift = 8 * (offset & 7);
    hpet_write_register(opaque, (unsigned)offset & ~7u, value << shift, bytes_mask(size) << shift);
}

const struct bus_ops hpet_ops = {"HPET", hpet_read, hpet_write, 4, 8};

void hpet_reset(struct hpet *hpet)
{
    hpet_drive_levels(hpet, false);
    hpet->status = 0;
    hpet_write_general(hpet, 0, clock_now(hpet->config.clock));
    hpet->counter = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *timer = &hpet->timers[i];
        timer->config = 0;
        timer->comparator = UINT64_MAX;
        timer->period = 0;
        clock_cancel(hpet->config.clock, &timer->timer);
    }
}

struct hpet *hpet_create(const struct hpet_config *config)
{
    struct hpet *hpet = calloc(1, sizeof(*hpet));
    if (!hpet)
        return NULL;
    hpet->config = *config;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        hpet->timers[i].hpet = hpet;
        hpet->timers[i].index = i;
        clock_timer_init(&hpet->timers[i].timer, timer_fire, &hpet->timers[i]);
    }
    hpet_reset(hpet);
    return hpet;
}

void hpet_destroy(struct hpet *hpet)
{
    if (!hpet)
        return;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        clock_cancel(hpet->config.clock, &hpet->timers[i].timer);
    free(hpet);
}
