/* What one instruction starts from and what it leaves, on the host and in the guest alike. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_STATE_H
#define DOPPEL_TESTS_DIFFERENTIAL_STATE_H

#include "cpu/state.h"

/* The memory of both sides, at the same linear addresses: one page of code that can be read but not
 * written, the data, and a page of data that cannot be written. Around them nothing is mapped. All
 * lies where 32-bit addresses reach. */
#define AREA_CODE 0x50000000ull
#define AREA_DATA 0x20000000ull
#define AREA_WRITABLE (2 * PAGE_SIZE)
#define AREA_SIZE (3 * PAGE_SIZE)

/* The user-space selectors of x86-64 Linux; the 16-bit code segment is in an LDT of our own. */
#define SELECTOR_CODE64 0x33
#define SELECTOR_CODE32 0x23
#define SELECTOR_CODE16 0x07
#define SELECTOR_DATA 0x2b

struct diff_state {
    uint64_t gpr[16], rip, rflags;
    bool has_vectors; /* the rest counts */
    uint32_t mxcsr;
    union vec vec[16];
    struct fx_image fx;
};

#define OUTCOME_COMPLETED (-1)

struct diff_outcome {
    int vector; /* of the exception, or OUTCOME_COMPLETED */
    uint32_t error;
    uint64_t address; /* page faults: what CR2 holds */
    struct diff_state state;
};

/* How an instruction is run. */
struct diff_run {
    enum dec_mode mode;
    const uint8_t *code;
    unsigned length;
    /* Take a single-step trap after it instead of running on into a breakpoint: for branches. A
     * repeated string instruction then does one element. */
    bool step;
};

#endif
