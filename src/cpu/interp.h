/* The interpreter's inside: decoded blocks and handlers. cpu.h is what other rooms call. */
#ifndef DOPPEL_CPU_INTERP_H
#define DOPPEL_CPU_INTERP_H

#include "cpu/state.h"
#include "decoder/decoder.h"

struct interp_insn;

/* Executes one instruction. At entry cpu->rip is its address and cpu->next_rip the next one's; a
 * branch writes next_rip. Sets cpu->leave where the block must not go on: what it is keyed by
 * (mode, mappings, its own bytes) or whether interrupts are taken may have changed, or it wrote
 * next_rip without being marked DEC_ATTR_BRANCH. Raises faults before changing any guest state
 * (cpu/exception.h). */
typedef void interp_handler(struct cpu *cpu, const struct interp_insn *in);

struct interp_insn {
    interp_handler *handler;
    const void *code; /* the handler's own: host code that runs the instruction (cpu/stub.h) */
    uint16_t offset;  /* of its first byte in its page */
    struct dec_insn insn;
};

/* Each family's handler for an instruction in a given mode word, or NULL where it is not the
 * family's. Gates by class (mode word, CPUID) are checked before and are not the family's care. */
interp_handler *interp_select_integer(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_system(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_x87(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_vector(const struct dec_insn *insn, uint32_t mode);
interp_handler *interp_select_state(const struct dec_insn *insn, uint32_t mode);

/* Whether the handler that the family selected runs host code. */
bool vector_needs_code(const struct dec_insn *insn);
bool x87_needs_code(const struct dec_insn *insn);

/* Finds or generates the host code that in->handler runs, if any, in cpu->stubs and sets in->code;
 * insn and handler are set already. False: the memory for such code is full. Then the caller drops
 * every decoded block, calls stub_flush() and asks again. */
bool interp_attach_code(struct cpu *cpu, struct interp_insn *in);

/* Creates and destroys cpu->interp. Returns false where memory is short. */
bool interp_init(struct cpu *cpu);
void interp_free(struct cpu *cpu);

/* Ends a repeated string instruction between two iterations: it goes on where it left off. What
 * comes in between finds RF set, so that an instruction breakpoint does not hit again. */
void interp_suspend(struct cpu *cpu);

/* Drops all decoded blocks before the next one runs; sets cpu->leave. vCPU's thread. */
void interp_flush(struct cpu *cpu);

struct blocks *interp_blocks(struct cpu *cpu);

/* Where the last blocks began, newest first, as RIP (CS base not added): for reports. Returns the
 * count. */
#define INTERP_RECENT 32
unsigned interp_recent(const struct cpu *cpu, uint64_t rip[INTERP_RECENT]);

#endif
