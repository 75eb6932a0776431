/* Runs instructions and programs on the host's processor, in user mode, with any registers.
 *
 * Registers are loaded and stored around them by code that needs none
 * (native_enter_state() in native.c); IRETQ enters it, in 64-, 32- or 16-bit code on any segments,
 * and a jump or a signal leaves it. So an instruction can have any value in any register, go
 * anywhere and fault anyhow.
 *
 * One instance at a time, on the thread that created it. */
#ifndef DOPPEL_TESTS_DIFFERENTIAL_NATIVE_H
#define DOPPEL_TESTS_DIFFERENTIAL_NATIVE_H

#include "state.h"

struct native;

/* Maps the areas and takes over the fault signals. NULL with a message on stderr on failure. */
struct native *native_create(enum diff_kind kind);
void native_destroy(struct native *native);

/* Whether the kernel lets code of this size run, and whether its LDT has our segments. */
bool native_has_mode(const struct native *native, enum dec_mode mode);
bool native_has_segments(const struct native *native);

/* AREA_SIZE bytes: the data area, writable here throughout. */
uint8_t *native_data(struct native *native);

/* The state that runs start from, to be filled in. RSP on a 16-bit stack has these upper bits,
 * which IRET does not load. */
struct diff_state *native_state(struct native *native);
#define NATIVE_STACK16_UPPER 0x2e5a0000u

/* Chooses the instruction; run and its code stay the caller's. */
void native_prepare(struct native *native, const struct diff_run *run);

/* Chooses a program, which native_code() and in.rip hold: it must end by a fault. */
void native_prepare_program(struct native *native, const struct diff_run *run);

/* Runs it on the state. The outcome is valid until the next run. */
const struct diff_outcome *native_run(struct native *native);

/* What the code area holds: PAGE_SIZE bytes, of programs AREA_CODE_SIZE. */
uint8_t *native_code(struct native *native);

#endif
