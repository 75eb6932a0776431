/* The thread that runs a CPU, and how others reach it. */
#ifndef DOPPEL_MACHINE_VCPU_H
#define DOPPEL_MACHINE_VCPU_H

#include "base/error.h"
#include "cosim/cosim.h"
#include "cpu/cpu.h"

#include <pthread.h>

/* Called on the vCPU's thread when cpu_run() has returned for a reason other than a halt. Returns
 * whether to go on running. */
typedef bool vcpu_stopped_fn(void *opaque, enum cpu_exit exit);

/* Called on the vCPU's thread, which holds no lock: before it waits in a halt, so that it wakes for
 * the guest's timers itself. Fires what is due and returns in how many ns the next one is,
 * UINT64_MAX for none. Not waiting: the wait is over, and the timers are another thread's business
 * again. */
typedef uint64_t vcpu_timers_fn(void *opaque, bool waiting);

struct vcpu {
    struct cpu *cpu;     /* not owned */
    struct cosim *cosim; /* what runs it in lockstep with another one, or NULL; likewise */
    vcpu_stopped_fn *stopped;
    vcpu_timers_fn *timers;
    void *opaque;
    pthread_t thread;
    _Atomic int tid;      /* the host's number of it; 0 before it runs */
    pthread_mutex_t lock; /* guards the waits and what follows; taken last, after the bus lock */
    pthread_cond_t work;
    pthread_cond_t rest; /* resting has become true */
    bool held;           /* the CPU is not to run */
    bool resting;        /* nor does it: the thread waits for release, has ended or not begun */
};

void vcpu_init(struct vcpu *vcpu);
void vcpu_free(struct vcpu *vcpu);
/* Before this requests go nowhere. */
void vcpu_attach(struct vcpu *vcpu, struct cpu *cpu, struct cosim *cosim);

bool vcpu_start(struct vcpu *vcpu, vcpu_stopped_fn *stopped, vcpu_timers_fn *timers, void *opaque,
                struct error *error);
/* Waits for the thread's end, which `stopped` decides. */
void vcpu_join(struct vcpu *vcpu);

/* Keeps the CPU from running: from now on if the thread has not started, else when it next leaves
 * the guest, which it does soon. Any thread. */
void vcpu_hold(struct vcpu *vcpu);
/* Waits until the CPU does not run, so that struct cpu can be touched until the release. Any thread
 * but the vCPU's, held, without the bus lock: the vCPU may wait for it. */
void vcpu_wait_held(struct vcpu *vcpu);
void vcpu_release(struct vcpu *vcpu);

/* The pins A20M# and IGNNE#. */
void vcpu_mask_a20(struct vcpu *vcpu, bool masked);
void vcpu_set_ignne(struct vcpu *vcpu, bool asserted);

/* Makes or clears a request and wakes the CPU if it is halted; any thread. */
void vcpu_request(struct vcpu *vcpu, enum cpu_request request, bool on);

/* Has a halted CPU look whether it may go on; any thread. */
void vcpu_wake(struct vcpu *vcpu);

#endif
