/* What tests of devices without a CPU share: a bus, a manual clock and lines that remember. */
#ifndef DOPPEL_TESTS_PROBE_H
#define DOPPEL_TESTS_PROBE_H

#include "bus/bus.h"
#include "bus/clock.h"
#include "bus/irq.h"

#include <criterion/criterion.h>

/* The end of a line. */
struct probe {
    const struct clock *clock; /* may be NULL */
    bool level;
    unsigned rises;
    uint64_t rose_at; /* guest ns of the last rise */
    unsigned input;   /* which the last call named */
};

static inline void probe_set(void *opaque, unsigned input, bool level)
{
    struct probe *probe = opaque;
    if (level && !probe->level) {
        probe->rises++;
        probe->rose_at = probe->clock ? clock_now(probe->clock) : 0;
    }
    probe->level = level;
    probe->input = input;
}

static inline struct irq_line probe_line(struct probe *probe)
{
    return (struct irq_line){probe_set, probe, 0};
}

/* Moves the clock to the guest time ns. */
static inline void run_until(struct clock *clock, uint64_t ns)
{
    clock_step(clock, ns - clock_now(clock));
}

/* Calls fn(NULL) at the guest time ns, before the timers that are armed later for the same time: as
 * a vCPU does that comes to the bus before the thread that runs the timers. */
static inline void call_at(struct clock *clock, struct clock_timer *timer, uint64_t ns,
                           clock_fire_fn *fn)
{
    clock_timer_init(timer, fn, NULL);
    clock_arm(clock, timer, ns);
}

static inline void map(struct bus *bus, enum bus_space space, uint64_t base, uint64_t size,
                       const struct bus_ops *ops, void *device)
{
    const char *other = NULL;
    cr_assert(bus_map(bus, space, base, size, ops, device, &other), "%s overlaps %s", ops->name,
              other);
}

static inline void out8(struct bus *bus, uint16_t port, uint8_t value)
{
    bus_write(bus, BUS_PORT, port, value, 1);
}

static inline uint8_t in8(struct bus *bus, uint16_t port)
{
    return (uint8_t)bus_read(bus, BUS_PORT, port, 1);
}

static inline void out32(struct bus *bus, uint16_t port, uint32_t value)
{
    bus_write(bus, BUS_PORT, port, value, 4);
}

static inline uint32_t in32(struct bus *bus, uint16_t port)
{
    return (uint32_t)bus_read(bus, BUS_PORT, port, 4);
}

static inline void write32(struct bus *bus, uint64_t address, uint32_t value)
{
    bus_write(bus, BUS_MMIO, address, value, 4);
}

static inline uint32_t read32(struct bus *bus, uint64_t address)
{
    return (uint32_t)bus_read(bus, BUS_MMIO, address, 4);
}

#endif
