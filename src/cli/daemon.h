/* Running in the background, and the file that tells where. */
#ifndef DOPPEL_CLI_DAEMON_H
#define DOPPEL_CLI_DAEMON_H

#include "base/error.h"

struct daemon {
    int ready; /* to the waiting parent; -1: there is none */
};

/* Goes on in a child, in a session of its own, before any thread starts. The parent waits for
 * daemon_ready() and then exits with status 0, or with the child's status where it ends before. */
bool daemon_begin(struct daemon *daemon, struct error *error);
/* All that can fail has not: standard input and output become /dev/null. */
void daemon_ready(struct daemon *daemon);

bool daemon_write_pid(const char *path, struct error *error);

#endif
