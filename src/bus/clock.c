#include "bus/clock.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define NOT_STOPPED UINT64_MAX

struct clock {
    /* Guest time is `stopped_at`, or where that is NOT_STOPPED the host's time less `origin`. */
    _Atomic uint64_t stopped_at;
    _Atomic uint64_t origin;
    bool manual;
    uint64_t epoch; /* of a manual clock */

    struct clock_timer **heap; /* binary, the earliest deadline first */
    unsigned count, capacity;
    clock_earlier_fn *earlier;
    void *earlier_opaque;
};

static uint64_t host_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t clock_epoch(const struct clock *clock)
{
    struct timespec now;
    if (clock->manual)
        return clock->epoch;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec - clock_now(clock);
}

void clock_set_epoch(struct clock *clock, uint64_t epoch)
{
    clock->epoch = epoch;
}

static struct clock *clock_create(bool manual)
{
    struct clock *clock = calloc(1, sizeof(*clock));
    if (clock)
        clock->manual = manual;
    return clock;
}

struct clock *clock_create_host(void)
{
    return clock_create(false);
}

struct clock *clock_create_manual(void)
{
    return clock_create(true);
}

void clock_destroy(struct clock *clock)
{
    if (!clock)
        return;
    free(clock->heap);
    free(clock);
}

/* Reads again where the clock was started or stopped meanwhile by another thread. */
uint64_t clock_now(const struct clock *clock)
{
    for (;;) {
        uint64_t stopped_at = atomic_load(&clock->stopped_at);
        if (stopped_at != NOT_STOPPED)
            return stopped_at;
        uint64_t origin = atomic_load(&clock->origin);
        uint64_t now = host_now() - origin;
        if (LIKELY(atomic_load(&clock->stopped_at) == NOT_STOPPED &&
                   atomic_load(&clock->origin) == origin))
            return now;
    }
}

void clock_start(struct clock *clock)
{
    uint64_t stopped_at = atomic_load(&clock->stopped_at);
    if (clock->manual || stopped_at == NOT_STOPPED)
        return;
    atomic_store(&clock->origin, host_now() - stopped_at);
    atomic_store(&clock->stopped_at, NOT_STOPPED);
    if (clock->earlier && clock->count)
        clock->earlier(clock->earlier_opaque);
}

void clock_stop(struct clock *clock)
{
    atomic_store(&clock->stopped_at, clock_now(clock));
}

bool clock_is_stopped(const struct clock *clock)
{
    return !clock->manual && atomic_load(&clock->stopped_at) != NOT_STOPPED;
}

void clock_timer_init(struct clock_timer *timer, clock_fire_fn *fire, void *opaque)
{
    *timer = (struct clock_timer){.deadline = CLOCK_NEVER, .fire = fire, .opaque = opaque};
}

static void heap_place(struct clock *clock, unsigned slot, struct clock_timer *timer)
{
    clock->heap[slot] = timer;
    timer->slot = slot;
}

/* Moves the timer up or down from the free slot `slot` to where it belongs. */
static void heap_sift(struct clock *clock, unsigned slot, struct clock_timer *timer)
{
    while (slot > 0 && clock->heap[(slot - 1) / 2]->deadline > timer->deadline) {
        heap_place(clock, slot, clock->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    for (;;) {
        unsigned child = 2 * slot + 1;
        if (child >= clock->count)
            break;
        if (child + 1 < clock->count &&
            clock->heap[child + 1]->deadline < clock->heap[child]->deadline)
            child++;
        if (clock->heap[child]->deadline >= timer->deadline)
            break;
        heap_place(clock, slot, clock->heap[child]);
        slot = child;
    }
    heap_place(clock, slot, timer);
}

static void heap_reserve(struct clock *clock)
{
    if (clock->count < clock->capacity)
        return;
    clock->capacity = clock->capacity ? 2 * clock->capacity : 32;
    clock->heap = realloc(clock->heap, clock->capacity * sizeof(struct clock_timer *));
    if (!clock->heap) {
        log_error("the host has no memory for a timer");
        abort();
    }
}

void clock_cancel(struct clock *clock, struct clock_timer *timer)
{
    if (timer->deadline == CLOCK_NEVER)
        return;
    timer->deadline = CLOCK_NEVER;
    struct clock_timer *last = clock->heap[--clock->count];
    if (last != timer)
        heap_sift(clock, timer->slot, last);
}

void clock_arm(struct clock *clock, struct clock_timer *timer, uint64_t deadline)
{
    uint64_t earliest = clock_next_deadline(clock);

    if (deadline == CLOCK_NEVER) {
        clock_cancel(clock, timer);
        return;
    }
    if (timer->deadline == CLOCK_NEVER) {
        heap_reserve(clock);
        timer->slot = clock->count++;
    }
    timer->deadline = deadline;
    heap_sift(clock, timer->slot, timer);
    if (deadline < earliest && clock->earlier)
        clock->earlier(clock->earlier_opaque);
}

static void clock_fire(struct clock *clock, struct clock_timer *timer)
{
    clock_cancel(clock, timer);
    timer->fire(timer->opaque);
}

uint64_t clock_catch_up(struct clock *clock, struct clock_timer *timer)
{
    uint64_t now;
    while (timer->deadline <= (now = clock_now(clock)))
        clock_fire(clock, timer);
    return now;
}

uint64_t clock_next_deadline(const struct clock *clock)
{
    return clock->count ? clock->heap[0]->deadline : CLOCK_NEVER;
}

void clock_run(struct clock *clock)
{
    uint64_t now = clock_now(clock);
    for (unsigned budget = clock->count; budget && clock_next_deadline(clock) <= now; budget--)
        clock_fire(clock, clock->heap[0]);
}

void clock_on_earlier(struct clock *clock, clock_earlier_fn *fn, void *opaque)
{
    clock->earlier = fn;
    clock->earlier_opaque = opaque;
}

void clock_step(struct clock *clock, uint64_t ns)
{
    uint64_t target = clock->stopped_at + ns;
    while (clock_next_deadline(clock) <= target) {
        if (clock_next_deadline(clock) > clock->stopped_at)
            clock->stopped_at = clock_next_deadline(clock);
        clock_fire(clock, clock->heap[0]);
    }
    clock->stopped_at = target;
}
