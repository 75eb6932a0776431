/* The commands of `doppel`; each gets its own arguments (argv[0] is its name) and returns the
 * process's exit status. */
#ifndef DOPPEL_CLI_COMMANDS_H
#define DOPPEL_CLI_COMMANDS_H

struct run_options;

int cmd_run(int argc, char **argv);
int cmd_qemu(int argc, char **argv);

/* Runs the guest that options describe. Returns the exit status. */
int run_to_end(const struct run_options *options);

#endif
