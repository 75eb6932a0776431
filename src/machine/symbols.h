/* Function symbols of an ELF kernel, to name addresses in reports. */
#ifndef DOPPEL_MACHINE_SYMBOLS_H
#define DOPPEL_MACHINE_SYMBOLS_H

#include "base/types.h"

/* Writes "name+0x12" for the function in the ELF file at path that contains address. False where
 * the file is not ELF, has no symbols, or no function is there. */
bool symbols_name(const char *path, uint64_t address, char *text, size_t size);

#endif
