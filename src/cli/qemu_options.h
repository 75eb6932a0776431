/* QEMU's command line: what `doppel qemu` understands (doc/control.md). */
#ifndef DOPPEL_CLI_QEMU_OPTIONS_H
#define DOPPEL_CLI_QEMU_OPTIONS_H

#include "cli/options.h"

struct qemu_options {
    struct run_options run;
    bool help, version;
    struct qemu_text *texts; /* what run's strings point into, besides argv */
};

/* Parses argv[1..]; strings may point into it. What is not known, or not offered, is refused by
 * name. */
bool qemu_options_parse(int argc, char **argv, struct qemu_options *options, struct error *error);

/* After a failure too. */
void qemu_options_free(struct qemu_options *options);

const char *qemu_options_help(void);

#endif
