/* The terminal on standard input: raw while a guest uses it, and given back whatever happens. */
#ifndef DOPPEL_HOST_TERMINAL_H
#define DOPPEL_HOST_TERMINAL_H

#include "base/error.h"
#include "base/types.h"

/* Puts the terminal fd into raw mode: every key goes to the reader, Ctrl-C and Ctrl-Z included,
 * and a read(2) returns at once, 0 where nothing was typed. One at a time in a process.
 *
 * It is restored by terminal_leave_raw(), by exit(3), and before a signal ends the process: the
 * crashes (SIGSEGV, SIGABRT, ...), then whatever handled them before runs; and SIGTERM, SIGHUP and
 * the like unless the program handles or ignores them itself. A handler for crashes that is
 * installed later goes on to the action it replaced. SIGTSTP stops the process with the terminal
 * restored; when it continues in the foreground the terminal is raw again. Main thread. */
bool terminal_enter_raw(int fd, struct error *error);

/* Restores the terminal if it is raw. Async-signal-safe. */
void terminal_leave_raw(void);

#endif
