/* Encoding a decoded vector or x87 instruction again, for the host, with registers of our choice.
 *
 * Every register field gets a number of its own, so that decoding the result tells which operand
 * each field names; no table of encodings is needed. */
#ifndef DOPPEL_CPU_ENCODE_H
#define DOPPEL_CPU_ENCODE_H

#include "decoder/decoder.h"

/* The host registers, by encoding field. The memory operand becomes [RSI]. */
enum encode_number {
    ENCODE_REG = 9,   /* ModRM.reg */
    ENCODE_RM = 10,   /* ModRM.rm */
    ENCODE_VVVV = 11, /* VEX.vvvv */
    ENCODE_IS4 = 12,  /* the register in an immediate's upper half */
    ENCODE_BASE = REG_RSI,
};

/* A 64-bit mode instruction that does what another did; its operands are in the same order, of the
 * same kinds and sizes, and name the registers above. MMX registers are numbered modulo 8; x87
 * registers, and those that the opcode implies, are the original's. */
struct encoded {
    uint8_t bytes[DEC_MAX_LENGTH];
    uint8_t length;
    struct dec_insn insn;
};

/* False where that is not possible: no form that the host has in 64-bit mode, or VSIB addressing.
 */
bool encode_for_host(const struct dec_insn *insn, struct encoded *out);

#endif
