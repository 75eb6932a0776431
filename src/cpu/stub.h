/* Host code that runs one guest instruction on the guest's registers.
 *
 * Vector and x87 results come from the host's own instruction. A stub loads the instruction's
 * register operands from struct cpu into host registers, runs the instruction re-encoded for those
 * (cpu/encode.h) with its memory operand at `buffer`, and stores what it changed. Guest memory is
 * the caller's business: a stub touches only struct cpu and the buffer, and cannot fault or trap.
 *
 * Stubs are made once for each distinct instruction and register choice and live until a flush.
 * All calls are for the vCPU's own thread. */
#ifndef DOPPEL_CPU_STUB_H
#define DOPPEL_CPU_STUB_H

#include "base/error.h"
#include "cpu/state.h"

struct stubs;

/* Runs the instruction. Where it reads MXCSR, cpu->mxcsr must have all exceptions masked, and gets
 * the new flags. Where it is x87, cpu->fx must have no unmasked exception pending. Returns RFLAGS
 * as the instruction left them where it writes status flags; rflags itself is not changed. */
typedef uint64_t stub_fn(struct cpu *cpu, void *buffer);

struct stubs *stubs_create(struct error *error);
void stubs_destroy(struct stubs *stubs);

enum stub_status {
    STUB_OK,
    STUB_FULL,        /* flush, then it works */
    STUB_UNENCODABLE, /* not an instruction for the host */
};

/* The stub for insn, made if it is not there yet. */
enum stub_status stub_get(struct stubs *stubs, const struct dec_insn *insn, stub_fn **fn);

/* Forgets every stub: none may be called any more. */
void stub_flush(struct stubs *stubs);

#endif
