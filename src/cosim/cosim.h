/* Lockstep runs: the interpreter and the translator, block by block, each on a CPU with memory of
 * its own. The first CPU has the machine; what it hears from it (device reads, interrupts, time) is
 * logged and replayed to the second one. After each block both must agree (doc/cosim.md).
 *
 * Calls are for the vCPU's thread unless told. */
#ifndef DOPPEL_COSIM_COSIM_H
#define DOPPEL_COSIM_COSIM_H

#include "bus/bus.h"
#include "cpu/cpu.h"
#include "jit/jit.h"

#include <stdio.h>

struct cosim;

/* The first CPU is made from *config, with clock and intc replaced; the second one is its like.
 * config->model must offer neither RDRAND nor RDSEED. config->clock tells the time. NULL with
 * *error set where the host fails. */
struct cosim *cosim_create(const struct cpu_config *config, const struct jit_config *jit,
                           struct error *error);
void cosim_destroy(struct cosim *cosim);

/* The first CPU, which is the machine's. */
struct cpu *cosim_cpu(struct cosim *cosim);

/* Gives the second CPU the state and the memory of the first one: before the first run, and when
 * others than its instructions have changed them. */
void cosim_copy(struct cosim *cosim);

/* As cpu_run(). CPU_EXIT_DIFFERENCE: see cosim_report(); it cannot go on. */
enum cpu_exit cosim_run(struct cosim *cosim);

/* As cpu_has_work(). */
bool cosim_has_work(const struct cosim *cosim);

/* The CPU's pins, for any thread: as cpu_request() and cpu_clear_request(), cpu_mask_a20() and
 * cpu_set_ignne(). They take effect between two blocks. */
void cosim_request(struct cosim *cosim, enum cpu_request request, bool on);
void cosim_mask_a20(struct cosim *cosim, bool masked);
void cosim_set_ignne(struct cosim *cosim, bool asserted);

/* An access of the first CPU to a device: a bus_watch_fn but for `opaque`. */
void cosim_note_access(struct cosim *cosim, enum bus_space space, uint64_t address, uint64_t value,
                       unsigned size, bool write);

/* The blocks compared so far. */
uint64_t cosim_turns(const struct cosim *cosim);

/* What differs, from which state on, and the code of the guest and the host that led there. */
void cosim_report(struct cosim *cosim, FILE *out);

#endif
