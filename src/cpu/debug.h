/* What a debugger outside the guest asks of a CPU: to stop at breakpoints, after an instruction, or
 * on an access to watched memory. Guest memory is not changed, and the guest's own debug registers
 * are independent of it.
 *
 * cpu_run() returns CPU_EXIT_DEBUG and leaves the reason in `stop`. Everything here is for the
 * vCPU's thread, or any while the vCPU is held (machine/vcpu.h). */
#ifndef DOPPEL_CPU_DEBUG_H
#define DOPPEL_CPU_DEBUG_H

#include "base/types.h"
#include "mmu/watch.h"

struct cpu;

enum debug_stop { DEBUG_STOP_NONE, DEBUG_STOP_STEP, DEBUG_STOP_BREAK, DEBUG_STOP_WATCH };

#define DEBUG_BREAKPOINTS_MAX 256

struct debug_breakpoint {
    gva_t va; /* linear */
    unsigned kinds;
};

/* Attached as cpu->debug, which does not own it. */
struct debug {
    unsigned count;
    struct debug_breakpoint breakpoint[DEBUG_BREAKPOINTS_MAX]; /* in no order */
    struct watch_set watches;
    bool stepping;
    enum debug_stop stop;
};

/* kind is a bit of the debugger's own choice: a breakpoint stays until all its kinds are removed.
 * False where there are too many. */
bool debug_add_breakpoint(struct debug *debug, gva_t va, unsigned kind);
void debug_remove_breakpoint(struct debug *debug, gva_t va, unsigned kind);
/* The kinds at va, 0 for none. */
unsigned debug_breakpoint_kinds(const struct debug *debug, gva_t va);

/* Whether an instruction that begins in [va, va + size) has a breakpoint. */
bool debug_breaks_in(const struct debug *debug, gva_t va, unsigned size);

void debug_attach(struct cpu *cpu, struct debug *debug);
/* Takes everything back. */
void debug_detach(struct cpu *cpu);

/* What the next cpu_run() does: one instruction, or whatever comes. During a step breakpoints do
 * not count and interrupts wait, unless the CPU is halted; an exception ends it at its handler. A
 * repeated string instruction may take several steps where something is due meanwhile. */
void debug_go(struct cpu *cpu, bool step);

#endif
