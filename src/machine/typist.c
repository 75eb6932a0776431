#include "machine/typist.h"

#include "machine/board.h"

static void on_time(void *opaque)
{
    struct typist *typist = opaque;
    if (!typist->count)
        return;
    struct typist_event event = typist->events[typist->head];
    typist->head = (typist->head + 1) % TYPIST_EVENTS;
    typist->count--;
    board_press_key(typist->board, event.key, event.pressed);
    /* The wait after the last one too, for what may be asked for meanwhile. */
    clock_arm(typist->clock, &typist->timer, clock_now(typist->clock) + event.after);
}

void typist_init(struct typist *typist, struct clock *clock, struct board *board)
{
    typist->clock = clock;
    typist->board = board;
    typist->head = typist->count = 0;
    clock_timer_init(&typist->timer, on_time, typist);
}

static void add(struct typist *typist, uint8_t key, bool pressed, uint64_t after)
{
    typist->events[(typist->head + typist->count++) % TYPIST_EVENTS] =
        (struct typist_event){key, pressed, after};
}

bool typist_type(struct typist *typist, const uint8_t *keys, unsigned count, uint64_t ns)
{
    if (2 * (uint64_t)count > TYPIST_EVENTS - typist->count)
        return false;
    for (unsigned i = 0; i < count; i++)
        add(typist, keys[i], true, ns);
    for (unsigned i = count; i-- > 0;)
        add(typist, keys[i], false, ns);
    if (typist->timer.deadline == CLOCK_NEVER)
        clock_arm(typist->clock, &typist->timer, clock_now(typist->clock));
    return true;
}
