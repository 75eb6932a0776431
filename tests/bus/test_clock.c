#include "bus/clock.h"

#include <criterion/criterion.h>
#include <stdlib.h>

struct probe {
    struct clock_timer timer;
    struct clock *clock;
    uint64_t fired_at;
    uint64_t period; /* re-arms itself so much later; may be 0 */
    bool again;
    unsigned count;
};

static void probe_fire(void *opaque)
{
    struct probe *probe = opaque;
    probe->fired_at = clock_now(probe->clock);
    probe->count++;
    if (probe->again)
        clock_arm(probe->clock, &probe->timer, probe->fired_at + probe->period);
}

static void probe_init(struct probe *probe, struct clock *clock)
{
    *probe = (struct probe){.clock = clock};
    clock_timer_init(&probe->timer, probe_fire, probe);
}

Test(clock, step_fires_at_the_deadline_itself)
{
    struct clock *clock = clock_create_manual();
    struct probe a, b;
    probe_init(&a, clock);
    probe_init(&b, clock);
    cr_expect_eq(clock_next_deadline(clock), CLOCK_NEVER);
    clock_arm(clock, &a.timer, 300);
    clock_arm(clock, &b.timer, 100);
    cr_expect_eq(clock_next_deadline(clock), 100);
    clock_step(clock, 99);
    cr_expect_eq(b.count, 0);
    clock_step(clock, 901);
    cr_expect_eq(a.fired_at, 300);
    cr_expect_eq(b.fired_at, 100);
    cr_expect_eq(a.timer.deadline, CLOCK_NEVER);
    cr_expect_eq(clock_now(clock), 1000);
    clock_destroy(clock);
}

Test(clock, cancel_and_rearm)
{
    struct clock *clock = clock_create_manual();
    struct probe a, b;
    probe_init(&a, clock);
    probe_init(&b, clock);
    clock_arm(clock, &a.timer, 10);
    clock_arm(clock, &b.timer, 20);
    clock_cancel(clock, &a.timer);
    clock_cancel(clock, &a.timer);
    clock_arm(clock, &b.timer, 50);
    clock_step(clock, 40);
    cr_expect_eq(a.count + b.count, 0);
    clock_arm(clock, &b.timer, 5);
    clock_run(clock);
    cr_expect_eq(b.fired_at, 40, "a deadline in the past fires at once");
    clock_arm(clock, &b.timer, CLOCK_NEVER);
    clock_step(clock, 1000);
    cr_expect_eq(b.count, 1);
    clock_destroy(clock);
}

Test(clock, run_is_bounded)
{
    struct clock *clock = clock_create_manual();
    struct probe probe;
    probe_init(&probe, clock);
    probe.again = true;
    clock_arm(clock, &probe.timer, 0);
    clock_run(clock);
    cr_expect_eq(probe.count, 1, "armed for now again: waits for the next run");
    clock_destroy(clock);
}

Test(clock, heap_orders_random_timers)
{
    enum { COUNT = 300 };
    static struct probe probes[COUNT];
    struct clock *clock = clock_create_manual();
    unsigned seed = 4711;

    for (unsigned i = 0; i < COUNT; i++) {
        probe_init(&probes[i], clock);
        clock_arm(clock, &probes[i].timer, (unsigned)rand_r(&seed) % 1000);
    }
    for (unsigned i = 0; i < COUNT; i += 3)
        clock_cancel(clock, &probes[i].timer);
    uint64_t deadlines[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % 3 == 1)
            clock_arm(clock, &probes[i].timer, (unsigned)rand_r(&seed) % 1000);
        deadlines[i] = probes[i].timer.deadline;
    }
    clock_step(clock, 1000);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_expect_eq(probes[i].count, i % 3 ? 1 : 0);
        if (i % 3)
            cr_expect_eq(probes[i].fired_at, deadlines[i]);
    }
    clock_destroy(clock);
}

static void catch_up_other(void *opaque)
{
    struct probe *other = opaque;
    uint64_t now = clock_catch_up(other->clock, &other->timer);
    cr_expect_eq(now, clock_now(other->clock));
    clock_catch_up(other->clock, &other->timer);
}

Test(clock, catch_up_fires_what_is_due)
{
    struct clock *clock = clock_create_manual();
    struct probe probe;
    struct clock_timer first;
    probe_init(&probe, clock);
    clock_timer_init(&first, catch_up_other, &probe);
    clock_arm(clock, &first, 99);
    clock_arm(clock, &probe.timer, 100);
    clock_step(clock, 99);
    cr_expect_eq(probe.count, 0, "not due yet");
    clock_arm(clock, &first, 100);
    clock_arm(clock, &probe.timer, 50);
    clock_catch_up(clock, &probe.timer);
    cr_expect_eq(probe.count, 1);
    cr_expect_eq(probe.timer.deadline, CLOCK_NEVER);
    clock_step(clock, 1);
    cr_expect_eq(probe.count, 1);
    clock_destroy(clock);
}

static void count_earlier(void *opaque)
{
    ++*(unsigned *)opaque;
}

Test(clock, tells_of_earlier_deadlines)
{
    struct clock *clock = clock_create_manual();
    struct probe a, b;
    unsigned calls = 0;
    probe_init(&a, clock);
    probe_init(&b, clock);
    clock_on_earlier(clock, count_earlier, &calls);
    clock_arm(clock, &a.timer, 100);
    cr_expect_eq(calls, 1);
    clock_arm(clock, &b.timer, 200);
    cr_expect_eq(calls, 1);
    clock_arm(clock, &b.timer, 50);
    cr_expect_eq(calls, 2);
    clock_destroy(clock);
}

Test(clock, host_clock_stands_until_started)
{
    struct clock *clock = clock_create_host();
    cr_expect_eq(clock_now(clock), 0);
    clock_start(clock);
    while (!clock_now(clock))
        ;
    clock_stop(clock);
    uint64_t stopped = clock_now(clock);
    cr_expect_gt(stopped, 0);
    cr_expect_eq(clock_now(clock), stopped);
    clock_start(clock);
    cr_expect_geq(clock_now(clock), stopped);
    clock_destroy(clock);
}

Test(clock, next_tick)
{
    /* 3 ticks in 100 us: at 33334, 66667, 100000, 133334. */
    cr_expect_eq(clock_next_tick(0, 100000, 3, 0), 33334);
    cr_expect_eq(clock_next_tick(0, 100000, 3, 33333), 33334);
    cr_expect_eq(clock_next_tick(0, 100000, 3, 33334), 66667);
    cr_expect_eq(clock_next_tick(0, 100000, 3, 99999), 100000);
    cr_expect_eq(clock_next_tick(7, 100000, 3, 100007), 133341);
    cr_expect_eq(clock_next_tick(500, 20000, 1, 20), 20500, "before the first tick");
    /* Denser than the host serves. */
    cr_expect_eq(clock_next_tick(0, 7, 1, 0), 10003);
    for (uint64_t now = 0; now < 100000; now += 7) {
        uint64_t next = clock_next_tick(0, 1, 3, now);
        cr_expect(next > now && next <= now + CLOCK_MIN_INTERVAL + 1);
    }
}
