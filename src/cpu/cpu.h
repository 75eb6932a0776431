/* A virtual CPU as the machine sees it: create, reset, run, ask. */
#ifndef DOPPEL_CPU_CPU_H
#define DOPPEL_CPU_CPU_H

#include "cpu/model.h"
#include "cpu/state.h"

/* What a CPU is wired to. Nothing is owned. */
struct cpu_config {
    const struct cpu_model *model;
    struct phys_map *phys;
    struct bus *bus;
    struct clock *clock;
    struct intc intc;
    struct irq_line ferr; /* the FERR# pin, high where asserted */
    struct cpu_wake wake;
    struct trace *trace;
    unsigned apic_id;
};

/* NULL with *error set where the host has no memory, or none for generated code. */
struct cpu *cpu_create(const struct cpu_config *config, struct error *error);
void cpu_destroy(struct cpu *cpu);

/* The state after RESET (SDM vol. 3, 9.1). The machine then changes what its boot protocol says and
 * calls cpu_update_mode(). */
void cpu_reset(struct cpu *cpu);

/* The state after INIT: as RESET, but x87, vector registers and most MSRs stay. */
void cpu_init_signal(struct cpu *cpu);

/* Another way to run decoded blocks than by their handlers. The run loop does the rest, and steps
 * where it must. Every cpu_run() begins with start(). run() executes a block for which can_run()
 * says yes, and may go on to others until requests are pending or cpu->leave is set; faults leave
 * it by cpu->fault. */
struct block;
struct cpu_engine {
    void (*start)(struct cpu *cpu);
    bool (*can_run)(struct cpu *cpu, struct block *block);
    void (*run)(struct cpu *cpu, struct block *block);
    void (*destroy)(struct cpu *cpu);
    /* A decoded block goes, or all of them; no translated code is running. Where memory is short a
     * new generation of blocks begins in place of the oldest, whose blocks have gone. */
    void (*block_dropped)(struct cpu *cpu, struct block *block);
    void (*blocks_dropped)(struct cpu *cpu);
    void (*generation_began)(struct cpu *cpu, unsigned generation);
    void (*save_fx)(struct cpu *cpu); /* see cpu_save_fx() */
};

/* While cpu->fx_live is set, the x87 state is the host's and cpu->fx has only FOP, FIP and FDP:
 * whoever looks at the rest during cpu_run(), which C code's own handlers of x87, MMX and XSAVE
 * need not, calls this first. */
static inline void cpu_save_fx(struct cpu *cpu)
{
    if (UNLIKELY(cpu->fx_live))
        cpu->engine->save_fx(cpu);
}

/* Runs until something stops the guest or CPU_REQUEST_EXIT is made. While halted it returns
 * CPU_EXIT_HALT; the caller waits for cpu_has_work(). */
enum cpu_exit cpu_run(struct cpu *cpu);

/* As cpu_run(), but returns CPU_EXIT_BUDGET after at most `turns` turns of the run loop, if nothing
 * else ends it before. A turn is a block, a part of a repeated string instruction, or a fault: its
 * work is bounded, so that the whole run's is, whatever the guest does. For tests and debuggers. */
enum cpu_exit cpu_run_for(struct cpu *cpu, uint64_t turns);

/* One turn without a request that ends it, so that a repeated string instruction goes on to its
 * end; and one instruction, by its handler, that attends to nothing. CPU_EXIT_BUDGET or
 * CPU_EXIT_FAULT where the guest goes on. For lockstep runs. */
enum cpu_exit cpu_run_turn(struct cpu *cpu);
enum cpu_exit cpu_step(struct cpu *cpu);

/* Whether a halted CPU would wake: a request is there that it can take, or MWAIT is over. */
bool cpu_has_work(const struct cpu *cpu);
bool cpu_wakes_by(const struct cpu *cpu, uint32_t requests);

/* Makes or clears a request; any thread. Making one also ends a running block soon. */
void cpu_request(struct cpu *cpu, enum cpu_request request);
void cpu_clear_request(struct cpu *cpu, enum cpu_request request);

/* The A20M# pin: from the next instruction on, bit 20 of physical addresses is masked, or not. Any
 * thread. It is not masked at first, and a reset does not change it. */
void cpu_mask_a20(struct cpu *cpu, bool masked);

/* The IGNNE# pin: without CR0.NE, x87 exceptions are ignored. Any thread. */
void cpu_set_ignne(struct cpu *cpu, bool asserted);

/* Recomputes the mode word and the TLB view from CR0, CR4, EFER, RFLAGS, CPL, CS, SS, XCR0, DR7. */
void cpu_update_mode(struct cpu *cpu);
/* The same where of these only CPL, segments and RFLAGS have changed. */
void cpu_update_level(struct cpu *cpu);

/* Control registers and MSRs with all checks; false means #GP(0). For instructions and tests. */
bool cpu_write_cr0(struct cpu *cpu, uint64_t value);
bool cpu_write_cr3(struct cpu *cpu, uint64_t value);
bool cpu_write_cr4(struct cpu *cpu, uint64_t value);
/* Whether a value is one at all: no reserved bits, no contradictions in itself. */
bool cpu_valid_cr0(uint64_t value);
bool cpu_valid_cr3(const struct cpu *cpu, uint64_t value);
bool cpu_valid_cr4(const struct cpu *cpu, uint64_t value);
/* Reads the PDPTEs that CR3 points to, under PAE paging; false where they are not valid. */
bool cpu_load_pdptes(struct cpu *cpu);
bool cpu_read_msr(struct cpu *cpu, uint32_t index, uint64_t *value);
bool cpu_write_msr(struct cpu *cpu, uint32_t index, uint64_t value);

/* The TSC as RDTSC reads it. */
uint64_t cpu_tsc(const struct cpu *cpu);

/* The guest and its time have been stopped: its paravirtual clock is to say so. While the CPU does
 * not run. */
void cpu_note_stop(struct cpu *cpu);

#endif
