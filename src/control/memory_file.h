/* Guest memory into a file. */
#ifndef DOPPEL_CONTROL_MEMORY_FILE_H
#define DOPPEL_CONTROL_MEMORY_FILE_H

#include "base/error.h"
#include "base/types.h"

struct vm;

/* Writes size bytes from a linear or a physical address on. False with *error set: the file cannot
 * be written, or not all of it is memory, and what was written stays. The loop's thread, without
 * the bus lock. */
bool memory_file_save(struct vm *vm, bool linear, uint64_t address, uint64_t size, const char *path,
                      struct error *error);

#endif
