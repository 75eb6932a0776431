/* Compares the decoder with Capstone on one instruction. */
#ifndef DOPPEL_TESTS_CAPSTONE_H
#define DOPPEL_TESTS_CAPSTONE_H

#include "decoder/decoder.h"

#include <capstone/capstone.h>

struct oracle {
    csh handle[3]; /* by enum dec_mode */
    cs_insn *insn;
};

struct comparison {
    enum dec_mode mode;
    const uint8_t *bytes;
    size_t size;
    enum dec_status status; /* dec_decode()'s */
    struct dec_insn insn;   /* where status is DEC_OK */
    char ours[192];
    const cs_insn *capstone; /* NULL where Capstone takes the bytes for illegal */
    char theirs[256];        /* Capstone's text */
    bool agree;
    const char *reason; /* why they differ, where that is meant so */
};

/* Returns false where Capstone fails to start. */
bool oracle_open(struct oracle *oracle);
void oracle_close(struct oracle *oracle);

/* Fills *result for the instruction at bytes[0, size), which stands at address 0x1000. The result
 * refers to bytes, and to oracle until its next use. */
void oracle_compare(struct oracle *oracle, const uint8_t *bytes, size_t size, enum dec_mode mode,
                    struct comparison *result);

/* Why the two differ, NULL where there is no reason; what oracle_compare() asks. */
const char *oracle_explain(const struct comparison *result);

/* How many legacy and REX prefixes the bytes start with. */
size_t oracle_prefixes(const struct comparison *result);

/* Whether word is one of the words of a list. */
bool oracle_lists(const char *list, const char *word);

#endif
