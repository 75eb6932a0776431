/* A bare guest CPU with a page of memory, and random states and comparisons for differential
 * tests of instructions that do not touch the integer state. */
#ifndef DOPPEL_TESTS_CPU_VECTOR_GUEST_H
#define DOPPEL_TESTS_CPU_VECTOR_GUEST_H

#include "cpu/interp.h"
#include "cpu/model.h"
#include "cpu/stub.h"
#include "host_run.h"

/* Where the guest's memory is, and the native copy of it: at the same address, so that pointers in
 * registers are equal. */
#define DATA_ADDRESS 0x20000000u
#define DATA_SIZE (2 * PAGE_SIZE)

struct vector_guest {
    struct cpu *cpu;
    struct host_runner *host;
    struct bus *bus;
    struct phys_map *phys;
    struct cpu_model model; /* "host" */
    uint8_t *guest_data, *host_data;
    uint64_t seed; /* the generator's state */
};

/* 64-bit mode, CPL 0, linear addresses are physical ones, everything enabled. DOPPEL_TEST_SEED in
 * the environment makes other random numbers. */
struct vector_guest *vector_guest_create(uint64_t seed);
void vector_guest_destroy(struct vector_guest *guest);

/* Leaves 64-bit mode for 32-bit protected mode. All segments begin at DATA_ADDRESS; their limit is
 * a fault to provoke. */
void enter_32_bit_mode(struct vector_guest *guest, uint32_t limit);

uint64_t random_64(struct vector_guest *guest);

/* Random registers in both: floating-point values of all kinds in the vector registers, RBX and RDI
 * at `pointer` in the data. x87: also a random x87 state, with masked exceptions. */
void randomise(struct vector_guest *guest, uint64_t pointer, bool x87);
void randomise_data(struct vector_guest *guest);

/* A guest exception's vector, or -1. Fills *insn. */
int guest_run(struct vector_guest *guest, const uint8_t *bytes, unsigned length,
              struct dec_insn *insn);

/* Whether guest and host are equal; else says where on stderr, with the instruction. flags: the
 * RFLAGS to compare. */
bool states_equal(struct vector_guest *guest, const uint8_t *bytes, unsigned length,
                  uint64_t flags);

#endif
