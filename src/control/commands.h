/* The commands of QMP. */
#ifndef DOPPEL_CONTROL_COMMANDS_H
#define DOPPEL_CONTROL_COMMANDS_H

#include "control/qmp.h"

struct vm;

/* What the commands are about: their opaque. */
struct commands_context {
    struct vm *vm;
    const char *name; /* the guest's, or NULL */
};

const struct qmp_command *commands_table(size_t *count);

/* The state's name, as query-status has it. */
const char *commands_status(const struct vm *vm);

#endif
