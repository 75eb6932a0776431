/* Intel's data sheet 231164. */
#include "devices/timer/i8254.h"

#include "base/bits.h"

#include <stdlib.h>

enum access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

/* Counting is the time since `start`: the tick at which the counter took `count`. */
struct counter {
    uint8_t control; /* access 4-5, mode 1-3, BCD 0: as the status byte has them */
    uint32_t reload; /* the count written last, 1 to 0x10000 */
    uint32_t count;  /* the count in effect */
    uint64_t start;
    bool counting;       /* a count was loaded; in modes 1 and 5: triggered */
    bool untaken;        /* modes 1 and 5: `reload` awaits the trigger */
    bool gate;           /* the input */
    uint64_t held;       /* ticks since start when the gate stopped the counter */
    bool next_pending;   /* modes 2 and 3: at tick next_at `reload` takes effect ... */
    uint64_t next_at;    /* ... as if ... */
    uint64_t next_start; /* ... loaded at this tick */
    uint8_t low_byte;    /* the first byte of a count written in two */
    bool write_high;     /* the second byte comes next */
    bool read_high;      /* likewise for reads */
    bool count_latched, status_latched;
    uint16_t latched_count;
    uint8_t latched_status;
};

struct i8254 {
    struct i8254_config config;
    struct clock_timer timer;
    struct counter counters[3];
    uint8_t speaker; /* port 0x61's bits 0-3 */
    bool replaced;
};

static uint64_t tick_at(uint64_t ns)
{
    return clock_scale(ns, I8254_HZ, NS_PER_SECOND);
}

static uint64_t tick_to_ns(uint64_t tick)
{
    return (uint64_t)(((unsigned __int128)tick * NS_PER_SECOND + I8254_HZ - 1) / I8254_HZ);
}

/* 0 to 5: modes 2 and 3 have two encodings each. */
static unsigned counter_mode(const struct counter *counter)
{
    unsigned mode = counter->control >> 1 & 7;
    return mode > 5 ? mode - 4 : mode;
}

static bool counter_is_periodic(const struct counter *counter)
{
    return counter_mode(counter) == 2 || counter_mode(counter) == 3;
}

/* Modes 1 and 5: the gate's rising edge starts, its level means nothing. */
static bool counter_is_triggered(const struct counter *counter)
{
    return counter_mode(counter) == 1 || counter_mode(counter) == 5;
}

/* Lets a count that was written meanwhile take effect. */
static void counter_settle(struct counter *counter, uint64_t tick)
{
    if (!counter->next_pending || tick < counter->next_at)
        return;
    counter->next_pending = false;
    counter->count = counter->reload;
    counter->start = counter->next_start;
}

static uint64_t counter_elapsed(const struct counter *counter, uint64_t tick)
{
    if (!counter->gate && !counter_is_triggered(counter))
        return counter->held;
    return (int64_t)(tick - counter->start) < 0 ? 0 : tick - counter->start;
}

static bool counter_output(const struct counter *counter, uint64_t tick)
{
    uint64_t elapsed = counter_elapsed(counter, tick);
    bool loaded = (int64_t)(tick - counter->start) >= 0;

    if (!counter->counting)
        return counter_mode(counter) != 0;
    switch (counter_mode(counter)) {
    case 0:
        return elapsed >= counter->count;
    case 1:
        return !loaded || elapsed >= counter->count;
    case 2:
        return !counter->gate || elapsed % counter->count != counter->count - 1;
    case 3:
        return !counter->gate || elapsed % counter->count < (counter->count + 1) / 2;
    default:
        return elapsed != counter->count;
    }
}

/* Mode 3 counts by two, twice a period; an odd count by one and by three where a half begins. */
static uint32_t square_wave_count(const struct counter *counter, uint64_t elapsed)
{
    uint32_t count = counter->count, high = (count + 1) / 2;
    uint32_t phase = (uint32_t)(elapsed % count);
    bool second = phase >= high;

    if (second)
        phase -= high;
    if (!phase || !(count & 1))
        return count - 2 * phase;
    return second ? count - 1 - 2 * phase : count + 1 - 2 * phase;
}

/* The counting element as a guest reads it. */
static uint16_t counter_value(const struct counter *counter, uint64_t tick)
{
    bool bcd = counter->control & 1;
    uint32_t modulus = bcd ? 10000 : 0x10000;
    uint64_t elapsed = counter_elapsed(counter, tick);
    uint32_t value;

    if (counter_mode(counter) == 2)
        value = counter->count - (uint32_t)(elapsed % counter->count);
    else if (counter_mode(counter) == 3)
        value = square_wave_count(counter, elapsed);
    else /* goes on below zero; a modulus more keeps it positive */
        value = counter->count % modulus + modulus - (uint32_t)(elapsed % modulus);
    value %= modulus;
    if (!bcd)
        return (uint16_t)value;
    return (uint16_t)(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
                      value % 10);
}

/* The first of tick, tick + step, tick + 2 * step, ... after `after`. */
static uint64_t next_multiple(uint64_t tick, uint32_t step, uint64_t after)
{
    if ((int64_t)(after - tick) < 0)
        return tick;
    return tick + ((after - tick) / step + 1) * step;
}

/* The tick after `tick` at which the output rises, or CLOCK_NEVER. */
static uint64_t counter_next_rise(const struct counter *counter, uint64_t tick)
{
    uint64_t rise = counter->start + counter->count;

    if (!counter->counting || (!counter->gate && !counter_is_triggered(counter)))
        return CLOCK_NEVER;
    if (!counter_is_periodic(counter)) {
        if (counter_mode(counter) >= 4)
            rise++;
        return rise > tick ? rise : CLOCK_NEVER;
    }
    if (counter->count * (NS_PER_SECOND / I8254_HZ) < CLOCK_MIN_INTERVAL)
        tick += CLOCK_MIN_INTERVAL / (NS_PER_SECOND / I8254_HZ);
    rise = next_multiple(rise, counter->count, tick);
    if (counter->next_pending && rise > counter->next_at)
        rise = next_multiple(counter->next_start + counter->reload, counter->reload, tick);
    return rise;
}

/* Sets IRQ 0 to counter 0's output and waits for its next rise. */
static void pit_update(struct i8254 *pit, uint64_t tick)
{
    struct counter *counter = &pit->counters[0];
    counter_settle(counter, tick);
    uint64_t rise = counter_next_rise(counter, tick);

    if (!pit->replaced)
        irq_set(&pit->config.irq, counter_output(counter, tick));
    clock_arm(pit->config.clock, &pit->timer,
              pit->replaced || rise == CLOCK_NEVER ? CLOCK_NEVER : tick_to_ns(rise));
}

/* The output rises, or rose a while ago. That it fell before is made up for here: nothing that the
 * guest sees depends on when. */
static void pit_fire(void *opaque)
{
    struct i8254 *pit = opaque;
    irq_set(&pit->config.irq, false);
    irq_set(&pit->config.irq, true);
    pit_update(pit, tick_at(clock_now(pit->config.clock)));
}

static void counter_load(struct counter *counter, uint64_t tick)
{
    counter->count = counter->reload;
    counter->start = tick + 1; /* by the next clock pulse */
    counter->held = 0;
    counter->counting = true;
    counter->untaken = false;
    counter->next_pending = false;
}

/* A new count in modes 2 and 3 ends the current period, in mode 3 half a period, first. */
static void counter_load_next(struct counter *counter, uint64_t tick)
{
    uint64_t elapsed = counter_elapsed(counter, tick);
    uint64_t begin = counter->start + elapsed - elapsed % counter->count;
    uint64_t half = begin + (counter->count + 1) / 2;

    counter->next_pending = true;
    counter->next_at = begin + counter->count;
    counter->next_start = counter->next_at;
    if (counter_mode(counter) == 3 && tick < half) {
        counter->next_at = half;
        counter->next_start = half - (counter->reload + 1) / 2;
    }
}

static void counter_write_count(struct counter *counter, uint16_t value, uint64_t tick)
{
    uint32_t count = value;
    if (counter->control & 1)
        count = (value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u +
                (value & 15);
    if (!count)
        count = counter->control & 1 ? 10000 : 0x10000;

    counter_settle(counter, tick);
    counter->reload = count;
    if (counter_is_triggered(counter))
        counter->untaken = true;
    else if (counter_is_periodic(counter) && counter->counting && counter->gate)
        counter_load_next(counter, tick);
    else
        counter_load(counter, tick);
}

static void counter_write(struct counter *counter, uint8_t value, uint64_t tick)
{
    switch ((enum access)bits_get(counter->control, 4, 2)) {
    case ACCESS_LATCH: /* no control word yet */
        break;
    case ACCESS_LOW:
        counter_write_count(counter, value, tick);
        break;
    case ACCESS_HIGH:
        counter_write_count(counter, (uint16_t)(value << 8), tick);
        break;
    case ACCESS_BOTH:
        if (counter->write_high) {
            counter_write_count(counter, (uint16_t)(value << 8 | counter->low_byte), tick);
        } else {
            counter->low_byte = value;
            if (counter_mode(counter) == 0)
                counter->counting = false; /* the first byte stops the count */
        }
        counter->write_high = !counter->write_high;
        break;
    }
}

static void counter_latch_count(struct counter *counter, uint64_t tick)
{
    if (counter->count_latched)
        return;
    counter->latched_count = counter_value(counter, tick);
    counter->count_latched = true;
}

static void counter_latch_status(struct counter *counter, uint64_t tick)
{
    if (counter->status_latched)
        return;
    bool null_count = !counter->counting || counter->untaken || counter->next_pending ||
                      (int64_t)(tick - counter->start) < 0;
    counter->latched_status =
        (uint8_t)(counter_output(counter, tick) << 7 | null_count << 6 | counter->control);
    counter->status_latched = true;
}

static uint8_t counter_read(struct counter *counter, uint64_t tick)
{
    if (counter->status_latched) {
        counter->status_latched = false;
        return counter->latched_status;
    }
    enum access access = (enum access)bits_get(counter->control, 4, 2);
    uint16_t value = counter->count_latched ? counter->latched_count : counter_value(counter, tick);
    bool high = access == ACCESS_HIGH || (access == ACCESS_BOTH && counter->read_high);

    if (access == ACCESS_BOTH)
        counter->read_high = !counter->read_high;
    if (access != ACCESS_BOTH || high)
        counter->count_latched = false;
    return (uint8_t)(high ? value >> 8 : value);
}

static void pit_write_read_back(struct i8254 *pit, uint8_t value, uint64_t tick)
{
    for (unsigned i = 0; i < 3; i++) {
        if (!(value >> (i + 1) & 1))
            continue;
        if (!(value & 0x20))
            counter_latch_count(&pit->counters[i], tick);
        if (!(value & 0x10))
            counter_latch_status(&pit->counters[i], tick);
    }
}

static void pit_write_control(struct i8254 *pit, uint8_t value, uint64_t tick)
{
    unsigned index = value >> 6;
    if (index == 3) {
        pit_write_read_back(pit, value, tick);
        return;
    }
    struct counter *counter = &pit->counters[index];
    if (bits_get(value, 4, 2) == ACCESS_LATCH) {
        counter_latch_count(counter, tick);
        return;
    }
    counter->control = value & 0x3f;
    counter->counting = false;
    counter->untaken = false;
    counter->next_pending = false;
    counter->write_high = false;
    counter->read_high = false;
    counter->count_latched = false;
    counter->status_latched = false;
}

static void counter_set_gate(struct counter *counter, bool gate, uint64_t tick)
{
    counter_settle(counter, tick);
    if (gate == counter->gate)
        return;
    uint64_t elapsed = counter_elapsed(counter, tick);
    counter->gate = gate;
    counter->next_pending = false;
    if (!gate)
        counter->held = elapsed;
    else if (counter_is_triggered(counter) ? counter->untaken || counter->counting
                                           : counter_is_periodic(counter) && counter->counting)
        counter_load(counter, tick);
    else if (!counter_is_triggered(counter))
        counter->start = tick - elapsed;
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = tick_at(clock_now(pit->config.clock));
    (void)size;
    if (offset >= 3)
        return 0xff; /* the control word cannot be read */
    counter_settle(&pit->counters[offset], tick);
    return counter_read(&pit->counters[offset], tick);
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = tick_at(clock_catch_up(pit->config.clock, &pit->timer));
    (void)size;
    for (unsigned i = 0; i < 3; i++)
        counter_settle(&pit->counters[i], tick);
    if (offset >= 3)
        pit_write_control(pit, (uint8_t)value, tick);
    else
        counter_write(&pit->counters[offset], (uint8_t)value, tick);
    pit_update(pit, tick);
}

const struct bus_ops i8254_ops = {"8254", pit_read, pit_write, 1, 1};

/* Bit 4 toggles with each memory refresh, which counter 1 asks for every 18 ticks; whatever that is
 * programmed to, systems wait by it. */
static uint64_t speaker_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *pit = opaque;
    uint64_t tick = tick_at(clock_now(pit->config.clock));
    (void)offset;
    (void)size;
    counter_settle(&pit->counters[2], tick);
    return pit->speaker | (tick / 18 & 1) << 4 |
           (unsigned)counter_output(&pit->counters[2], tick) << 5;
}

static void speaker_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *pit = opaque;
    (void)offset;
    (void)size;
    pit->speaker = value & 0xf;
    counter_set_gate(&pit->counters[2], value & 1, tick_at(clock_now(pit->config.clock)));
}

const struct bus_ops i8254_speaker_ops = {"system control port B", speaker_read, speaker_write, 1,
                                          1};

void i8254_set_replaced(void *opaque, unsigned input, bool replaced)
{
    struct i8254 *pit = opaque;
    (void)input;
    if (replaced == pit->replaced)
        return;
    uint64_t now = clock_catch_up(pit->config.clock, &pit->timer);
    pit->replaced = replaced;
    if (replaced)
        irq_set(&pit->config.irq, false);
    pit_update(pit, tick_at(now));
}

/* Undefined on the real chip: here as after a control word of mode 0 without a count. */
void i8254_reset(struct i8254 *pit)
{
    for (unsigned i = 0; i < 3; i++)
        pit->counters[i] = (struct counter){.reload = 0x10000, .count = 0x10000, .gate = i != 2};
    pit->speaker = 0;
    pit_update(pit, tick_at(clock_now(pit->config.clock)));
}

struct i8254 *i8254_create(const struct i8254_config *config)
{
    struct i8254 *pit = calloc(1, sizeof(*pit));
    if (!pit)
        return NULL;
    pit->config = *config;
    clock_timer_init(&pit->timer, pit_fire, pit);
    i8254_reset(pit);
    return pit;
}

void i8254_destroy(struct i8254 *pit)
{
    if (!pit)
        return;
    clock_cancel(pit->config.clock, &pit->timer);
    free(pit);
}
