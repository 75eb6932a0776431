/* Runs single instructions on the host's processor, in user mode, with any registers.
 *
 * No code is generated around them: a signal handler replaces the whole context that the kernel
 * will return to, the instruction runs, and the trap after it, or its fault, brings the next
 * signal, whose context is the result. So one instruction can run as 64-, 32- or 16-bit code with
 * any value in any register, jump anywhere and fault anyhow.
 *
 * One instance at a time, on the thread that created it. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_NATIVE_H
#define DOPPEL_TESTS_DIFFERENTIAL_NATIVE_H

#include "state.h"

struct native;

/* Maps the areas and takes over the fault signals. NULL with a message on stderr on failure. */
struct native *native_create(void);
void native_destroy(struct native *native);

/* Whether the kernel lets code of this size run. */
bool native_has_mode(const struct native *native, enum dec_mode mode);

/* AREA_SIZE bytes: the data area, writable here throughout. */
uint8_t *native_data(struct native *native);

/* The base of FS in 64-bit mode, which cannot be changed here; GS has base 0. */
uint64_t native_fs_base(const struct native *native);

void native_run(struct native *native, const struct diff_run *run, const struct diff_state *in,
                struct diff_outcome *out);

#endif
