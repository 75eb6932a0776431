/* The guest's one monotonic clock, in nanoseconds since the guest's start, and timers on it.
 *
 * TSC, PIT, HPET, local APIC timer, PM timer and RTC all derive from it. The TSC counts its
 * nanoseconds: 1 GHz. A host clock runs while started; a manual one moves only by clock_step(), for
 * tests. clock_now() and clock_is_stopped() may be called on any thread; everything else with the
 * bus lock held. */
#ifndef DOPPEL_BUS_CLOCK_H
#define DOPPEL_BUS_CLOCK_H

#include "base/types.h"

#define NS_PER_SECOND 1000000000ull
#define CLOCK_TSC_HZ NS_PER_SECOND
#define CLOCK_NEVER UINT64_MAX
/* A periodic timer fires no more often, whatever its guest programs: 100 kHz is beyond what any
 * system uses, and within what a host thread can serve. */
#define CLOCK_MIN_INTERVAL 10000

struct clock;

typedef void clock_fire_fn(void *opaque);

struct clock_timer {
    uint64_t deadline; /* guest ns; CLOCK_NEVER while not armed */
    clock_fire_fn *fire;
    void *opaque;
    unsigned slot; /* the clock's own */
};

/* Called when the earliest deadline becomes earlier: wakes who runs clock_run(). */
typedef void clock_earlier_fn(void *opaque);

/* NULL where the host has no memory. */
struct clock *clock_create_host(void);   /* starts stopped at 0 */
struct clock *clock_create_manual(void); /* at 0; start and stop do nothing */
void clock_destroy(struct clock *clock);

uint64_t clock_now(const struct clock *clock);
void clock_start(struct clock *clock);
void clock_stop(struct clock *clock);
/* Never, where it is a manual one. Any thread. */
bool clock_is_stopped(const struct clock *clock);

/* The host's time of day at guest time 0, in ns since 1970; it moves as the host's is set, and as
 * the guest is stopped. A manual clock's is what it was set to. */
uint64_t clock_epoch(const struct clock *clock);
void clock_set_epoch(struct clock *clock, uint64_t epoch);

void clock_timer_init(struct clock_timer *timer, clock_fire_fn *fire, void *opaque);
/* Arms or re-arms; a deadline in the past fires at the next clock_run(). CLOCK_NEVER cancels. */
void clock_arm(struct clock *clock, struct clock_timer *timer, uint64_t deadline);
void clock_cancel(struct clock *clock, struct clock_timer *timer);

/* Fires the timer if it is due but clock_run() has not come to it yet, and returns the time at
 * which it is not due: what a device calls, and counts with, before it changes what the timer
 * depends on.
 */
uint64_t clock_catch_up(struct clock *clock, struct clock_timer *timer);

/* The earliest deadline, or CLOCK_NEVER. */
uint64_t clock_next_deadline(const struct clock *clock);
/* Fires all timers that are due, in order of deadline. A fired timer is disarmed first; one that is
 * armed again for the past waits for the next call. */
void clock_run(struct clock *clock);
void clock_on_earlier(struct clock *clock, clock_earlier_fn *fn, void *opaque);

/* Manual clocks: moves time by ns, firing what falls due on the way at its own deadline. */
void clock_step(struct clock *clock, uint64_t ns);

/* value * numerator / denominator without overflow of the product. */
static inline uint64_t clock_scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    return (uint64_t)((unsigned __int128)value * numerator / denominator);
}

/* The first tick of the grid origin + k * numerator / denominator ns (k = 1, 2, ...; neither is 0;
 * rounded up to whole ns) that lies after now, at least CLOCK_MIN_INTERVAL after it where ticks are
 * denser: when a periodic timer is to fire next. Ticks that were missed are skipped, as edges on a
 * line would merge. origin counts modulo 2^64: it may lie before the guest's start. */
static inline uint64_t clock_next_tick(uint64_t origin, uint64_t numerator, uint64_t denominator,
                                       uint64_t now)
{
    if (numerator / denominator < CLOCK_MIN_INTERVAL)
        now += CLOCK_MIN_INTERVAL;
    uint64_t elapsed = (int64_t)(now - origin) < 0 ? 0 : now - origin;
    unsigned __int128 ticks = (unsigned __int128)elapsed * denominator / numerator + 1;
    return origin + (uint64_t)((ticks * numerator + denominator - 1) / denominator);
}

#endif
