/* Descriptor tables, page tables and a processor state for random code: what a system would have,
 * with random changes. */
#ifndef DOPPEL_TESTS_FUZZ_RANDOM_GUEST_H
#define DOPPEL_TESTS_FUZZ_RANDOM_GUEST_H

#include "cpu/cpu.h"
#include "differential/random.h"

/* Fills the code and data areas. */
void random_guest_memory(struct random *random, struct phys_map *phys);

/* Puts the CPU, fresh from reset, into a random mode with tables for it, at the start of some
 * instruction. */
void random_guest_enter(struct random *random, struct cpu *cpu);

/* Other values in the registers, and on with another instruction in the same mode. */
void random_guest_divert(struct random *random, struct cpu *cpu);

#endif
