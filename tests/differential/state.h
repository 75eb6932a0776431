/* What an instruction or a program starts from and what it leaves, on the host and in the guest
 * alike. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_STATE_H
#define DOPPEL_TESTS_DIFFERENTIAL_STATE_H

#include "cpu/state.h"

/* What runs: instructions of their own, on one page of code that can be read but not written; or
 * programs on AREA_CODE_SIZE bytes that they may write to. */
enum diff_kind { DIFF_INSNS, DIFF_PROGRAMS };

/* The memory of both sides, at the same linear addresses: code, the data, and a page of data that
 * cannot be written. Around them nothing is mapped. All lies where 32-bit addresses reach. */
#define AREA_CODE 0x50000000ull
#define AREA_CODE_SIZE (4 * PAGE_SIZE)
#define AREA_DATA 0x20000000ull
#define AREA_WRITABLE (2 * PAGE_SIZE)
#define AREA_SIZE (3 * PAGE_SIZE)

/* The user-space selectors of x86-64 Linux, and segments in an LDT of our own. */
#define SELECTOR_CODE64 0x33
#define SELECTOR_CODE32 0x23
#define SELECTOR_DATA 0x2b
#define SELECTOR_LDT(n) ((n) << 3 | 7)
#define GDT_ENTRIES 16

/* The entries of the LDT; those behind LDT_READ_ONLY are for instructions that load or look at
 * them. */
enum ldt_entry {
    LDT_CODE16,      /* flat */
    LDT_WINDOW,      /* based at AREA_DATA, its limit within the area: LDT_WINDOW_LIMIT */
    LDT_STACK16,     /* based there too, all of the area, a 16-bit stack */
    LDT_EXPAND_DOWN, /* valid from LDT_EXPAND_LIMIT + 1 on */
    LDT_READ_ONLY,   /* flat, but for the base that GS gets */
    LDT_EMPTY,
    LDT_ABSENT,         /* data, not present */
    LDT_CODE32,         /* based at AREA_CODE, one page */
    LDT_CODE32_EXECUTE, /* flat, cannot be read */
    LDT_CODE16_ABSENT,
    LDT_CONFORMING_ABSENT, /* Linux makes no others that conform */
    LDT_ENTRIES,
};

#define LDT_WINDOW_LIMIT 0x27fful
#define LDT_EXPAND_LIMIT 0x17fful

/* Outside 64-bit mode FS is the expand-down segment and GS the read-only one, with bases by the
 * state. */
enum layout {
    LAYOUT_FLAT,
    LAYOUT_WINDOW, /* DS and ES are LDT_WINDOW, SS is LDT_STACK16; not in 64-bit mode */
};

/* Registers in the order of their numbers. */
struct diff_state {
    uint64_t gpr[16], rip, rflags;
    uint64_t fs_base, gs_base;
    uint16_t selector[6]; /* of outcomes */
    uint32_t mxcsr;
    bool has_vectors; /* the rest and mxcsr count */
    struct fx_image fx;
    union vec vec[16] __attribute__((aligned(64)));
};

#define OUTCOME_COMPLETED (-1)

struct diff_outcome {
    int vector; /* of the exception, or OUTCOME_COMPLETED */
    uint32_t error;
    uint64_t address; /* page faults: what CR2 holds */
    struct diff_state state;
};

/* How an instruction or a program is run. */
struct diff_run {
    enum dec_mode mode;
    enum layout layout;
    const uint8_t *code; /* of an instruction */
    unsigned length;
    /* Take a single-step trap after it instead of running on: for branches. A repeated string
     * instruction then does one element. */
    bool step;
    bool loads_segments; /* perhaps: they are to be restored after it */
};

#endif
