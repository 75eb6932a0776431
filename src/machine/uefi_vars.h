/* The store of UEFI variables: what is in the flash below UEFI firmware, and the file that keeps
 * it.
 *
 * What the guest programs and erases is handed to the host at once, and is on its disk when the
 * guest ends: a crash of the host may lose what a running guest has written, nothing else does. */
#ifndef DOPPEL_MACHINE_UEFI_VARS_H
#define DOPPEL_MACHINE_UEFI_VARS_H

#include "backends/block/host_file.h"
#include "host/file.h"

/* The name of OVMF for --firmware. */
#define FIRMWARE_UEFI "uefi"

/* Of the flash; sizes of stores are multiples of it. */
#define UEFI_VARS_BLOCK 4096u

/* Empty where the guest has no such store. */
struct uefi_vars {
    gpa_t base;                /* where the machine puts it */
    struct file_data contents; /* at the start; owned */
    bool has_file;
    struct host_file file;
    bool failed; /* the file could not be written, and the user has been told */
};

/* --uefi-vars. Opens and locks the file for one guest. Without one (NULL) a guest of firmware
 * FIRMWARE_UEFI begins with the empty store of OVMF's package, and other firmware has none. A file
 * that does not exist is made, for FIRMWARE_UEFI, from that store. False with *error set: close it
 * all the same. */
bool uefi_vars_open(struct uefi_vars *vars, const char *firmware, const char *path,
                    struct error *error);
void uefi_vars_close(struct uefi_vars *vars);

/* As struct cfi_flash_config wants it; opaque is the struct uefi_vars. */
bool uefi_vars_changed(void *opaque, uint32_t offset, const uint8_t *bytes, uint32_t size);

#endif
