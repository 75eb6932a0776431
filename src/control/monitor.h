/* The monitor: commands for people, a line each, as QEMU's has them. */
#ifndef DOPPEL_CONTROL_MONITOR_H
#define DOPPEL_CONTROL_MONITOR_H

#include "base/types.h"

#define MONITOR_LINE_MAX 4096u
#define MONITOR_PROMPT "(qemu) " /* what scripts wait for */
#define MONITOR_HOLD_MS 100      /* how long a key is down */

struct commands_context;

/* Executes a line. Returns what it says, whose lines end with CR LF, allocated; NULL: no memory. */
char *monitor_execute(struct commands_context *context, const char *line);

/* A session without its connection. */
struct monitor {
    struct commands_context *context;
    void (*write)(void *out, const char *bytes, size_t count);
    void *out;
    bool skipping; /* to the end of a line that is too long */
    size_t length;
    char line[MONITOR_LINE_MAX];
};

/* Greets a new client. */
void monitor_open(struct monitor *monitor);
/* Takes bytes up to a line's end, and executes the line. Returns how many. */
size_t monitor_receive(struct monitor *monitor, const char *bytes, size_t count);

#endif
