/* The decoder and the formatter: pure functions, safe on any thread. */
#ifndef DOPPEL_DECODER_DECODER_H
#define DOPPEL_DECODER_DECODER_H

#include "decoder/catalogue.h"
#include "decoder/insn.h"

/* Decodes the instruction at bytes[0, size). On DEC_OK fills *insn; otherwise *insn is unspecified.
 * Reads nothing outside bytes[0, size). */
enum dec_status dec_decode(const uint8_t *bytes, size_t size, enum dec_mode mode,
                           struct dec_insn *insn);

/* Writes insn in Intel syntax to text[0, size), always terminated; address is the instruction's own
 * and names branch targets and RIP-relative operands. Returns the length it needs, as snprintf. */
size_t dec_format(const struct dec_insn *insn, uint64_t address, char *text, size_t size);

#endif
