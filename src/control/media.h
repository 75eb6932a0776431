/* The guest's drives and what is in them, for QMP and the monitor. */
#ifndef DOPPEL_CONTROL_MEDIA_H
#define DOPPEL_CONTROL_MEDIA_H

#include "control/qmp.h"

struct vm;

/* As query-block has it. */
json_t *media_describe(struct vm *vm);

/* Takes out what is in the drive of that name, or puts the file into it. format is raw, qcow2, or
 * NULL for raw; force: even if the guest has locked the tray. False with *error set. */
bool media_eject(struct vm *vm, const char *name, bool force, struct qmp_error *error);
bool media_change(struct vm *vm, const char *name, const char *file, const char *format, bool force,
                  struct qmp_error *error);

#endif
