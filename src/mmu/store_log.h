/* Which pages a CPU has stored to, for lockstep runs. */
#ifndef DOPPEL_MMU_STORE_LOG_H
#define DOPPEL_MMU_STORE_LOG_H

#include "base/types.h"

#define STORE_LOG_MAX 64

/* A CPU with a log has no write tags in its TLB, so that every store comes by. */
struct store_log {
    gpa_t page[STORE_LOG_MAX];
    unsigned count;
    bool overflown; /* there are more */
};

/* A store within the page of gpa. */
static inline void store_log_note(struct store_log *log, gpa_t gpa)
{
    gpa_t page = gpa & PAGE_MASK;
    for (unsigned i = log->count; i-- > 0;) {
        if (log->page[i] == page)
            return;
    }
    if (log->count < STORE_LOG_MAX)
        log->page[log->count++] = page;
    else
        log->overflown = true;
}

#endif
