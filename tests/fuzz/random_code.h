/* Guest code and values that are random, but likely to mean something. */
#ifndef DOPPEL_TESTS_FUZZ_RANDOM_CODE_H
#define DOPPEL_TESTS_FUZZ_RANDOM_CODE_H

#include "decoder/decoder.h"
#include "differential/random.h"

/* Where the guest has what; everything else of its RAM is zero. */
enum random_layout {
    AT_IVT = 0,
    AT_GDT = 0x1000,
    AT_IDT = 0x2000,
    AT_LDT = 0x3000,
    AT_TSS = 0x4000, /* with an I/O bitmap, 8 KiB */
    AT_TSS2 = 0x6000,
    AT_TABLES = 0x8000, /* page tables */
    AT_TABLES_END = 0x10000,
    AT_CODE = 0x10000, /* a page each of 16-, 32- and 64-bit code, and one of all */
    AT_CODE_END = 0x14000,
    AT_DATA = 0x20000,
    AT_STACK = 0x30000,
    AT_STACK_END = 0x40000,
    GUEST_RAM = 0x400000,
};

/* An address of something, or next to it, or at the end of its page. */
uint64_t random_address(struct random *random);

/* An address, a selector, bits of a control register, the number of an MSR, a border of a range, or
 * anything. */
uint64_t random_value(struct random *random);

/* Fills code[0, size) with instructions for the mode. */
void random_code(struct random *random, enum dec_mode mode, uint8_t *code, size_t size);

#endif
