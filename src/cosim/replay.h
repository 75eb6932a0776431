/* What the machine tells the first CPU, kept for the second one. Private to cosim/. */
#ifndef DOPPEL_COSIM_REPLAY_H
#define DOPPEL_COSIM_REPLAY_H

#include "bus/bus.h"
#include "bus/intc.h"

#define REPLAY_MAX 1024

enum event_kind {
    EVENT_READ, /* of a device: space, address, size, value */
    EVENT_WRITE,
    EVENT_ACKNOWLEDGE, /* value: vector, or -1 */
    EVENT_READ_CR8,
    EVENT_WRITE_CR8,
    EVENT_READ_MSR, /* address: index; size: whether it exists */
    EVENT_WRITE_MSR,
    EVENT_TSC_MOVED,
    EVENT_RESET,
};

struct event {
    enum event_kind kind;
    enum bus_space space;
    unsigned size;
    uint64_t address, value;
};

struct cpu;

struct replay {
    struct intc intc; /* the machine's */
    struct cpu *cpu;  /* the second one: a device access ends its block */
    /* Runs one more instruction on the first CPU; false: it cannot. */
    bool (*catch_up)(void *opaque);
    void *opaque;
    struct event event[REPLAY_MAX];
    unsigned count, next;
    enum { REPLAY_OFF, REPLAY_RECORD, REPLAY_PLAY } mode; /* PLAY: the second CPU runs */
    bool failed;        /* the second CPU asked for something else, or there was no room */
    struct event asked; /* that */
};

/* Before each block. */
void replay_start(struct replay *replay);
/* Whether the second CPU has asked for all that the first one did, and for nothing else. */
bool replay_agrees(const struct replay *replay);

void replay_note(struct replay *replay, struct event event);

/* The interrupt controllers that the two CPUs see; opaque is the replay. */
extern const struct intc_ops replay_recorder, replay_player;

/* Maps what answers the second CPU's accesses; false where the host has no memory. */
bool replay_map(struct replay *replay, struct bus *bus);

/* In words, for reports. */
void replay_describe(const struct event *event, char *text, size_t size);

#endif
