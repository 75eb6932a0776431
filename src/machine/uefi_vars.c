#include "machine/uefi_vars.h"

#include "base/log.h"
#include "machine/memory_map.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEMPLATE "/usr/share/OVMF/OVMF_VARS_4M.fd"

static bool read_template(struct uefi_vars *vars, struct error *error)
{
    if (access(TEMPLATE, R_OK) != 0)
        return error_set(error,
                         "--firmware uefi: the empty store of variables, %s, cannot be read; "
                         "install Debian's package ovmf",
                         TEMPLATE);
    return file_read(&vars->contents, "--firmware uefi:", TEMPLATE, error);
}

/* Its size stays what the flash's is. */
static bool open_file(struct uefi_vars *vars, const char *path, bool create, struct error *error)
{
    struct error reason;
    if (create ? !host_file_create(&vars->file, path, &reason)
               : !host_file_open(&vars->file, path, false, &reason))
        return error_set(error, "--uefi-vars %s", reason.text);
    vars->has_file = true;
    return host_file_lock(&vars->file, &reason) ||
           error_set(error, "--uefi-vars %s: another guest uses it; give each a file of its own",
                     path);
}

/* A file that is not whole is not left behind. */
static bool fill_file(struct uefi_vars *vars, const char *path, struct error *error)
{
    int status = host_file_write(&vars->file, vars->contents.bytes, vars->contents.size, 0);
    if (!status)
        status = host_file_sync(&vars->file);
    if (!status)
        return true;
    unlink(path);
    return error_set(error, "--uefi-vars %s: cannot be written: %s", path, strerror(-status));
}

/* Reads the file; its size must be that of the package's store, or fit the flash. */
static bool read_file(struct uefi_vars *vars, const char *path, struct error *error)
{
    const size_t expected = vars->contents.size;
    uint64_t size;
    int status = host_file_size(&vars->file, &size);
    if (status)
        return error_set(error, "--uefi-vars %s: %s", path, strerror(-status));
    if (expected && size != expected)
        return error_set(error,
                         "--uefi-vars %s: has %llu bytes; a store for --firmware uefi has %zu: "
                         "name a file that does not exist, and it is made",
                         path, (unsigned long long)size, expected);
    if (!size || size % UEFI_VARS_BLOCK || size > UEFI_VARS_MAX)
        return error_set(error,
                         "--uefi-vars %s: has %llu bytes; a store has a multiple of 4 KiB, at "
                         "most %llu MiB",
                         path, (unsigned long long)size, UEFI_VARS_MAX / MIB);
    file_free(&vars->contents);
    vars->contents = (struct file_data){malloc(size), size};
    if (!vars->contents.bytes)
        return error_set(error, "--uefi-vars %s: no memory", path);
    status = host_file_read(&vars->file, vars->contents.bytes, size, 0);
    return !status ||
           error_set(error, "--uefi-vars %s: cannot be read: %s", path, strerror(-status));
}

bool uefi_vars_open(struct uefi_vars *vars, const char *firmware, const char *path,
                    struct error *error)
{
    const bool is_uefi = !strcmp(firmware, FIRMWARE_UEFI);
    if (is_uefi && !read_template(vars, error))
        return false;
    if (!path)
        return true;
    bool is_new = is_uefi && access(path, F_OK) != 0;
    return open_file(vars, path, is_new, error) &&
           (is_new ? fill_file(vars, path, error) : read_file(vars, path, error));
}

void uefi_vars_close(struct uefi_vars *vars)
{
    int status = vars->has_file ? host_file_sync(&vars->file) : 0;
    if (status)
        log_warn("--uefi-vars %s: what the guest wrote may be lost: %s", vars->file.path,
                 strerror(-status));
    if (vars->has_file)
        host_file_close(&vars->file);
    file_free(&vars->contents);
    *vars = (struct uefi_vars){0};
}

bool uefi_vars_changed(void *opaque, uint32_t offset, const uint8_t *bytes, uint32_t size)
{
    struct uefi_vars *vars = opaque;
    int status = vars->has_file ? host_file_write(&vars->file, bytes, size, offset) : 0;
    if (status && !vars->failed)
        log_warn("--uefi-vars %s: cannot be written, and the guest is told so: %s", vars->file.path,
                 strerror(-status));
    vars->failed |= status != 0;
    return !status;
}
