/* A lockstep run's inside. Private to cosim/. */
#ifndef DOPPEL_COSIM_STATE_H
#define DOPPEL_COSIM_STATE_H

#include "bus/clock.h"
#include "cosim/cosim.h"
#include "cosim/replay.h"
#include "mmu/phys.h"
#include "mmu/store_log.h"

#define STATUS_FLAGS 6

/* Since when a status flag differs between the CPUs: it is dead, or will make them differ. */
struct stale_flag {
    uint64_t since; /* turn; 0: it does not */
    uint64_t rip;   /* where the block that made it so began */
};

struct cosim {
    struct cpu *a, *b; /* the interpreter's, with the machine; the translator's, with the log */
    struct phys_map *phys;
    struct bus *bus;
    struct clock *clock; /* that both CPUs see: it stands while they run */
    const struct clock *machine_clock;
    struct store_log stores; /* the first CPU's */
    struct replay replay;

    /* Pins, and requests not yet given to the CPUs; any thread. */
    _Atomic uint32_t requests;
    _Atomic bool a20_masked, ignne;

    uint64_t turns, next_sweep;
    struct {
        uint64_t gpr[16], rip, rflags;
    } start;          /* of the turn */
    uint64_t line;    /* where the block began: behind an interrupt that was taken */
    uint64_t counted; /* instructions of the first CPU before the turn */
    struct stale_flag stale[STATUS_FLAGS];
    bool event; /* an exception or interrupt was delivered in this turn */

    enum cpu_exit exit[2];
    const char *difference; /* what, or NULL */
    gpa_t differs_at;       /* in memory; NOWHERE: not there */
};

#define NOWHERE UINT64_MAX

/* Status flags in the order of cosim.stale. */
static const uint32_t status_flags[STATUS_FLAGS] = {FLAG_CF, FLAG_PF, FLAG_AF,
                                                    FLAG_ZF, FLAG_SF, FLAG_OF};

#endif
