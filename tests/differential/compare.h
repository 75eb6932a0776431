/* Compares what the host and the guest have made of an instruction. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_COMPARE_H
#define DOPPEL_TESTS_DIFFERENTIAL_COMPARE_H

#include "decoder/decoder.h"
#include "state.h"

/* Parts of an outcome. */
enum part {
    PART_RIP = 1 << 0,
    PART_GPR = 1 << 1,
    PART_FLAGS = 1 << 2,
    PART_FAULT = 1 << 3, /* vector, error code, the page of CR2 */
    PART_BASES = 1 << 4,
    PART_VEC = 1 << 5,
    PART_MXCSR = 1 << 6,
    PART_X87 = 1 << 7,          /* FCW, FSW, FTW, registers */
    PART_X87_POINTERS = 1 << 8, /* FOP, FIP, FDP */
    PART_MEMORY = 1 << 9,
    PART_MXCSR_PE = 1 << 10, /* MXCSR differs in PE alone */
    PART_CR2 = 1 << 11,      /* differs within the page */
    PART_SELECTORS = 1 << 12,
};

/* The parts that differ and should not: see `deliberate` in compare.c. Memory is that of AREA_SIZE
 * bytes each. */
unsigned compare_outcomes(const struct dec_insn *insn, const struct diff_outcome *host,
                          const struct diff_outcome *guest, const uint8_t *host_memory,
                          const uint8_t *guest_memory);

/* Whether the host changes FDP and FOP with unmasked exceptions alone, as Doppel does: if not, they
 * are not compared. */
bool compare_knows_pointers(void);

/* Prints them to stdout. */
void compare_report(unsigned parts, const struct dec_insn *insn, const struct diff_run *run,
                    const struct diff_state *in, const struct diff_outcome *host,
                    const struct diff_outcome *guest, const uint8_t *host_memory,
                    const uint8_t *guest_memory);

#endif
