/* The command line of `doppel run`. */
#ifndef DOPPEL_CLI_OPTIONS_H
#define DOPPEL_CLI_OPTIONS_H

#include "base/error.h"
#include "control/control.h"
#include "machine/vm.h"

/* The process's exit statuses; --debug-exit adds the guest's own. */
enum exit_status {
    EXIT_GUEST_DONE = 0, /* powered off, or reset under --no-reboot */
    EXIT_HOST_ERROR = 1, /* usage, files, memory */
    EXIT_GUEST_DIED = 2,
    EXIT_ENGINES_DIFFER = 4, /* even: --debug-exit gives odd ones */
};

struct run_options {
    struct vm_config vm;
    struct control_config control;
    const char *pidfile; /* NULL: none */
    bool daemonize;
    const char *trace_file; /* NULL: standard error */
    bool window;            /* --display sdl */
    bool stats;
    const char *stats_file; /* NULL: standard error, as a table */
    bool help;
};

/* Parses argv[1..]. Strings in *options point into argv; options_free() afterwards, on failure too.
 */
bool options_parse_run(int argc, char **argv, struct run_options *options, struct error *error);

void options_free(struct run_options *options);

/* Whether a guest can have so much memory; option and text are for the message. */
bool options_check_memory(const char *option, const char *text, uint64_t bytes,
                          struct error *error);
/* What cannot be together, whichever command line it came from. */
bool options_check(const struct run_options *options, struct error *error);

/* What `doppel run --help` prints. */
const char *options_run_help(void);

#endif
