/* The commands of `doppel`; each gets its own arguments (argv[0] is its name) and returns the
 * process's exit status. */
#ifndef DOPPEL_CLI_COMMANDS_H
#define DOPPEL_CLI_COMMANDS_H

int cmd_run(int argc, char **argv);

#endif
