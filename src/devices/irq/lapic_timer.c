/* The local APIC's timer: SDM vol. 3, 10.5.4. */
#include "devices/irq/lapic_internal.h"

enum timer_mode { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

static enum timer_mode timer_mode(const struct lapic *lapic)
{
    return (enum timer_mode)bits_get(lapic->state.lvt[LVT_TIMER], 17, 2);
}

/* Bits 0, 1 and 3 of the divide configuration: 2, 4, ... 128, 1. */
static uint64_t timer_divider(const struct lapic *lapic)
{
    unsigned code = (lapic->state.divide & 3) | (lapic->state.divide >> 1 & 4);
    return code == 7 ? 1 : 2u << code;
}

/* Makes count_origin the start of the current period; ends a one-shot count that has run out. */
static void timer_settle(struct lapic *lapic, uint64_t now)
{
    struct lapic_state *state = &lapic->state;
    if (!state->counting)
        return;
    uint64_t ticks = (now - state->count_origin) / timer_divider(lapic);
    if (ticks < state->initial_count)
        return;
    if (timer_mode(lapic) == TIMER_PERIODIC)
        state->count_origin += (ticks - ticks % state->initial_count) * timer_divider(lapic);
    else
        state->counting = false;
}

/* Arms the clock's timer for the end of the count. A masked timer counts without. */
static void timer_arm(struct lapic *lapic, uint64_t now)
{
    struct lapic_state *state = &lapic->state;
    uint64_t period = state->initial_count * timer_divider(lapic);

    if (!state->counting || state->lvt[LVT_TIMER] & LVT_MASKED)
        clock_cancel(lapic->config.clock, &lapic->timer);
    else if (timer_mode(lapic) == TIMER_PERIODIC)
        clock_arm(lapic->config.clock, &lapic->timer,
                  clock_next_tick(state->count_origin, period, 1, now));
    else
        clock_arm(lapic->config.clock, &lapic->timer, state->count_origin + period);
}

void lapic_timer_fire(void *opaque)
{
    struct lapic *lapic = opaque;
    uint64_t now = clock_now(lapic->config.clock);

    if (timer_mode(lapic) == TIMER_TSC_DEADLINE) {
        lapic->state.tsc_deadline = 0;
    } else {
        timer_settle(lapic, now);
        timer_arm(lapic, now);
    }
    lapic_deliver_local(lapic, LVT_TIMER);
}

void lapic_timer_write_lvt(struct lapic *lapic, uint32_t value)
{
    struct lapic_state *state = &lapic->state;
    uint64_t now = clock_catch_up(lapic->config.clock, &lapic->timer);
    enum timer_mode old = timer_mode(lapic);

    timer_settle(lapic, now);
    state->lvt[LVT_TIMER] = value;
    if (old != timer_mode(lapic) &&
        (old == TIMER_TSC_DEADLINE || timer_mode(lapic) == TIMER_TSC_DEADLINE)) {
        state->counting = false;
        state->tsc_deadline = 0;
    }
    if (timer_mode(lapic) != TIMER_TSC_DEADLINE || !state->tsc_deadline)
        timer_arm(lapic, now);
}

void lapic_timer_write_initial(struct lapic *lapic, uint32_t value)
{
    uint64_t now = clock_catch_up(lapic->config.clock, &lapic->timer);
    if (timer_mode(lapic) == TIMER_TSC_DEADLINE)
        return;
    lapic->state.initial_count = value;
    lapic->state.counting = value != 0;
    lapic->state.count_origin = now;
    timer_arm(lapic, now);
}

void lapic_timer_write_divide(struct lapic *lapic, uint32_t value)
{
    uint64_t now = clock_catch_up(lapic->config.clock, &lapic->timer);
    timer_settle(lapic, now);
    uint64_t ticks = (now - lapic->state.count_origin) / timer_divider(lapic);
    lapic->state.divide = value & 0xb;
    if (!lapic->state.counting)
        return;
    lapic->state.count_origin = now - ticks * timer_divider(lapic);
    timer_arm(lapic, now);
}

uint32_t lapic_timer_current(struct lapic *lapic)
{
    uint64_t now = clock_now(lapic->config.clock);
    timer_settle(lapic, now);
    if (!lapic->state.counting)
        return 0;
    uint64_t ticks = (now - lapic->state.count_origin) / timer_divider(lapic);
    return lapic->state.initial_count - (uint32_t)ticks;
}

/* The TSC is read first, so that the timer is never early. */
static void timer_arm_deadline(struct lapic *lapic)
{
    uint64_t tsc = lapic->config.tsc(lapic->config.cpu);
    uint64_t now = clock_now(lapic->config.clock);
    uint64_t deadline = lapic->state.tsc_deadline;
    uint64_t left = deadline > tsc ? deadline - tsc : 0;

    if (!deadline || left >= CLOCK_NEVER - now) /* 0 disarms; 584 years are never */
        clock_cancel(lapic->config.clock, &lapic->timer);
    else
        clock_arm(lapic->config.clock, &lapic->timer, now + left);
}

void lapic_timer_rearm_deadline(struct lapic *lapic)
{
    clock_catch_up(lapic->config.clock, &lapic->timer);
    if (lapic->state.tsc_deadline)
        timer_arm_deadline(lapic);
}

void lapic_timer_write_deadline(struct lapic *lapic, uint64_t value)
{
    if (timer_mode(lapic) != TIMER_TSC_DEADLINE)
        return;
    clock_catch_up(lapic->config.clock, &lapic->timer);
    lapic->state.tsc_deadline = value;
    timer_arm_deadline(lapic);
}
