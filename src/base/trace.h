/* What --trace= shows. Free when off: one test of a mask. A trace belongs to one guest; lines from
 * several threads do not mix (stdio locks each call). */
#ifndef DOPPEL_BASE_TRACE_H
#define DOPPEL_BASE_TRACE_H

#include "base/types.h"

#include <stdio.h>

enum trace_category {
    TRACE_INSN = 1 << 0,
    TRACE_EXCEPTION = 1 << 1,
    TRACE_INTERRUPT = 1 << 2,
    TRACE_PORT = 1 << 3,
    TRACE_MMIO = 1 << 4,
    TRACE_PAGE_FAULT = 1 << 5,
    TRACE_MSR = 1 << 6,
    TRACE_DEVICE = 1 << 7,
};

struct trace {
    uint32_t mask; /* enum trace_category */
    FILE *out;
};

/* Parses "insn,exception,..." ("all" too). False: *bad points to the unknown word. */
bool trace_parse(const char *list, uint32_t *mask, const char **bad);
/* The names trace_parse() knows, separated by commas. */
const char *trace_names(void);

/* A line "category: text". */
void trace_print(struct trace *trace, enum trace_category category, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define TRACE(trace, category, ...)                                                                \
    do {                                                                                           \
        if (UNLIKELY((trace)->mask & (category)))                                                  \
            trace_print(trace, category, __VA_ARGS__);                                             \
    } while (0)

#endif
