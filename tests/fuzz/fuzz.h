/* What a fuzz target needs. A target is one file with LLVMFuzzerTestOneInput; doppel_fuzz() in
 * CMakeLists.txt builds it with driver.c as a plain program, or with libFuzzer. */
#ifndef DOPPEL_TESTS_FUZZ_H
#define DOPPEL_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The target: works on one input and calls fuzz_fail() where something is wrong. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reports a failure of the current input. Returns only under --keep-going. */
__attribute__((format(printf, 1, 2))) void fuzz_fail(const char *format, ...);

#endif
