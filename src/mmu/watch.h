/* Watchpoints: linear ranges whose loads and stores stop the CPU for a debugger outside the guest
 * (cpu->watches), or trap in the guest, whose debug registers hold them (cpu->breakpoint).
 *
 * Pages with a watchpoint are kept out of the soft TLB, so that every access to them takes the slow
 * path, which looks here; without watchpoints they cost nothing. Instruction fetches, page walks
 * and DMA are not looked at. vCPU's thread, or any while the vCPU is held. */
#ifndef DOPPEL_MMU_WATCH_H
#define DOPPEL_MMU_WATCH_H

#include "base/types.h"

struct cpu;

enum watch_kind {
    WATCH_NONE,
    WATCH_READ = 1,
    WATCH_WRITE = 2,
    WATCH_ACCESS = WATCH_READ | WATCH_WRITE,
    WATCH_PORT = 4, /* a guest's breakpoint on ports; addresses are port numbers */
};

struct watch {
    gva_t first, last;
    enum watch_kind kind;
};

#define WATCH_MAX 64

struct watch_set {
    unsigned count;
    struct watch watch[WATCH_MAX];
    bool hit;           /* since it was last cleared: */
    struct watch which; /* the watchpoint */
    gva_t address;      /* the first byte of it that was touched */
};

/* False where the set is full or the range empty or beyond the end of memory. Adding what is there
 * already changes nothing. */
bool watch_add(struct watch_set *set, gva_t va, uint64_t size, enum watch_kind kind);
void watch_remove(struct watch_set *set, gva_t va, uint64_t size, enum watch_kind kind);

/* Makes the set the CPU's, and flushes its TLB; an empty one or NULL switches watching off. Call it
 * again after each change. */
void watch_install(struct cpu *cpu, struct watch_set *set);

/* After a change of cpu->breakpoint; flushes the TLB. */
void watch_update(struct cpu *cpu);

/* Whether a watchpoint touches the page of va. */
bool watch_in_page(const struct cpu *cpu, gva_t va);

/* Notes an access by the guest. On a hit the CPU leaves its block after the instruction and makes
 * CPU_REQUEST_DEBUG of itself, where the first hit is kept; or CPU_REQUEST_TRAP, where
 * cpu->breakpoints_hit gathers them. */
void watch_access(struct cpu *cpu, gva_t va, unsigned size, enum watch_kind kind);

#endif
