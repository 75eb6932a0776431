/* --disk and --cdrom: drives on the command line. */
#ifndef DOPPEL_CLI_DRIVE_OPTIONS_H
#define DOPPEL_CLI_DRIVE_OPTIONS_H

#include "machine/vm.h"

/* Add a drive to vm->drives. */
bool drive_options_add_disk(struct vm_config *vm, const char *text, struct error *error);
bool drive_options_add_cdrom(struct vm_config *vm, const char *file, struct error *error);
/* --boot disk,cdrom: what firmware tries, in this order. */
bool drive_options_set_boot(struct vm_config *vm, const char *list, struct error *error);
/* Frees what adding took. */
void drive_options_free(struct vm_config *vm);

#endif
