#include "cosim/replay.h"

#include "base/bits.h"
#include "cpu/state.h"

#include <stdio.h>

void replay_start(struct replay *replay)
{
    replay->count = replay->next = 0;
    replay->failed = false;
}

bool replay_agrees(const struct replay *replay)
{
    return !replay->failed && replay->next == replay->count;
}

void replay_note(struct replay *replay, struct event event)
{
    if (replay->mode != REPLAY_RECORD)
        return;
    if (replay->count < REPLAY_MAX)
        replay->event[replay->count++] = event;
    else
        replay->failed = true;
}

/* ---- The first CPU's interrupt controller: the machine's ---- */

static int record_acknowledge(void *opaque)
{
    struct replay *replay = opaque;
    int vector = replay->intc.ops->acknowledge(replay->intc.opaque);
    replay_note(replay, (struct event){.kind = EVENT_ACKNOWLEDGE, .value = (uint64_t)vector});
    return vector;
}

static uint8_t record_read_cr8(void *opaque)
{
    struct replay *replay = opaque;
    uint8_t value = replay->intc.ops->read_cr8(replay->intc.opaque);
    replay_note(replay, (struct event){.kind = EVENT_READ_CR8, .value = value});
    return value;
}

static void record_write_cr8(void *opaque, uint8_t value)
{
    struct replay *replay = opaque;
    replay->intc.ops->write_cr8(replay->intc.opaque, value);
    replay_note(replay, (struct event){.kind = EVENT_WRITE_CR8, .value = value});
}

static bool record_read_msr(void *opaque, uint32_t index, uint64_t *value)
{
    struct replay *replay = opaque;
    bool exists = replay->intc.ops->read_msr(replay->intc.opaque, index, value);
    replay_note(replay, (struct event){.kind = EVENT_READ_MSR,
                                       .address = index,
                                       .size = exists,
                                       .value = exists ? *value : 0});
    return exists;
}

static bool record_write_msr(void *opaque, uint32_t index, uint64_t value)
{
    struct replay *replay = opaque;
    bool exists = replay->intc.ops->write_msr(replay->intc.opaque, index, value);
    replay_note(
        replay,
        (struct event){.kind = EVENT_WRITE_MSR, .address = index, .size = exists, .value = value});
    return exists;
}

static void record_tsc_moved(void *opaque)
{
    struct replay *replay = opaque;
    if (replay->intc.ops->tsc_moved)
        replay->intc.ops->tsc_moved(replay->intc.opaque);
    replay_note(replay, (struct event){.kind = EVENT_TSC_MOVED});
}

static void record_reset(void *opaque)
{
    struct replay *replay = opaque;
    if (replay->intc.ops->reset)
        replay->intc.ops->reset(replay->intc.opaque);
    replay_note(replay, (struct event){.kind = EVENT_RESET});
}

const struct intc_ops replay_recorder = {
    .acknowledge = record_acknowledge,
    .read_cr8 = record_read_cr8,
    .write_cr8 = record_write_cr8,
    .read_msr = record_read_msr,
    .write_msr = record_write_msr,
    .tsc_moved = record_tsc_moved,
    .reset = record_reset,
};

/* ---- The second CPU's: the log ---- */

static const struct event *fail(struct replay *replay, struct event asked)
{
    if (!replay->failed)
        replay->asked = asked;
    replay->failed = true;
    return NULL;
}

/* Instructions that the first CPU may have to catch up. */
#define CATCH_UP_MAX 128

static bool has_next(struct replay *replay)
{
    for (unsigned i = 0; replay->next == replay->count; i++) {
        if (i == CATCH_UP_MAX || !replay->catch_up(replay->opaque))
            return false;
    }
    return true;
}

/* The next event, if it is of this kind and concerns this address. */
static const struct event *expect(struct replay *replay, struct event asked)
{
    const struct event *event = &replay->event[replay->next];
    if (replay->mode != REPLAY_PLAY)
        return NULL; /* a reset from outside */
    if (!has_next(replay) || event->kind != asked.kind || event->address != asked.address)
        return fail(replay, asked);
    replay->next++;
    return event;
}

static int play_acknowledge(void *opaque)
{
    const struct event *event = expect(opaque, (struct event){.kind = EVENT_ACKNOWLEDGE});
    return event ? (int)event->value : -1;
}

static uint8_t play_read_cr8(void *opaque)
{
    const struct event *event = expect(opaque, (struct event){.kind = EVENT_READ_CR8});
    return event ? (uint8_t)event->value : 0;
}

static void play_write_cr8(void *opaque, uint8_t value)
{
    const struct event asked = {.kind = EVENT_WRITE_CR8, .value = value};
    const struct event *event = expect(opaque, asked);
    if (event && event->value != value)
        fail(opaque, asked);
}

static bool play_read_msr(void *opaque, uint32_t index, uint64_t *value)
{
    const struct event *event =
        expect(opaque, (struct event){.kind = EVENT_READ_MSR, .address = index});
    if (!event || !event->size)
        return false;
    *value = event->value;
    return true;
}

static bool play_write_msr(void *opaque, uint32_t index, uint64_t value)
{
    const struct event asked = {.kind = EVENT_WRITE_MSR, .address = index, .value = value};
    const struct event *event = expect(opaque, asked);
    if (event && event->value != value)
        fail(opaque, asked);
    return event && event->size;
}

static void play_tsc_moved(void *opaque)
{
    expect(opaque, (struct event){.kind = EVENT_TSC_MOVED});
}

static void play_reset(void *opaque)
{
    expect(opaque, (struct event){.kind = EVENT_RESET});
}

const struct intc_ops replay_player = {
    .acknowledge = play_acknowledge,
    .read_cr8 = play_read_cr8,
    .write_cr8 = play_write_cr8,
    .read_msr = play_read_msr,
    .write_msr = play_write_msr,
    .tsc_moved = play_tsc_moved,
    .reset = play_reset,
};

/* ---- The second CPU's devices: the bus splits accesses as it does for any device, so that the log
 * may answer one in parts. ---- */

static const struct event *expect_part(struct replay *replay, struct event asked)
{
    const struct event *event = &replay->event[replay->next];
    bool known = has_next(replay);
    uint64_t skip = asked.address - event->address;
    replay->cpu->leave = 1;
    if (!known || event->kind != asked.kind || event->space != asked.space || skip >= event->size ||
        asked.size > event->size - skip)
        return fail(replay, asked);
    if (skip + asked.size == event->size)
        replay->next++;
    return event;
}

static uint64_t play_read(struct replay *replay, enum bus_space space, uint64_t address,
                          unsigned size)
{
    const struct event asked = {EVENT_READ, space, size, address, 0};
    const struct event *event = expect_part(replay, asked);
    return event ? event->value >> 8 * (address - event->address) : ~0ull;
}

static void play_write(struct replay *replay, enum bus_space space, uint64_t address,
                       uint64_t value, unsigned size)
{
    const struct event asked = {EVENT_WRITE, space, size, address, value};
    const struct event *event = expect_part(replay, asked);
    if (event && (event->value >> 8 * (address - event->address) ^ value) & bytes_mask(size))
        fail(replay, asked);
}

static uint64_t read_port(void *device, uint64_t offset, unsigned size)
{
    return play_read(device, BUS_PORT, offset, size);
}

static void write_port(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    play_write(device, BUS_PORT, offset, value, size);
}

static uint64_t read_mmio(void *device, uint64_t offset, unsigned size)
{
    return play_read(device, BUS_MMIO, offset, size);
}

static void write_mmio(void *device, uint64_t offset, uint64_t value, unsigned size)
{
    play_write(device, BUS_MMIO, offset, value, size);
}

bool replay_map(struct replay *replay, struct bus *bus)
{
    static const struct bus_ops ports = {"replay", read_port, write_port, 1, 8};
    static const struct bus_ops mmio = {"replay", read_mmio, write_mmio, 1, 8};
    return bus_map(bus, BUS_PORT, 0, UINT64_MAX, &ports, replay, NULL) &&
           bus_map(bus, BUS_MMIO, 0, UINT64_MAX, &mmio, replay, NULL);
}

void replay_describe(const struct event *event, char *text, size_t size)
{
    static const char *const names[] = {"read",         "write",           "acknowledged interrupt",
                                        "read of CR8",  "write of CR8",    "read of MSR",
                                        "write of MSR", "move of the TSC", "reset"};
    bool bus = event->kind <= EVENT_WRITE;
    snprintf(text, size, "%s%s%s at %#lx size %u value %#lx", names[event->kind], bus ? " of " : "",
             !bus                       ? ""
             : event->space == BUS_PORT ? "port"
                                        : "MMIO",
             (unsigned long)event->address, event->size, (unsigned long)event->value);
}
